"""The command line: ``python -m models.convert --help``, from the project's root."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cnnkit.bundles.embedded import embedded_names
from cnnkit.errors import CnnkitError
from models.convert import style_bundle
from models.convert.conversion import CONVERSIONS, DETECTORS, SOURCES
from models.convert.graphs import write_model_graphs
from models.convert.measure import measure
from models.convert.measure_int8 import measure_int8
from models.convert.network_conversion import NETWORK_SOURCES
from models.convert.ranges import CALIBRATIONS, write_ranges
from models.convert.source import MODELS_FOLDER

cache_option = click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    default=MODELS_FOLDER.parent / ".artifacts",
    help="Folder of downloads.  [default: .artifacts]",
)


@click.group()
def main() -> None:
    """Rebuild the embedded models from their pinned sources."""


def conversion_command(name: str, models: list[str]) -> click.Command:
    """Return the command that converts these models."""

    @click.command(name, help=f"Convert {', '.join(models)}.")
    @cache_option
    @click.option(
        "--check-original",
        is_flag=True,
        help="Run the original networks as well and write the goldens anew.",
    )
    def command(cache: Path, check_original: bool) -> None:
        for model in models:
            difference = CONVERSIONS[model](cache, check_original)
            click.echo(f"{model}: at most {difference:.1e} from the original's outputs")

    return command


for _name in CONVERSIONS:
    main.add_command(conversion_command(_name, [_name]))
main.add_command(conversion_command("all", list(CONVERSIONS)))


@main.command("measure")
@click.argument("name", type=click.Choice(list(CALIBRATIONS)))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Labeled photos.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "int8"]),
    default="float32",
    show_default=True,
    help="float32 is for classifiers: `cnnkit evaluate` measures detectors.",
)
@cache_option
def measure_command(name: str, data: Path, precision: str, cache: Path) -> None:
    """Measure NAME on labeled photos and write the figures into its card."""
    if precision == "int8":
        sources = {
            **SOURCES,
            **DETECTORS,
            **NETWORK_SOURCES,
            style_bundle.NAME: style_bundle.SOURCE,
        }
        figures = measure_int8(sources[name], data)
    elif name in SOURCES:
        figures = measure(SOURCES[name], data, cache)
    else:
        raise click.BadParameter(f"must name a classifier in float32. Received: {name}.")
    for what, value in figures.items():
        click.echo(f"{what}: {value}")


@main.command("graphs")
@click.argument("names", nargs=-1, type=click.Choice(embedded_names()))
def graphs_command(names: tuple[str, ...]) -> None:
    """Write the graphs with which NAMES, by default all, start without TensorFlow."""
    for name in names or embedded_names():
        size = write_model_graphs(name)
        click.echo(f"{name}: {size:,} bytes")


@main.command("ranges")
@click.argument("names", nargs=-1, type=click.Choice(list(CALIBRATIONS)))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder with coco64/ and imagenet200/.",
)
def ranges_command(names: tuple[str, ...], data: Path) -> None:
    """Write the ranges of activations of NAMES, by default all, into their cards."""
    for name in names or CALIBRATIONS:
        click.echo(f"{name}: {write_ranges(name, data)} layers in 8-bit integers")


if __name__ == "__main__":
    try:
        main(prog_name="python -m models.convert")
    except CnnkitError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
