"""Measures `cnnkit serve` against FastAPI with Keras, against the stream, and for a long time.

    python benchmarks/serve.py FOLDER [--seconds 10] [--rounds 3] [--requests 10000] [--no-peer]

Clients are threads of this process that send the JPEG files of FOLDER over connections that stay
open, on the same machine: they take part of its processors. The service, its peer
(benchmarks/serve_fastapi.py, ``pip install fastapi``), and ``cnnkit classify`` of the same files
are measured in turns, by the clock and by the processor time of the answering process and of its
children alone, which other work on the machine disturbs less. The last part sends many requests, a
tenth of them bad, and watches the memory of the service and of the processes that decode, threads,
and open files.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent
MODEL = "efficientnet-lite0"
BAD = (b"", b"no image at all", b"\xff\xd8\xff\xe0" + bytes(500), b"GIF89a" + bytes(20))


@contextlib.contextmanager
def service() -> Iterator[tuple[int, int]]:
    """Start `cnnkit serve`, and give its process and its port."""
    options = ["--model", MODEL, "--port", "0", "--max-queue", "64"]
    command = [sys.executable, "-m", "cnnkit", "serve", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    ready = next(line for line in process.stderr if "Ready:" in line)
    found = re.search(r":(\d+)/", ready)
    assert found is not None
    # Its log must not fill the pipe.
    reader = threading.Thread(target=lambda: [None for _ in process.stderr or ()], daemon=True)
    reader.start()
    try:
        yield process.pid, int(found[1])
    finally:
        process.terminate()
        print("status at the end:", process.wait())


@contextlib.contextmanager
def peer(port: int) -> Iterator[tuple[int, int]]:
    """Start the peer, and give its process and its port."""
    command = [sys.executable, str(ROOT / "serve_fastapi.py"), str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while True:
            time.sleep(0.5)
            assert process.poll() is None, "the peer ended: run serve_fastapi.py to see why"
            with contextlib.suppress(OSError):
                http.client.HTTPConnection("127.0.0.1", port, timeout=2).connect()
                break
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def ask(connection: http.client.HTTPConnection, content: bytes) -> int:
    """Send one image, and return the status of the answer."""
    headers = {"Content-Type": "application/octet-stream"}
    connection.request("POST", "/v1/classify", content, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def load(port: int, images: list[bytes], clients: int, seconds: float) -> tuple[float, list[float]]:
    """Send images from several clients; return the answers per second and their sorted times."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    def client(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        own = itertools.cycle(images[first:] + images[:first])
        while time.perf_counter() < end:
            began = time.perf_counter()
            assert ask(connection, next(own)) == 200
            times.append(time.perf_counter() - began)
        connection.close()

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(times) / (time.perf_counter() - began), sorted(times)


def processor_seconds(process: int) -> float:
    """Return the processor time of a process and its children so far."""
    ticks = 0
    for one in (process, *children(process)):
        fields = Path(f"/proc/{one}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def children(process: int) -> list[int]:
    """Return the children of a process: those that decode."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return [int(one) for names in lists for one in names.read_text(encoding="utf-8").split()]


def stream_cost(folder: Path, files: int) -> tuple[float, float]:
    """Return images per second and processor seconds per image of `cnnkit classify`.

    Start-up is left out, by the difference of two runs.
    """

    def run(count: int) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as out:
            for number, path in zip(range(count), itertools.cycle(sorted(folder.glob("*.jpg")))):
                Path(out, f"{number}.jpg").symlink_to(path)
            command = [sys.executable, "-m", "cnnkit", "classify", out, "--model", MODEL, "-q"]
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([*command, "-o", f"{out}/rows.csv"], check=True)
            took = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return took, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)

    (many, cost), (few, base) = run(files), run(20)
    return (files - 20) / (many - few), (cost - base) / (files - 20)


def measured(
    at: tuple[int, int], images: list[bytes], clients: int, seconds: float
) -> tuple[float, float, str]:
    """Return images per second, processor seconds per image, and the times as text."""
    before = processor_seconds(at[0])
    rate, times = load(at[1], images, clients, seconds)
    cost = (processor_seconds(at[0]) - before) / len(times)
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    return rate, cost, f"p50 {1000 * p50:.1f} ms, p99 {1000 * p99:.1f} ms, {p99 / p50:.2f} times"


def compare(
    folder: Path, images: list[bytes], seconds: float, rounds: int, with_peer: bool
) -> None:
    """Measure the service, its peer, and the stream in turns."""
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}

    def note(name: str, rate: float, cost: float, more: str = "") -> None:
        print(f"{name:26} {rate:6.1f} images/s, {1000 * cost:5.1f} ms of CPU. {more}", flush=True)
        rates.setdefault(name, []).append(rate)
        costs.setdefault(name, []).append(cost)

    with service() as ours, contextlib.ExitStack() as stack:
        servers = {"serve": ours}
        if with_peer:
            servers["FastAPI + Keras"] = stack.enter_context(peer(ours[1] + 1))
        for at in servers.values():
            load(at[1], images, 2, 3)
        for _ in range(rounds):
            for clients in (1, 8):
                for name, at in servers.items():
                    note(f"{name}, {clients} clients", *measured(at, images, clients, seconds))
            note("classify stream", *stream_cost(folder, 300))
    for name in rates:
        rate, cost = statistics.median(rates[name]), statistics.median(costs[name])
        print(f"median: {name:26} {rate:6.1f} images/s, {1000 * cost:5.1f} ms of CPU per image")
    cost = statistics.median(costs["serve, 8 clients"])
    for name in ("classify stream", *(["FastAPI + Keras, 8 clients"] if with_peer else [])):
        print(f"CPU per image, {name} / serve: {statistics.median(costs[name]) / cost:.2f}")


def state_of(process: int) -> dict[str, object]:
    """Return the memory in MiB, the threads, and the open files of the service."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    numbers = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+)", status, re.M)}
    return {
        "VmRSS": numbers["VmRSS"] // 1024,
        "VmHWM": numbers["VmHWM"] // 1024,
        "threads": numbers["Threads"],
        "files": len(os.listdir(f"/proc/{process}/fd")),
        "PSS of the decoders": [memory_share(one) for one in children(process)],
    }


def memory_share(process: int) -> int:
    """Return the memory of a process in MiB, its part of what it shares."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
    found = re.search(r"^Pss:\s+(\d+)", text, re.M)
    return int(found[1]) // 1024 if found else 0


def soak(images: list[bytes], requests: int, clients: int = 8) -> None:
    """Send many requests, every tenth a bad one, and print what the service grows to."""
    numbers = itertools.count()
    statuses: Counter[int] = Counter()
    counting = threading.Lock()
    with service() as (process, port):

        def client() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            while (number := next(numbers)) < requests:
                bad = number % 10 == 9
                content = BAD[number // 10 % len(BAD)] if bad else images[number % len(images)]
                status = ask(connection, content)
                with counting:
                    statuses[status] += 1
                if number % (requests // 10) == requests // 20:
                    print(f"{number:8,} {state_of(process)}", flush=True)
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"answered: {sum(statuses.values()):,} of {requests:,}; {dict(statuses)}")
        print(state_of(process))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--no-peer", action="store_true")
    given = parser.parse_args()
    images = [path.read_bytes() for path in sorted(given.folder.glob("*.jpg"))]
    if given.rounds:
        compare(given.folder, images, given.seconds, given.rounds, not given.no_peer)
    if given.requests:
        soak(images, given.requests)


if __name__ == "__main__":
    main()
