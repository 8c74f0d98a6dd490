"""``cnnkit models``: the embedded models, their cards, and the integrity of their files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli.flags import with_flags
from cnnkit.cli.options import NumberList, Size, verbosity_options

if TYPE_CHECKING:
    from cnnkit.commands.import_model import ImportedModel

EXAMPLES = """\b
Examples:
  cnnkit models list
  cnnkit models show efficientnet-lite0
  cnnkit models verify
  cnnkit models import resnet18.onnx --like imagenet --check-on photos/ -o resnet18
"""


@click.group("models", epilog=EXAMPLES)
def command() -> None:
    """List, show, verify, and import models: the embedded ones or your own."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write JSON Lines to standard output.")
@verbosity_options
def list_models(quiet: bool, as_json: bool) -> None:
    """List the embedded models."""
    from cnnkit.bundles.figures import accuracy_of
    from cnnkit.commands.models import list_models as cards
    from cnnkit.writers.terminal import fitted

    for name, card in cards().items():
        if as_json:
            row = {"name": name, "task": card.task, "classes": card.classes}
            row |= {"license": card.content.get("license"), "accuracy": accuracy_of(card.content)}
            click.echo(json.dumps(row | {"bytes": card.weights.get("bytes")}))
            continue
        parameters = card.weights.get("parameters", 0) / 1e6
        megabytes = card.weights.get("bytes", 0) / 1e6
        size = f"{card.input.width}x{card.input.height}"
        click.echo(
            f"{fitted(name, 20)} {fitted(card.task, 10)} {size:>9} {parameters:6.2f} M "
            f"{megabytes:5.1f} MB  {fitted(accuracy_of(card.content), 20)}  {card.description}"
        )


@command.command("show")
@click.argument("name", metavar="NAME|BUNDLE")
@click.option("--json", "as_json", is_flag=True, help="Write the card as JSON.")
@verbosity_options
def show_model(quiet: bool, name: str, as_json: bool) -> None:
    """Show a model card: input, classes, license, source, measured metrics."""
    from cnnkit.commands.models import model_card

    card = model_card(name)
    if as_json:
        click.echo(json.dumps(card.content, indent=2, ensure_ascii=False))
        return
    for line in _lines(_summary(card.content)):
        click.echo(line)


@command.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME|BUNDLE]...")
@verbosity_options
def verify_models(quiet: bool, names: tuple[str, ...]) -> None:
    """Check that model files match their cards.

    Exit status: 0 if all files match, 1 if not.
    """
    from cnnkit.bundles import embedded_names
    from cnnkit.commands.models import verify_models as errors_of
    from cnnkit.writers.terminal import printable

    failed = 0
    for name in names or embedded_names():
        error = errors_of(name)[name]
        failed += error is not None
        said = "ok" if error is None else with_flags(str(error))
        click.echo(printable(f"{name}: {said}"))
    click.get_current_context().exit(1 if failed else 0)


@command.command("import")
@click.argument("model", metavar="FILE|DIR")
@click.option("-o", "--output", required=True, metavar="BUNDLE", help="Folder of the new bundle.")
@click.option(
    "--task",
    metavar="classify|detect",
    help="What the model is for.  [default: as its outputs look]",
)
@click.option("--labels", metavar="FILE", help="Text file with one label per line.")
@click.option(
    "--like",
    metavar="FAMILY",
    help="Family with the same preprocessing: imagenet, timm-inception, clip, keras-tf, caffe, "
    "0-255, 0-1, yolo, yolo-classify, or yolox; or a detector head, such as yolov8 or detr.",
)
@click.option(
    "--size", type=Size(), metavar="HEIGHTxWIDTH", help="Input size, for a model that takes any."
)
@click.option("--layout", metavar="NHWC|NCHW", help="Layout, where the shape does not say it.")
@click.option("--colors", metavar="RGB|BGR|gray", help="Order of the colors.")
@click.option(
    "--mean", type=NumberList(), metavar="R,G,B", help="Subtracted from pixels from 0 to 255."
)
@click.option("--std", type=NumberList(), metavar="R,G,B", help="Divides what is left.")
@click.option("--fit", metavar="crop|pad|stretch", help="How to fit images to the input size.")
@click.option(
    "--crop-fraction", type=float, metavar="P", help="Share of the short side that a crop keeps."
)
@click.option(
    "--interpolation",
    metavar="NAME",
    help="bilinear, bicubic, lanczos, area, or plain-bilinear (without antialiasing).",
)
@click.option(
    "--scores",
    metavar="KIND",
    help="Scores of a classifier: logits, probabilities, independent-logits, logit, or "
    "probability.  [default: by its last operation]",
)
@click.option(
    "--features",
    metavar="TENSOR",
    help="Features of a classifier.  [default: the input of its last dense layer]",
)
@click.option("--name", metavar="NAME", help="Name of the model.  [default: the file's]")
@click.option(
    "--check-on", metavar="DIR", help="Folder of images; the results of the first five are shown."
)
@click.option("--overwrite", is_flag=True, help="Overwrite an existing bundle.")
@verbosity_options
def import_model(quiet: bool, **options: Any) -> None:
    """Make a bundle of a model in another format: ONNX, TFLite, OpenVINO, or SavedModel.

    What the file says of itself is used (metadata of Ultralytics, timm, Transformers, TFLite,
    and cnnkit); what it does not say must be given. OpenVINO runs the model: it can classify,
    detect, and be evaluated, but not be trained, explained by gradients, or exported.
    """
    from cnnkit.commands.import_model import import_model as make

    imported = make(**options)
    if not quiet:
        for line in _imported(imported):
            click.echo(line)


def _imported(imported: ImportedModel) -> Iterator[str]:
    """Yield what a new bundle is, and its first results."""
    from cnnkit.writers.terminal import printable

    card = imported.card
    image, graph = card["input"], card["graph"]["input"]
    mean, std = (", ".join(f"{v:g}" for v in graph[name]) for name in ("mean", "std"))
    source = f" (said by {imported.said_by})" if imported.said_by else ""
    yield printable(
        f"{imported.path}: {imported.task}, {card['classes']} classes, "
        f"{image['height']}x{image['width']} {graph['layout']} {graph['colors']}, "
        f"mean {mean}, std {std}, {image['fit']}, {image['interpolation']}{source}"
    )
    for path, result in imported.examples:
        yield printable(f"  {path}: {_result(result)}")


def _result(result: Any) -> str:
    """Return one line for the result of an image."""
    from cnnkit.results import Failure

    if isinstance(result, Failure):
        return f"{result.kind}: {result.message}"
    if hasattr(result, "predictions"):
        return ", ".join(f"{one.label} {one.score:.3f}" for one in result.predictions)
    pairs = zip(result.labels, result.scores, strict=True)
    found = [f"{label} {score:.2f}" for label, score in pairs]
    return ", ".join(found) or "nothing found"


def _summary(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card with its accuracies by precision, and without a line for each range."""
    from cnnkit.bundles.card import INT8
    from cnnkit.bundles.figures import accuracy_by_precision

    shown = dict(content)
    if content.get(INT8):
        section = dict(content[INT8])
        shown[INT8] = section | {"ranges": f"of {len(section.get('ranges', ()))} layers"}
    if accuracies := accuracy_by_precision(content):
        measured = shown.pop("measured")
        shown |= {"accuracy": accuracies, "measured": measured}
    return shown


def _lines(content: Any, indent: str = "") -> list[str]:
    """Return a card as indented ``key: value`` lines."""
    from cnnkit.writers.terminal import printable

    lines: list[str] = []
    for key, value in content.items():
        if isinstance(value, dict):
            lines += [f"{indent}{printable(key)}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{indent}{printable(key)}:")
            lines += [f"{indent}  - {printable(_entry(item))}" for item in value]
        else:
            shown = "none" if value is None or value == [] else str(value)
            lines.append(f"{indent}{printable(key)}: {printable(shown)}")
    return lines


def _entry(item: Mapping[str, Any]) -> str:
    """Return one of several entries of a card: a metric as ``what: value (how)``."""
    if not {"what", "value"} <= item.keys():
        return ", ".join(f"{k} {v}" for k, v in item.items())
    how = "; ".join(str(v) for k, v in item.items() if k not in ("what", "value"))
    return f"{item['what']}: {item['value']}" + (f" ({how})" if how else "")
