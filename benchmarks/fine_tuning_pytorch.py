"""The contestant of benchmarks/fine_tuning.py: the same network, weights and images in PyTorch.

    python benchmarks/fine_tuning_pytorch.py IMAGES.npz WEIGHTS.safetensors EPOCHS eager|compiled

EfficientNet-Lite0 in PyTorch with channels_last, `eval` batch normalization, Adam with weight
decay as usual; torchvision's v2 on uint8 tensors in a DataLoader with a worker for each processor.
Takes the embedded weights as they are: Keras's kernels are (height, width, in, out).
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np
import torch
from torch import nn
from torchvision.transforms import v2

BATCH = 32
# Kernel, stride, expansion, channels, repeats.
BLOCKS = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
# As in the embedded weights' original.
EPSILON = 1e-3


class Unit(nn.Module):
    """A convolution with TensorFlow's padding, batch normalization, and perhaps ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, grouped: bool, active: bool
    ) -> None:
        super().__init__()
        total = max(kernel - stride, 0)  # the sides are even wherever the stride is 2
        before = total // 2
        self.pad = nn.ZeroPad2d((before, total - before) * 2)
        groups = inputs if grouped else 1
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, EPSILON)
        self.active = nn.ReLU6() if active else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.active(self.norm(self.conv(self.pad(x))))


class Bottleneck(nn.Module):
    """Expand, filter, project; the input is added where it fits."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = Unit(inputs, wide, 1, 1, False, True) if expansion > 1 else nn.Identity()
        self.filter = Unit(wide, wide, kernel, stride, True, True)
        self.project = Unit(wide, outputs, 1, 1, False, False)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(self.filter(self.expand(x)))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """RGB pixels 0 to 255 (batch, 3, 224, 224) to logits (batch, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = Unit(3, 32, 3, 2, False, True)
        self.blocks = nn.ModuleDict()
        inputs = 32
        for number, (kernel, stride, expansion, outputs, repeats) in enumerate(BLOCKS, start=1):
            for block in range(repeats):
                name = f"stage{number}_block{block + 1}"
                first = stride if block == 0 else 1
                self.blocks[name] = Bottleneck(inputs, outputs, kernel, first, expansion)
                inputs = outputs
        self.head = Unit(inputs, 1280, 1, 1, False, True)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem((x.float() - 127) / 128)
        for block in self.blocks.values():
            x = block(x)
        return self.classifier(self.dropout(self.head(x).mean(dim=(2, 3))))

    def take_weights(self, path: str) -> None:
        """Take the embedded weights of all but the classifier."""
        from safetensors.numpy import load_file

        arrays = load_file(path)
        units = {"stem": self.stem, "head": self.head}
        for name, block in self.blocks.items():
            units |= {f"{name}_{n}": getattr(block, n) for n in ("expand", "filter", "project")}
        for name, unit in units.items():
            if isinstance(unit, nn.Identity):
                continue
            kernel = next(
                arrays[f"{name}_{kind}/kernel"]
                for kind in ("conv", "depthwise")
                if f"{name}_{kind}/kernel" in arrays
            )
            # A depthwise kernel is (height, width, channels, 1).
            axes = (2, 3, 0, 1) if f"{name}_depthwise/kernel" in arrays else (3, 2, 0, 1)
            parts = ("gamma", "beta", "moving_mean", "moving_variance")
            values = [kernel.transpose(axes), *(arrays[f"{name}_bn/{part}"] for part in parts)]
            norm = unit.norm
            places = (unit.conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
            for place, value in zip(places, values, strict=True):
                place.data.copy_(torch.from_numpy(np.ascontiguousarray(value, np.float32)))


class Images(torch.utils.data.Dataset):
    """Decoded images, augmented when they are asked for."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        self.pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        self.labels = torch.from_numpy(labels)
        self.augment = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomApply([v2.RandomRotation(10, v2.InterpolationMode.BILINEAR)], 0.75),
                v2.RandomResizedCrop(224, (0.75, 1.0), (1 / 1.15, 1.15), antialias=True),
                v2.RandomApply([v2.ColorJitter(0.2, 0.2)], 0.75),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.augment(self.pixels[number]), self.labels[number]


def main(arrays_file: str, weights: str, epochs: str, way: str) -> None:
    """Train, and print the seconds of each epoch, and the rates of its parts, as JSON."""
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    arrays = np.load(arrays_file)
    images = Images(arrays["pixels"], arrays["labels"])
    options = {"num_workers": threads, "persistent_workers": True, "drop_last": True}
    loader = torch.utils.data.DataLoader(images, BATCH, shuffle=True, **options)
    network = EfficientNetLite0(int(arrays["labels"].max()) + 1)
    network.take_weights(weights)
    network = network.to(memory_format=torch.channels_last).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, weight_decay=1e-4)
    run = torch.compile(network) if way == "compiled" else network

    def step(pixels: torch.Tensor, labels: torch.Tensor) -> float:
        logits = run(pixels.contiguous(memory_format=torch.channels_last))
        loss = nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    seconds, losses = [], []
    for _ in range(int(epochs)):
        started = time.perf_counter()
        losses.append(float(np.mean([step(*batch) for batch in loader])))
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    count = sum(len(labels) for _, labels in loader)
    augmented = count / (time.perf_counter() - started)
    batch = next(iter(loader))
    started = time.perf_counter()
    for _ in range(len(loader)):
        step(*batch)
    alone = count / (time.perf_counter() - started)
    result = {"seconds": seconds, "losses": losses, "augmented": augmented, "step": alone}
    print(json.dumps(result | {"images": count}))


if __name__ == "__main__":
    main(*sys.argv[1:])
