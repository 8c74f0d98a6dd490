"""Measures what the delay of an object store costs: images/s from a bucket against local files.

    python benchmarks/remote.py [--images 200] [--delay 0.05] [--rounds 3] [--data FOLDER]

Needs `pip install 'cnnkit[s3]'`. The bucket is on a server of S3's protocol on the loopback
address, in a process of its own, that answers each request after the delay. It is a small one on
purpose: moto's takes a large part of the processor time that classifying an image does. Local and
remote runs take turns, after one each that does not count; the median of the ratios counts. The
goal is 0.8; status 1 if it is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
GOAL = 0.8
ENTRY = "<Contents><Key>{}</Key><Size>{}</Size><ETag>x</ETag></Contents>"
LISTING = (
    '<?xml version="1.0"?><ListBucketResult><Name>b</Name><Prefix></Prefix><KeyCount>{}</KeyCount>'
    "<MaxKeys>100000</MaxKeys><IsTruncated>false</IsTruncated>{}</ListBucketResult>"
)


# --- the server ---------------------------------------------------------------------------


def serve(folder: Path, delay: float) -> None:
    """Serve a folder as the bucket ``b`` and print the port."""
    contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        while line := await reader.readline():
            headers = {}
            while (one := (await reader.readline()).decode().strip()) != "":
                name, _, value = one.partition(":")
                headers[name.lower()] = value.strip()
            await asyncio.sleep(delay)
            method, target, _ = line.decode().split(" ")
            writer.write(response(contents, method, target, headers.get("range")))
            await writer.drain()
        writer.close()

    async def run() -> None:
        """Serve until the process ends."""
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(run())


def response(contents: dict[str, bytes], method: str, target: str, span: str | None) -> bytes:
    """Return what a server of S3's protocol answers."""
    url = urlsplit(target)
    key = unquote(url.path).removeprefix("/b").strip("/")
    status, kind, more = "200 OK", "binary/octet-stream", ""
    if "list-type" in parse_qs(url.query):
        prefix = parse_qs(url.query).get("prefix", [""])[0]
        found = [ENTRY.format(k, len(v)) for k, v in contents.items() if k.startswith(prefix)]
        body, kind = LISTING.format(len(found), "".join(found)).encode(), "application/xml"
    elif key not in contents:
        status, body = "404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>"
    else:
        body = contents[key]
        if span is not None:
            first, last = span.removeprefix("bytes=").split("-")
            end = min(int(last or len(body)), len(body) - 1)
            status, more = (
                "206 Partial Content",
                f"Content-Range: bytes {first}-{end}/{len(body)}\r\n",
            )
            body = body[int(first) : end + 1]
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + (b"" if method == "HEAD" else body)


@contextmanager
def served(folder: Path, delay: float) -> Iterator[int]:
    """Serve a folder in a process of its own; give the port."""
    command = [sys.executable, __file__, "--serve", str(folder), "--delay", str(delay)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()


# --- the measurement ----------------------------------------------------------------------


def measured(inputs: str, workers: int | None) -> float:
    """Return images/s of one run, opening the model not counted."""
    import cnnkit

    summary = cnnkit.classify(inputs, workers=workers)
    assert summary.failed == 0 and summary.ok
    return summary.ok / summary.seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--delay", type=float, default=0.05, metavar="SECONDS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--data", type=Path, default=ROOT / "examples/images")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.delay)
        return 0
    photos = sorted(path for path in options.data.rglob("*.jpg") if path.is_file())
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for number, photo in enumerate(itertools.islice(itertools.cycle(photos), options.images)):
            shutil.copy(photo, Path(folder) / f"{number:06}.jpg")
        with served(Path(folder), options.delay) as port:
            os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
            os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a"}
            os.environ |= {"AWS_DEFAULT_REGION": "us-east-1"}
            for turn in range(options.rounds + 1):
                began = time.process_time()
                local = measured(folder, options.workers)
                between = time.process_time()
                remote = measured("s3://b/", options.workers)
                seconds = [between - began, time.process_time() - between]
                if turn:  # the first opens everything
                    ratios.append(remote / local)
                    per_image = [1000 * one / options.images for one in seconds]
                    print(
                        f"local {local:.0f} images/s ({per_image[0]:.1f} ms of CPU each), "
                        f"remote {remote:.0f} ({per_image[1]:.1f} ms): {remote / local:.2f}"
                    )
    median = statistics.median(ratios)
    print(f"median {median:.2f} at {1000 * options.delay:.0f} ms, goal {GOAL}")
    return 0 if median >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
