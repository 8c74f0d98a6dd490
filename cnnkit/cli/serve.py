"""``cnnkit serve``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import galleries
from cnnkit.cli import options as shared
from cnnkit.errors import UsageError, requires

if TYPE_CHECKING:
    from cnnkit.faces.gallery import Gallery

EXAMPLES = """\b
Examples:
  cnnkit serve
  cnnkit serve --model efficientnet-lite3 --model my-detector/
  cnnkit serve --gallery team.gallery --passphrase-file secret.txt
  cnnkit serve --host 0.0.0.0 --token-file token.txt --allow-host vision.example.org
  curl --data-binary @cat.jpg "http://127.0.0.1:8000/v1/classify?top-k=3"
  curl -F a=@passport.jpg -F b=@selfie.jpg http://127.0.0.1:8000/v1/verify
"""


@click.command("serve", epilog=EXAMPLES)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="Model to serve. Repeatable; the first of a task is its default.  "
    "[default: the default model of each task]",
)
@click.option("--gallery", metavar="FILE", help="Face gallery whose people are recognized.")
@galleries.passphrase_options
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on; any but this machine's own requires a token.",
)
@click.option(
    "--port",
    type=int,
    default=8000,
    show_default=True,
    metavar="N",
    help="Port to listen on; 0 for any that is free.",
)
@click.option(
    "--token",
    metavar="SECRET",
    help="Token that clients must send; other users of this machine can see it here.",
)
@click.option("--token-file", metavar="FILE", help="File whose first line is the token.")
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Another name by which clients may call the service. Repeatable.",
)
@click.option(
    "--max-body",
    type=float,
    default=25,
    show_default=True,
    metavar="MB",
    help="Largest request, in megabytes.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=64_000_000,
    show_default=True,
    metavar="N",
    help="Reject larger images before decoding.",
)
@click.option(
    "--max-queue",
    type=int,
    default=32,
    show_default=True,
    metavar="N",
    help="Requests that may wait; more are refused with status 503.",
)
@click.option(
    "--timeout",
    type=float,
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Time limit of a request.",
)
@shared.workers_option("Threads that answer.  [default: CPUs + 1]")
@shared.runtime_options
@shared.verbosity_options
def command(quiet: bool, gallery: str | None, passphrase_file: str | None, **chosen: Any) -> None:
    """Serve models over HTTP, with a page to try them in a browser.

    POST an image to /v1/classify, detect, verify, identify, explain, or stylize; the answer is the
    row of the command. Only this machine can reach the service, unless --host and a token say
    otherwise. Ctrl+C stops it, after the requests under way are answered.
    """
    from cnnkit.commands.serve import serve

    opened = None
    if gallery is not None:
        opened = _gallery(gallery, passphrase_file, chosen)
    elif passphrase_file is not None:
        raise UsageError(requires("`passphrase_file`", "`gallery`"))
    serve(gallery=opened, **chosen)


def _gallery(path: str, passphrase_file: str | None, chosen: dict[str, Any]) -> Gallery:
    """Open a gallery with the embedder that filled it."""
    from cnnkit.faces.gallery import Gallery
    from cnnkit.faces.gallery.embedders import embedder_name

    with galleries.open_gallery(path, passphrase_file) as file:
        embedder = galleries.open_embedder(
            file,
            embedder=str(embedder_name(file, None)),
            detector=None,
            min_face=40,
            min_score=None,
            mirror=file.settings.embedder.identity.endswith(" mirror"),
            max_pixels=chosen["max_pixels"],
            device=chosen["device"],
            runtime=chosen["runtime"],
            precision="auto",
            threads=chosen["threads"],
        )
        return Gallery(file, embedder)
