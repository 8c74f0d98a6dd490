"""The contestant of benchmarks/detector_step.py: the same network, loss and step in PyTorch.

    python benchmarks/detector_step_pytorch.py BATCHES.npz eager|compiled

NanoDet-g with channels_last, fused AdamW, and a moving average of the weights by torch's foreach
functions. Answers each line of standard input with one of JSON; see benchmarks/detector_step.py.
Takes cnnkit's weights as they are: Keras's kernels are (height, width, in, out).
"""

from __future__ import annotations

import os
import sys

import numpy as np
import torch
from detector_step import Answers, answer_lines
from torch import nn
from torch.nn import functional

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STRIDES = (8, 16, 32)
BINS = 11
# Filters, repeats, strides of the cross-stage blocks.
STAGES = {1: (32, 1, 1), 2: (64, 2, 2), 3: (128, 2, 2), 4: (256, 3, 2)}
NECK = 128
# As in cnnkit.losses, where they are explained.
CELLS_A_BOX, OVERLAP_POWER, LEAST_TARGET, FAINT, TINY = 13, 6, 0.1, 1e-12, 1e-9
OVERLAP_GAIN, DISTRIBUTION_GAIN, FARTHEST = 2.0, 0.25, BINS - 1 - 0.01


class Unit(nn.Sequential):
    """A convolution 3 x 3 with bias, and the leaky rectifier."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        # Even sides: what is padded below and to the right is never read.
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.LeakyReLU(0.1, inplace=True)
        )


class Stage(nn.Module):
    """A cross-stage block; it gives twice its filters."""

    def __init__(self, inputs: int, filters: int, repeats: int, stride: int) -> None:
        super().__init__()
        self.enter = Unit(inputs, filters, stride)
        half = filters // 2
        self.firsts = nn.ModuleList(Unit(filters, half) for _ in range(repeats))
        self.seconds = nn.ModuleList(Unit(half, half) for _ in range(repeats))
        self.leave = Unit(filters, filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x = self.enter(x)
        for first, second in zip(self.firsts, self.seconds, strict=True):
            half = first(x)
            x = torch.cat([second(half), half], dim=1)
        return torch.cat([self.leave(x), shortcut], dim=1)


class NanoDetG(nn.Module):
    """RGB pixels uint8 (batch, 3, side, side) to raw heads (batch, classes + 44, rows, columns)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("scale", 1 / (255 * torch.tensor(DEVIATION)).view(1, 3, 1, 1))
        self.stem = Unit(3, 32, 2)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.stages = nn.ModuleList()
        inputs = 32
        for filters, repeats, stride in STAGES.values():
            self.stages.append(Stage(inputs, filters, repeats, stride))
            inputs = 2 * filters
        widths = [2 * STAGES[number][0] for number in (2, 3, 4)]
        self.laterals = nn.ModuleList(nn.Conv2d(width, NECK, 1) for width in widths)
        self.befores = nn.ModuleList(Unit(NECK, NECK) for _ in STRIDES)
        self.heads = nn.ModuleList(nn.Conv2d(NECK, classes + 4 * BINS, 1) for _ in STRIDES)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        x = self.pool(self.stem((pixels - self.mean) * self.scale))
        done = []
        for stage in self.stages:
            done.append(x := stage(x))
        fine, middle, coarse = (
            lateral(x) for lateral, x in zip(self.laterals, done[1:], strict=True)
        )
        middle = middle + doubled(coarse)
        fine = fine + doubled(middle)
        middle = middle + functional.avg_pool2d(fine, 2)
        coarse = coarse + functional.avg_pool2d(middle, 2)
        parts = zip(self.befores, self.heads, (fine, middle, coarse), strict=True)
        return [head(before(x)) for before, head, x in parts]

    def convolutions(self) -> dict[str, nn.Conv2d]:
        """Return the convolutions under the names that their layers have in cnnkit."""
        found = {"stem_conv": self.stem[0]}
        for number, stage in enumerate(self.stages, start=1):
            found[f"stage{number}_in_conv"] = stage.enter[0]
            for block, pair in enumerate(zip(stage.firsts, stage.seconds, strict=True), start=1):
                for which, unit in zip(("first", "second"), pair, strict=True):
                    found[f"stage{number}_block{block}_{which}_conv"] = unit[0]
            found[f"stage{number}_out_conv"] = stage.leave[0]
        for place, stride in enumerate(STRIDES):
            found[f"lateral{stride}"] = self.laterals[place]
            found[f"before{stride}_conv"] = self.befores[place][0]
            found[f"head{stride}"] = self.heads[place]
        return found

    def take_weights(self, arrays: dict[str, np.ndarray]) -> None:
        """Take every weight, by the paths of cnnkit's variables; none may be left over."""
        wanted = {f"{name}/{part}" for name in self.convolutions() for part in ("kernel", "bias")}
        if wanted != set(arrays):
            sys.exit(f"the weights differ from the network: {sorted(wanted ^ set(arrays))}")
        for name, convolution in self.convolutions().items():
            kernel = np.ascontiguousarray(arrays[f"{name}/kernel"].transpose(3, 2, 0, 1))
            convolution.weight.data.copy_(torch.from_numpy(kernel))
            convolution.bias.data.copy_(torch.from_numpy(arrays[f"{name}/bias"]))


def doubled(x: torch.Tensor) -> torch.Tensor:
    """Double height and width by bilinear interpolation."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


# --- the loss -----------------------------------------------------------------------------


def cells(outputs: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return middles (cells, 2), strides (cells, 1) and raw outputs (batch, cells, channels)."""
    middles, strides, raw = [], [], []
    for output, stride in zip(outputs, STRIDES, strict=True):
        rows, columns = output.shape[2:]
        down, across = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        middles.append((torch.stack([across, down], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((rows * columns, 1), float(stride)))
        raw.append(output.permute(0, 2, 3, 1).flatten(1, 2))
    return torch.cat(middles), torch.cat(strides), torch.cat(raw, dim=1)


def areas(boxes: torch.Tensor) -> torch.Tensor:
    """Return the areas of corners (..., 4); 0 for empty boxes."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def common_and_union(
    first: torch.Tensor, second: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the area that corners (..., 4) share and the one that they cover together."""
    low = torch.maximum(first[..., :2], second[..., :2])
    common = (torch.minimum(first[..., 2:], second[..., 2:]) - low).clamp(min=0).prod(-1)
    return common, areas(first) + areas(second) - common


@torch.no_grad()
def task_aligned(
    scores: torch.Tensor,
    boxes: torch.Tensor,
    middles: torch.Tensor,
    strides: torch.Tensor,
    real: torch.Tensor,
    valid: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the place of each cell's true box and its target, both (batch, cells)."""
    common, union = common_and_union(boxes[:, None], real[:, :, None])
    overlap = common / (union + TINY)  # (batch, boxes, cells)
    centers = ((real[..., :2] + real[..., 2:]) / 2)[:, :, None]
    half = torch.maximum((real[..., 2:] - real[..., :2])[:, :, None], strides) / 2
    candidate = ((middles - centers).abs() <= half).all(-1) * valid[..., None]
    alignment = (scores * overlap**OVERLAP_POWER + FAINT) * candidate
    least = alignment.topk(CELLS_A_BOX, dim=-1, sorted=False).values.amin(-1, keepdim=True)
    chosen = candidate * (alignment >= least)
    box = (chosen * (1 + overlap)).argmax(dim=1)
    mine = chosen.gather(1, box[:, None])  # (batch, 1, cells)
    places = torch.zeros_like(chosen).scatter_(1, box[:, None], mine)
    mine_alignment = alignment * places
    highest = mine_alignment.amax(-1, keepdim=True).clamp(min=FAINT)
    best = (overlap * places).amax(-1, keepdim=True).clamp(min=LEAST_TARGET)
    return box, (mine_alignment / highest * best).sum(1)


def loss_of(outputs: list[torch.Tensor], truth: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the costs of boxes, of cells without a box and of cells with one, (3,).

    Args:
        outputs: The raw heads.
        truth: ``boxes`` (batch, boxes, 4) as shares of the side, center first; ``classes`` and
            ``valid`` (batch, boxes).
    """
    middles, strides, raw = cells(outputs)
    side = outputs[0].shape[-1] * STRIDES[0]
    centers, half = truth["boxes"][..., :2] * side, truth["boxes"][..., 2:] * side / 2
    real = torch.cat([centers - half, centers + half], dim=-1)
    logits, bins = raw.split([raw.shape[-1] - 4 * BINS, 4 * BINS], dim=-1)
    bins = bins.unflatten(-1, (4, BINS))
    reach = (bins.softmax(-1) @ torch.arange(float(BINS))) * strides
    boxes = torch.cat([middles - reach[..., :2], middles + reach[..., 2:]], dim=-1)
    number = truth["classes"].long()
    scores = logits.detach().sigmoid().transpose(1, 2)
    scores = scores.gather(1, number[..., None].expand(-1, -1, scores.shape[-1]))
    box, target = task_aligned(scores, boxes, middles, strides, real, truth["valid"])

    real = real.gather(1, box[..., None].expand(-1, -1, 4))
    wanted = torch.zeros_like(logits).scatter_(
        2, number.gather(1, box)[..., None], target[..., None]
    )
    gap = wanted - logits.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    quality = (gap * gap * entropy).sum(-1)
    distances = torch.cat([middles - real[..., :2], real[..., 2:] - middles], dim=-1)
    positive = target > 0
    # Only cells with a box have a box to learn.
    box_cost = target[positive] * (
        OVERLAP_GAIN * (1 - generalized_iou(boxes[positive], real[positive]))
        + DISTRIBUTION_GAIN * distribution_focal(bins[positive], (distances / strides)[positive])
    )
    mean = target.sum().clamp(min=1.0)
    zero = quality.new_zeros(())
    costs = (
        box_cost.sum(),
        torch.where(positive, zero, quality).sum(),
        torch.where(positive, quality, zero).sum(),
    )
    return torch.stack(costs) / mean


def generalized_iou(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the generalized IoU of corners (..., 4)."""
    common, union = common_and_union(first, second)
    low = torch.minimum(first[..., :2], second[..., :2])
    enclosing = (torch.maximum(first[..., 2:], second[..., 2:]) - low).prod(-1)
    return common / (union + TINY) - (enclosing - union) / (enclosing + TINY)


def distribution_focal(bins: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    """Return the mean cost of the four sides (n,), of bins (n, 4, BINS) and distances (n, 4)."""
    distances = distances.clamp(0.0, FARTHEST)
    below = distances.floor()
    share = distances - below
    logs = bins.log_softmax(-1)
    near = logs.gather(-1, below.long()[..., None]).squeeze(-1)
    far = logs.gather(-1, below.long()[..., None] + 1).squeeze(-1)
    return -((1 - share) * near + share * far).mean(-1)


# --- the step -----------------------------------------------------------------------------


class Contestant:
    """A network in training and the batches that it is trained on."""

    def __init__(self, arrays: dict[str, np.ndarray], way: str) -> None:
        weights = {k.removeprefix("weights/"): v for k, v in arrays.items() if "weights/" in k}
        channels = weights["head8/bias"].shape[0]
        self.network = NanoDetG(channels - 4 * BINS)
        self.network.take_weights(weights)
        self.network = self.network.to(memory_format=torch.channels_last).train()
        self.images = torch.from_numpy(arrays["images"]).permute(0, 1, 4, 2, 3)  # still NHWC
        self.truth = {k: torch.from_numpy(arrays[k]) for k in ("boxes", "classes", "valid")}
        self.forward = torch.compile(self.network) if way == "compiled" else self.network
        self.loss = torch.compile(loss_of) if way == "compiled" else loss_of
        self._prepare(arrays)

    def _prepare(self, arrays: dict[str, np.ndarray]) -> None:
        """Freeze what the plan freezes; give each variable the plan's rate, and its average."""
        factors = dict(zip(arrays["learning"].tolist(), arrays["factors"].tolist(), strict=True))
        decay = float(arrays["weight_decay"])
        self.keep = float(arrays["average"])
        self.groups, self.learning = [], []
        for name, convolution in self.network.convolutions().items():
            for part, variable in (("kernel", convolution.weight), ("bias", convolution.bias)):
                path = f"{name}/{part}"
                variable.requires_grad_(path in factors)
                if path in factors:
                    own = {"weight_decay": decay if part == "kernel" else 0.0}
                    self.groups.append({"params": [variable], "factor": factors[path]} | own)
                    self.learning.append(variable)
        self.optimizer = torch.optim.AdamW(merged(self.groups), 1e-4, eps=1e-7, fused=True)
        self.averages: list[torch.Tensor] = []

    def batch(self, number: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return images and truth of a batch, the first after the last."""
        place = number % len(self.images)
        return self.images[place], {name: part[place] for name, part in self.truth.items()}

    def looked(self) -> tuple[list[np.ndarray], list[float]]:
        """Return the heads (batch, rows, columns, channels) and loss parts of the first batch."""
        images, truth = self.batch(0)
        with torch.no_grad():
            outputs = self.network(images)
            parts = loss_of(outputs, truth)
        return [x.permute(0, 2, 3, 1).numpy() for x in outputs], parts.tolist()

    def step(self, number: int, rate: float) -> float:
        """Train on a batch at a rate; return its loss."""
        images, truth = self.batch(number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        loss = self.loss(self.forward(images), truth).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            if self.averages:
                torch._foreach_lerp_(self.averages, self.learning, 1 - self.keep)
            else:
                self.averages = [variable.detach().clone() for variable in self.learning]
        return loss.item()

    def averaged(self) -> float:
        """Return the sum of the magnitudes of the moving averages."""
        return float(sum(average.abs().sum(dtype=torch.float64) for average in self.averages))


def merged(groups: list[dict]) -> list[dict]:
    """Return groups of one rate and one decay as one group: fewer, larger updates."""
    found: dict[tuple[float, float], dict] = {}
    for group in groups:
        one = found.setdefault((group["factor"], group["weight_decay"]), group | {"params": []})
        one["params"] += group["params"]
    return list(found.values())


def main(arrays_file: str, way: str) -> None:
    """Answer what is asked."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    with np.load(arrays_file) as arrays:
        contestant: Answers = Contestant(dict(arrays), way)
    answer_lines(contestant)


if __name__ == "__main__":
    main(*sys.argv[1:])
