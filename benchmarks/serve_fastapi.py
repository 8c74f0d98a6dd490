"""The peer of benchmarks/serve.py: FastAPI and Keras, as tutorials put them together.

python benchmarks/serve_fastapi.py PORT
"""

import io
import sys
from typing import Any

import fastapi
import numpy as np
import uvicorn
from PIL import Image

from cnnkit.bundles import open_model
from cnnkit.images import prepare

bundle = open_model("efficientnet-lite0")
model = bundle.build()
app = fastapi.FastAPI()


@app.post("/v1/classify")
def classify(body: bytes = fastapi.Body(media_type="application/octet-stream")) -> dict[str, Any]:
    """Classify one image with the same weights and preprocessing."""
    with Image.open(io.BytesIO(body)) as opened:
        pixels = prepare(np.asarray(opened.convert("RGB")), bundle.card.input)
    outputs = model.predict(pixels[None].astype(np.float32), verbose=0)
    scores = bundle.probabilities(outputs["scores"][0])
    best = np.argsort(-scores)[:5]
    return {"predictions": [{"label": bundle.labels[i], "score": float(scores[i])} for i in best]}


@app.get("/healthz")
def health() -> dict[str, str]:
    """Say that it runs."""
    return {"status": "ok"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
