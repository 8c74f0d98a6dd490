"""Networks in other tools' formats: ONNX, TFLite, OpenVINO's own, and SavedModel folders.

Such a file is a graph and its weights. It is checked as bytes first (`scanning`), read once by
OpenVINO in a process of its own with bounded memory (`reading`), and run by OpenVINO alone: the
preprocessing that it expects is put before it (`network`). What it says of itself (`said`), what
a family of networks has in common (`families`) and what the user says make its card (`planning`).
"""
