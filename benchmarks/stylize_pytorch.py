"""Style transfer by optimization written in PyTorch: the same network, losses and steps.

    python benchmarks/stylize_pytorch.py PROBLEM.npz

The usual way on a CPU: float32, channels_last. Prints one JSON object: the seconds of each step
and the three terms of the loss after it.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

FIRES = {2: None, 3: None, 4: "pool2", 5: None, 6: "pool3", 7: None}


class SqueezeNet(torch.nn.Module):
    """SqueezeNet 1.1 up to fire7, with average pooling, from RGB 0 to 255."""

    def __init__(self, weights: dict[str, np.ndarray], layers: list[str]) -> None:
        """Take the weights, named and laid out as Keras does."""
        super().__init__()
        self.layers = layers
        self.tensors = {}
        for name, value in weights.items():
            array = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
            tensor = torch.tensor(np.ascontiguousarray(array, np.float32))
            if tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            self.tensors[name] = tensor
        self.mean = torch.tensor([123.68, 116.779, 103.939]).reshape(1, 3, 1, 1)

    def conv(self, x: torch.Tensor, name: str, padding: int = 0, stride: int = 1) -> torch.Tensor:
        """Convolution and ReLU."""
        kernel, bias = self.tensors[f"{name}/kernel"], self.tensors[f"{name}/bias"]
        return F.relu(F.conv2d(x, kernel, bias, stride, padding))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the features of the layers."""
        # Keras's "same" with stride 2 on an even side pads the end only.
        x = F.pad(x - self.mean, (0, x.shape[3] % 2 == 0, 0, x.shape[2] % 2 == 0))
        found = {}
        padding = 0 if x.shape[2] % 2 else 1
        x = self.conv(x, "conv1", padding, 2)
        found["conv1_activation"] = x
        x = F.avg_pool2d(x, 3, 2)
        for number, pool in FIRES.items():
            if pool:
                x = F.avg_pool2d(x, 3, 2)
            x = self.conv(x, f"fire{number}_squeeze1x1")
            one = self.conv(x, f"fire{number}_expand1x1")
            three = self.conv(x, f"fire{number}_expand3x3", 1)
            x = torch.cat([one, three], 1)
            found[f"fire{number}_join"] = x
        return {name: found[name] for name in self.layers}


def gram(features: torch.Tensor) -> torch.Tensor:
    """Return the Gram matrix per position, (channels, channels)."""
    flat = features.flatten(2)[0]
    return flat @ flat.T / flat.shape[1]


def canvas(pixels: torch.Tensor, border: int, shift: int) -> torch.Tensor:
    """Return the pixels with mirrored borders, cut as cnnkit does without a shift."""
    padded = F.pad(pixels, (border,) * 4, mode="reflect")
    return padded[:, :, : padded.shape[2] - shift, : padded.shape[3] - shift]


def main() -> None:
    """Make the steps."""
    problem = np.load(sys.argv[1], allow_pickle=False)
    facts = json.loads(str(problem["facts"]))
    torch.set_num_threads(facts["threads"])
    weights = {k.removeprefix("w:"): problem[k] for k in problem.files if k.startswith("w:")}
    content_layers, style_layers = facts["content"], facts["style"]
    network = SqueezeNet(weights, list(dict.fromkeys([*content_layers, *style_layers])))

    def tensor(name: str) -> torch.Tensor:
        array = torch.tensor(problem[name].astype(np.float32)).permute(2, 0, 1)[None]
        return array.contiguous(memory_format=torch.channels_last)

    def laid(pixels: torch.Tensor) -> torch.Tensor:
        return canvas(pixels, facts["border"], facts["shift"])

    with torch.no_grad():
        target = {k: v.clone() for k, v in network(laid(tensor("content"))).items()}
        scale = {k: target[k].var((2, 3), correction=0).mean() + 1e-6 for k in content_layers}
        styles = {k: gram(v) for k, v in network(laid(tensor("style_pixels"))).items()}
        size = {k: styles[k].square().sum() + 1e-6 for k in style_layers}
    pixels = tensor("content").requires_grad_(True)
    first, second = torch.zeros_like(pixels), torch.zeros_like(pixels)
    w = facts["weights"]
    seconds, curve = [], []
    for step in range(1, facts["steps"] + 1):
        started = time.perf_counter()
        pixels.grad = None
        features = network(laid(pixels))
        kept = sum(
            weight * (features[k] - target[k]).square().mean() / scale[k]
            for k, weight in content_layers.items()
        )
        taken = sum(
            weight * (gram(features[k]) - styles[k]).square().sum() / size[k]
            for k, weight in style_layers.items()
        )
        unit = laid(pixels) / 255
        rough = (unit[:, :, 1:] - unit[:, :, :-1]).square().mean()
        rough = rough + (unit[:, :, :, 1:] - unit[:, :, :, :-1]).square().mean()
        (w[0] * kept + w[1] * taken + w[2] * rough).backward()
        with torch.no_grad():
            g = pixels.grad
            first.mul_(0.9).add_(g, alpha=0.1)
            second.mul_(0.99).addcmul_(g, g, value=0.01)
            mean = first * (facts["rate"] / (1 - 0.9**step))
            spread = (second / (1 - 0.99**step)).sqrt() + 1e-12
            pixels.sub_(mean / spread).clamp_(0, 255)
        seconds.append(time.perf_counter() - started)
        curve.append([kept.item(), taken.item(), rough.item()])
    print(json.dumps({"seconds": seconds, "curve": curve}))


if __name__ == "__main__":
    main()
