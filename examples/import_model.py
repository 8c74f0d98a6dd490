"""Make a model of another tool one of cnnkit's: a bundle with its preprocessing and labels.

python examples/import_model.py

Any ONNX or TFLite file, OpenVINO .xml, or SavedModel folder will do. Here it is SqueezeNet in
OpenVINO's format, without the description that `cnnkit.export` writes beside it.
"""

import tempfile
from pathlib import Path

import cnnkit

IMAGES = Path(__file__).parent / "images"

with tempfile.TemporaryDirectory() as folder:
    file = cnnkit.export("squeezenet-1.1", Path(folder, "net.xml")).path
    file.with_name("net.xml.json").unlink()
    labels = Path(folder, "labels.txt")
    labels.write_text("\n".join(cnnkit.Classifier.load("squeezenet-1.1").bundle.labels) + "\n")

    # Its input is integers, so pixels are taken as they are; `like` names the preprocessing of
    # others. Nonsense in the examples means that a setting is wrong.
    imported = cnnkit.import_model(
        file, Path(folder, "squeezenet"), labels=labels, fit="crop", check_on=IMAGES
    )
    print(f"{imported.path.name}: {imported.task}, {len(imported.examples)} images to look at")
    for path, result in imported.examples:
        print(f"  {Path(path).name}: {result.label} ({result.score:.2f})")

    classifier = cnnkit.Classifier.load(imported.path)
    print(f"coffee.jpg: {classifier.predict(IMAGES / 'coffee.jpg').label}")
