"""``cnnkit augment``."""

from __future__ import annotations

from typing import Any

import click

from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit augment cat.jpg dog.jpg -o sheet.png
  cnnkit augment photos/*.jpg -o sheet.png --recipe strong --count 9 --seed 7
  cnnkit augment street.jpg -o sheet.png --boxes instances.json
  cnnkit augment cat.jpg -o sheet.png --recipe mine.yaml
"""


@click.command("augment", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="IMAGE...")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE.png",
    help="Output contact sheet: .png, .jpg, or .webp.",
)
@click.option(
    "--recipe",
    default="light",
    show_default=True,
    metavar="none|light|strong|boxes|FILE",
    help="Recipe name, or an albumentations .json or .yaml file.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 64),
    default=7,
    show_default=True,
    metavar="N",
    help="Augmented versions per image.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed.",
)
@click.option(
    "--boxes",
    metavar="FILE",
    help="Boxes to transform too: COCO .json, or .csv with file,label,x1,y1,x2,y2.",
)
@click.option("--overwrite", is_flag=True, help="Overwrite an existing sheet.")
@shared.verbosity_options
def command(inputs: tuple[str, ...], quiet: bool, **options: Any) -> None:
    """Preview an augmentation recipe on images.

    Each row shows the original image and then COUNT augmented versions, as training would see
    them. The same seed gives the same versions.
    """
    paths = shared.input_arguments(inputs, null_separated=False)
    from cnnkit.commands.augment import augment

    sheet = augment(paths, **options)
    click.get_current_context().exit(1 if sheet.failures else 0)
