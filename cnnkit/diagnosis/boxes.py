"""Examines images with boxes: what would hurt the training of a detector, and where it is.

No file is changed, and no image is ever dropped for a wrong box: training leaves out or mends
the box alone, in the way that `cnnkit.formats.problems.mend` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cnnkit.data.dataset import Dataset, LabeledFile
from cnnkit.diagnosis.classes import Case, about_files, members_of
from cnnkit.diagnosis.duplicates import find_copies
from cnnkit.diagnosis.findings import SEVERITIES, Finding, Place
from cnnkit.diagnosis.fingerprints import Fingerprints, read_fingerprints
from cnnkit.formats import PROBLEMS, AnnotatedImage, BoxProblem, BoxSet, mend
from cnnkit.formats.annotations import is_counted
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.names import counted
from cnnkit.results import path_fields

FEW, ADVISED = 10, 50
# The size that small objects are judged at: the network's usual input.
INPUT_SIDE = 416
SMALL_SIDE = 8

# Each problem's severity and what to do.
_ADVICE = {
    "malformed": ("error", "Fix the entry; it is skipped."),
    "missing-picture": ("error", "Specify the folder of the images, or fix the name."),
    "unknown-class": ("error", "Add the class to the names of the data set, or fix the index."),
    "not-finite": ("error", "Fix or remove the box; it is skipped."),
    "swapped-corners": ("warning", "cnnkit corrects them; other programs may not."),
    "outside": ("warning", "cnnkit clips the box to the image; other programs may not."),
    "empty": ("warning", "Fix or remove the box; it is skipped."),
    "duplicate": ("warning", "Remove all but one; only one counts."),
    "repeated-picture": ("warning", "Give each image one entry with all its boxes."),
    "missing-split": ("warning", "Fix or remove its line; the other splits are read."),
    "size-differs": (
        "warning",
        "Annotate the image as a viewer shows it: its EXIF data may turn it. cnnkit scales boxes "
        "made for another size, turns those of stored images along, and leaves out the rest.",
    ),
}


@dataclass(frozen=True)
class BoxExamination:
    """The examination of a data set with boxes.

    Attributes:
        boxes: The data set.
        fingerprints: Fingerprints of the existing images.
        findings: The findings, worst first.
    """

    boxes: BoxSet
    fingerprints: Fingerprints
    findings: tuple[Finding, ...]

    @property
    def hurts(self) -> bool:
        """Whether any finding would harm training."""
        return any(finding.hurts for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return all results for JSON and the report.

        As `cnnkit.diagnosis.findings.report`, with ``"task": "doctor"``, the number of ``boxes``
        under ``data`` and in each class, and ``images`` of a class being those that show it.
        """
        boxes, images = self.boxes.counts(), Counter[str]()
        for image in self.boxes.images:
            images.update({one.label for one in image.boxes})
        unreadable = sum(f.files for f in self.findings if f.code == "unreadable")
        return {
            "schema_version": 1,
            "task": "doctor",
            "data": path_fields(self.boxes.source)
            | {
                "form": self.boxes.form,
                "pictures": len(self.boxes.images),
                "boxes": sum(len(p.boxes) for p in self.boxes.images),
                "unreadable": unreadable,
            },
            "classes": [
                {"label": name, "pictures": images[name], "boxes": boxes[name]}
                for name in self.boxes.classes
            ],
            "summary": {s: sum(f.severity == s for f in self.findings) for s in SEVERITIES},
            "hurts": self.hurts,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def examine_boxes(
    boxes: BoxSet,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
) -> BoxExamination:
    """Read every image of a set once and say what is wrong with its boxes.

    Args:
        boxes: The set, as `cnnkit.formats.read_boxes` gives it.
        max_pixels: Largest number of pixels; larger images count as unreadable.
        workers: Threads that read, one per CPU by default.
        progress: Called after each image.
    """
    there = [image for image in boxes.images if image.path is not None]
    paths = [str(image.path) for image in there]
    prints = read_fingerprints(paths, max_pixels=max_pixels, workers=workers, progress=progress)
    files = tuple(LabeledFile(str(p.path), p.file, 0, p.split) for p in there)
    case = Case(Dataset(boxes.source, "", ("",), files), prints, find_copies(prints))
    findings = [
        *_about_boxes(boxes, there, prints),
        *about_files(case),
        *_about_copies(case),
        *_about_classes(boxes),
        *_about_splits(boxes),
        *_about_images(boxes),
    ]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return BoxExamination(boxes, prints, tuple(findings))


def _about_boxes(
    boxes: BoxSet, there: list[AnnotatedImage], prints: Fingerprints
) -> Iterator[Finding]:
    """Everything that `PROBLEMS` names, a finding for each kind."""
    problems = [*boxes.problems, *_sizes(there, prints)]
    for image in boxes.images:
        if image.path is None:
            problems.append(BoxProblem("missing-picture", image.file, "no such file"))
        problems += mend(image, boxes.classes)[1]
    for code, meaning in PROBLEMS.items():
        found = [problem for problem in problems if problem.code == code]
        if found:
            severity, fix = _ADVICE[code]
            groups = tuple((Place(problem.path, detail=_detail(problem)),) for problem in found)
            times = counted(len(found), "time")
            yield Finding(code, severity, f"{times}: {meaning}", fix, groups)


def _detail(problem: BoxProblem) -> str:
    return problem.detail if problem.index is None else f"box {problem.index}: {problem.detail}"


def _sizes(there: list[AnnotatedImage], prints: Fingerprints) -> Iterator[BoxProblem]:
    """Yield the images whose annotation was made for another size."""
    for number, image in enumerate(there):
        if image.refused:
            continue  # said when it was read
        height, width = map(int, prints.sizes[number])
        if prints.readable[number] and (width, height) != (image.width, image.height):
            detail = f"{image.width} x {image.height} noted, {width} x {height} shown"
            yield BoxProblem("size-differs", str(image.path), detail)


def _about_copies(case: Case) -> Iterator[Finding]:
    """The same image in two splits, or twice."""
    groups = members_of(case.copies.exact)
    files = case.dataset.files
    leaks = [g for g in groups if len({files[i].split for i in g}) > 1]
    inside = [g for g in groups if len({files[i].split for i in g}) == 1]
    if leaks:
        yield Finding(
            "leak",
            "error",
            f"{counted(len(leaks), 'image')} in two splits: measured figures would be too high",
            "Remove it from one of the splits.",
            case.groups(leaks),
        )
    if inside:
        yield Finding(
            "exact-duplicates",
            "warning",
            f"{counted(len(inside), 'image')} more than once",
            "Keep one of each.",
            case.groups(inside),
        )


def _about_classes(boxes: BoxSet) -> Iterator[Finding]:
    """Classes with too few boxes to learn from."""
    counts = boxes.counts()
    for low, high, severity in ((1, FEW, "warning"), (FEW, ADVISED, "note")):
        few = [f"{name} {n}" for name, n in counts.items() if low <= n < high]
        if few:
            more = f" and {len(few) - 10} more" if len(few) > 10 else ""
            yield Finding(
                "few-boxes",
                severity,
                f"fewer than {high} boxes: {', '.join(few[:10])}{more}",
                f"Annotate more: at least {ADVISED} per class are recommended.",
            )
    if unused := [name for name, count in counts.items() if not count]:
        yield Finding(
            "unused-class",
            "note",
            f"classes without a box, {len(unused)}: {', '.join(unused[:10])}",
            "Training skips them.",
        )
    if not any(counts.values()):
        fix = "Give annotations of the images' boxes."
        yield Finding("no-boxes", "error", "there is not one box", fix)


def _about_splits(boxes: BoxSet) -> Iterator[Finding]:
    """Splits without a box: nothing can be learned from them, or measured on them."""
    for split in boxes.splits:
        members = [image for image in boxes.images if image.split == split]
        sound = (mend(image, boxes.classes)[0] for image in members)
        if not any(is_counted(one) for image in sound for one in image.boxes):
            yield Finding(
                "split-without-boxes",
                "error",
                f"{split} has {counted(len(members), 'image')} and no box that counts",
                "Annotate some of its images: crowds and difficult boxes do not count.",
            )


def _about_images(boxes: BoxSet) -> Iterator[Finding]:
    """Backgrounds, and objects that are tiny for the network."""
    empty = [image for image in boxes.images if not image.boxes]
    if empty:
        yield Finding(
            "background",
            "note",
            f"{counted(len(empty), 'image')} without a box: backgrounds",
            "They teach the model what background looks like. Annotate any that show an object.",
            tuple((Place(image.path or image.file),) for image in empty),
        )
    small = []
    for image in boxes.images:
        longest = max(image.width, image.height)
        sides = [min(one.box[2:]) * INPUT_SIDE / longest for one in image.boxes if longest]
        if tiny := sum(0 < side < SMALL_SIDE for side in sides):
            small.append((Place(image.path or image.file, detail=f"{tiny} boxes"),))
    if small:
        yield Finding(
            "small-boxes",
            "note",
            f"{counted(len(small), 'image')} with objects under {SMALL_SIDE} pixels at "
            f"an input of {INPUT_SIDE}",
            "A network hardly sees them at that size: train at a larger size, or detect in tiles.",
            tuple(small),
        )
