"""Files that hold no network that cnnkit can open: what they are, and how to export one."""

from __future__ import annotations

from pathlib import Path

from cnnkit.errors import BundleError, broken_rule

# Files of PyTorch and Hugging Face, which hold weights without the network.
CHECKPOINTS = (".pt", ".pth", ".ckpt", ".safetensors")
HDF5 = (".h5", ".hdf5")
ZIP_ARCHIVE = "a zip archive"
_KINDS = {
    b"\x89HDF": "an HDF5 file",
    b"\x80": "a pickle, which can hold code",
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file itself",
    b"<!DOCTYPE": "a page of HTML",
    b"<html": "a page of HTML",
    b"GGUF": "a GGUF file",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"PK\x03\x04": ZIP_ARCHIVE,
}
_CHECKPOINT = "a checkpoint of PyTorch, which can hold code"
_EXPORT = (
    "Export it to ONNX where it was made: yolo export model=FILE format=onnx (Ultralytics), "
    "torch.onnx.export(model, images, 'model.onnx') (PyTorch, timm), or optimum-cli export onnx "
    "-m REPO DIR (Hugging Face)."
)
_KERAS = "Save it again with model.save('NAME.keras') if you trust it."


def kind_of(head: bytes) -> str:
    """Return what a file is by its first bytes."""
    if not head:
        return "an empty file"
    if head.startswith(b"PK\x03\x04") and b"/data.pkl" in head[:512]:
        return _CHECKPOINT
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 27:
        return "weights in safetensors, without a network"
    found = next((kind for start, kind in _KINDS.items() if head.startswith(start)), None)
    return found or f"other bytes, beginning with {head[:4].hex(' ')}"


def unknown_file(path: Path, head: bytes, accepted: str) -> BundleError:
    """Return the refusal of a file that is not of an accepted kind.

    Args:
        path: The file.
        head: Its first bytes.
        accepted: What it must be, such as ``an ONNX file``.
    """
    suffix, kind = path.suffix.lower(), kind_of(head)
    if suffix in CHECKPOINTS[:3]:
        kind = _CHECKPOINT
    if suffix in CHECKPOINTS or kind == _CHECKPOINT or kind.startswith(("weights", "a pickle")):
        fix = _EXPORT
    elif suffix == ".keras":
        fix = "A .keras file needs no import: give it as `model`."
    elif suffix in HDF5 or kind == "an HDF5 file":
        fix = _KERAS
    elif suffix in (".cfg", ".weights"):
        fix = "A Darknet model needs no import: give its .cfg as `model` and its `weights`."
    else:
        fix = "Export the model to ONNX with the tool that made it, and give that file."
    return BundleError(broken_rule(str(path), f"be {accepted}", kind, fix))
