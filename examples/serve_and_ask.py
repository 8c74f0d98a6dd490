"""Start a service, send it an image over HTTP, and stop it.

Needs the extra: pip install 'cnnkit[serve]'.
"""

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import cnnkit

IMAGE = Path(__file__).parent / "images" / "cat.jpg"

# A service usually runs for weeks, under systemd or in a container: cnnkit serve
service = subprocess.Popen(
    [sys.executable, "-m", "cnnkit", "serve", "--model", "efficientnet-lite0", "--port", "0"],
    stderr=subprocess.PIPE,
    text=True,
)
ready = next(line for line in service.stderr if "Ready:" in line)
address = ready.split()[-1]  # http://127.0.0.1:PORT/

# Any program in any language can ask: the body is the image file.
request = urllib.request.Request(f"{address}v1/classify?top-k=2", IMAGE.read_bytes())
with urllib.request.urlopen(request) as answer:
    row = json.load(answer)
for prediction in row["predictions"]:
    print(f"{prediction['score']:.1%}  {prediction['label']}")

here = cnnkit.Classifier.load().predict(str(IMAGE))
print("the same as in Python:", here.label == row["label"])

service.send_signal(signal.SIGTERM)  # it finishes what is under way
print("stopped with status", service.wait())
