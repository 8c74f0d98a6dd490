"""Render a template into one self-contained HTML file, written whole or not at all.

A new page is a template that extends ``base.html.jinja``, with its own .css and .js files beside
it, and one call of `write_page`. The style and the script are inlined, and a
Content-Security-Policy names their hashes: nothing else in the page can run, not even if an
escape were forgotten somewhere.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from cnnkit.errors import ImageError
from cnnkit.reports.escaping import image_data_url, visible
from cnnkit.writers.replacing import replacing

# What a page has room for: browsers open 100 MB in a second or two, and ten times that hardly.
IMAGE_BYTES = 64 << 20
ROW_BYTES = 32 << 20
# Cards of a page that shows all of them at once.
CARDS = 20_000


class Room:
    """The room that a page has for something: what does not fit, and all after it, is left out.

    Attributes:
        taken: How many things have found room.
        refused: How many have not.
    """

    def __init__(self, size: int) -> None:
        """Begin with all of it free.

        Args:
            size: In bytes, or whatever `take` counts in.
        """
        self._free = size
        self.taken = self.refused = 0

    @property
    def is_full(self) -> bool:
        """Whether something has been left out, so that all else will be."""
        return self.refused > 0

    def take(self, size: int = 1) -> bool:
        """Return whether there is room for something of this size, which then has it."""
        if self.is_full or size > self._free:
            self.refused += 1
            return False
        self._free -= size
        self.taken += 1
        return True


def write_page(
    path: str | os.PathLike[str],
    template: str,
    context: Mapping[str, Any],
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
) -> None:
    """Render `template` with `context` into the file `path`, piece by piece.

    Iterators in `context` are consumed while the file is written, so memory stays bounded by
    one piece, and later parts of the template see what the earlier ones counted.

    Args:
        path: The file to write; one that exists is replaced, after the new one is complete.
        template: The name of a template in this package.
        context: What the template shows. Plain text is escaped; only `Markup` is taken as HTML.
        styles: Names of style sheets in this package, added to the base's own.
        scripts: Names of scripts in this package.

    Raises:
        OutputError: The file cannot be written; no partial file is left behind.
    """
    style = "\n".join(asset(name) for name in ("base.css", *styles))
    script = "\n".join(asset(name) for name in scripts)
    pieces = (
        _environment()
        .get_template(template)
        .generate(
            **context,
            policy=content_security_policy(style, script),
            style=Markup(style),
            script=Markup(script),
        )
    )
    with replacing(path) as file:
        for piece in pieces:
            file.write(piece.encode("utf-8"))


def content_security_policy(style: str, script: str) -> str:
    """Return a policy under which only this style and script apply, and only data: images show."""

    def source(text: str) -> str:
        """Return a text's hash as a source that the policy allows."""
        if not text:
            return "'none'"
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"

    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {source(script)}",
            f"style-src {source(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


@cache
def asset(name: str) -> str:
    """Return the text of a style sheet or script of this package."""
    return files("cnnkit.reports").joinpath("templates", name).read_text(encoding="utf-8")


def timestamp(moment: datetime | None = None) -> str:
    """Return a moment, by default now, as for example ``2025-03-09 17:05 UTC``."""
    moment = moment or datetime.now(UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def thumbnail_url(
    thumbnail: Callable[[str], bytes | None] | None, path: str, room: Room | None = None
) -> str | None:
    """Return the ``data:`` address of an image's thumbnail, or None if there is none.

    Args:
        thumbnail: Gives JPEG, PNG or WebP bytes for a path, or None; it may raise `ImageError`,
            for example when the image has been moved away since.
        path: The path as the file system wants it.
        room: What the page has for images; once it is full, no thumbnail is made.
    """
    if thumbnail is None:
        return None
    if room is not None and room.is_full:
        room.take()
        return None
    try:
        address = image_data_url(thumbnail(path))
    except ImageError:
        return None
    if address is None or room is None:
        return address
    return address if room.take(len(address)) else None


def percent(share: float | None) -> str:
    """Return 0.4018 as ``40.2%``, and None as a dash."""
    return "–" if share is None else f"{100 * share:z.1f}%"


def decimals(number: float, count: int = 3) -> str:
    """Return 0.12345 as ``0.123``; what rounds to zero has no sign."""
    return f"{number:z.{count}f}"


def grouped(number: int) -> str:
    """Return 12345 as ``12,345``."""
    return f"{number:,}"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cnnkit.reports", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "grouped": grouped, "decimals": decimals}
    return environment


def _finalize(value: Any) -> Any:
    """Write out hidden characters in every plain text that a template shows."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def definitions(options: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    """Return options as pairs of text for a definition list; None and empty ones omitted."""
    for name, value in options.items():
        if value is None or value == "" or value == []:
            continue
        shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        yield str(name), {"True": "yes", "False": "no"}.get(shown, shown)
