"""Ray itself, on this machine: what dies, what listens, and what is left behind.

Each test has a network of its own, with the loopback address and one that others could reach.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.classification.training.drawings import draw

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the package ray"),
    pytest.mark.skipif(
        shutil.which("unshare") is None or os.geteuid() != 0, reason="needs a network of its own"
    ),
]

ALONE = """
ip link set lo up
ip addr add 10.87.1.1/24 dev lo
exec "$@"
"""
ROUNDS = 12
TOPS = ("plain", "cluster")
SECONDS = 240
# Which process an image kills, in the script that runs a job.
FATAL = """
import os, sys, cnnkit, cnnkit.commands.classify as command
from cnnkit.cluster import OpenedModel
opened = command._opened
def opens(*arguments, **settings):
    model = opened(*arguments, **settings)
    def rows(found):
        for one in found:
            if "fatal" in one.path:
                os.kill(os.getpid(), 9)
        return model.rows(found)
    return OpenedModel(model.identity, rows)
command._opened = opens
cnnkit.classify("photos", output="rows.jsonl", engine="ray", shard_size=20)
"""
# Every other job, by one connection, in one process and on the cluster.
JOBS = """
import os, cnnkit
from cnnkit.runtime.ray_session import ray_session
os.makedirs("people/Eileen")
os.symlink(os.path.abspath("photos/00-astronaut.jpg"), "people/Eileen/a.jpg")
gallery = cnnkit.Gallery.create("team.gallery")
gallery.enroll("people")
names = ["photos/00-astronaut.jpg", "photos/01-photographer.jpg", "photos/05-text.jpg"]
pairs = [(a, b) for a in names for b in names]
with ray_session(None):
    for name, more in (("plain", {}), ("cluster", {"engine": "ray", "shard_size": 2})):
        os.mkdir(name)
        outputs = [f"{name}/detect.jsonl", f"coco:{name}/coco.json"]
        cnnkit.detect(names, output=outputs, **more)
        maps = {"maps": "maps", "overwrite": True}
        cnnkit.explain(names, output=f"{name}/explain.csv", **maps, **more)
        cnnkit.identify(gallery, names, output=f"{name}/identify.jsonl", **more)
        cnnkit.verify_pairs(pairs, faces="largest", output=f"{name}/pairs.jsonl", **more)
"""
# A backbone that an image kills: it is left out.
FATAL_FEATURE = """
import os, sys, cnnkit
from cnnkit.classification.training import feature_cluster
from cnnkit.cluster import OpenedModel
opened = feature_cluster.opened_features
def opens(**settings):
    model = opened(**settings)
    def rows(found):
        for one in found:
            if "grids/003" in one.path:
                os.kill(os.getpid(), 9)
        return model.rows(found)
    return OpenedModel(model.identity, rows)
feature_cluster.opened_features = opens
more = {"backbone": "squeezenet-1.1", "max_bad": 1, "engine": "ray", "shard_size": 8}
cnnkit.transfer_learn("drawings", "fatal", **more)
"""
# A model that cannot be opened in a process of the cluster.
HOPELESS = """
import os, sys, cnnkit, cnnkit.commands.classify as command
command._opened = lambda *arguments, **settings: os.kill(os.getpid(), 9)
try:
    cnnkit.classify("photos", output="rows.jsonl", engine="ray")
except cnnkit.CnnkitError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
# Two machines in one: the cluster runs until a line comes in, then loses a machine.
TWO_NODES = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.remove_node(second, allow_graceful=False)
print("lost", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""
# An object store, which copies its objects into a folder for each line that comes in.
STORE = """
import logging, os, sys, fsspec
from moto.server import ThreadedMotoServer
logging.disable()
server = ThreadedMotoServer("127.0.0.1", 9000, verbose=False)
server.start()
key = {"key": "test", "secret": "test", "endpoint_url": "http://127.0.0.1:9000"}
store = fsspec.filesystem("s3", use_listings_cache=False, **key)
store.mkdir("bkt")
print("ready", flush=True)
for line in sys.stdin:
    names = store.find("bkt")
    for name in names:
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(store.cat_file(name))
    print(*names, flush=True)
"""
# A command that writes there, from a machine with a cache of its own.
STORED = """
import os, sys
cache, *arguments = sys.argv[1:]
key = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
os.environ.update(key, AWS_ENDPOINT_URL="http://127.0.0.1:9000", CNNKIT_CACHE=cache)
from cnnkit.cli import main
sys.argv = ["cnnkit", "classify", "photos", "--engine", "ray", "--shard-size", "8", *arguments]
main()
"""


@pytest.fixture
def photos(examples: Path, tmp_path: Path) -> Path:
    """A folder with some images, and one that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    images = sorted(examples.glob("*.jpg"))
    for number in range(ROUNDS):
        for image in images:
            (folder / f"{number:02d}-{image.name}").symlink_to(image)
    (folder / "05-text.jpg").write_text("no image")
    return folder


@pytest.fixture
def run(
    tmp_path: Path, photos: Path, clean_environment: dict[str, str]
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python with some arguments in a network of its own; all of it ends with the test."""
    network: list[subprocess.Popen[str]] = []
    environment = clean_environment | {"RAY_USAGE_STATS_ENABLED": "0"}

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = ["unshare", "-n", "bash", "-c", ALONE, "-", sys.executable, *arguments]
        if network and network[0].poll() is None:  # the same network as the first one's
            command = ["nsenter", "-t", str(network[0].pid), "-n", *command[6:]]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        network.append(process)
        namespaces.append(network_of(process.pid))
        return process

    namespaces: list[str] = []
    yield start
    for namespace in set(namespaces) - {network_of(os.getpid())}:
        for pid in in_network(namespace):
            os.kill(pid, signal.SIGKILL)
    for process in network:
        process.kill()
        process.communicate()


def network_of(pid: int) -> str:
    """Return the name of a process's network, once it is no longer this one's."""
    own = os.readlink("/proc/self/ns/net")
    for _ in range(100):
        name = os.readlink(f"/proc/{pid}/ns/net")
        if name != own or pid == os.getpid():
            return name
        time.sleep(0.02)
    raise AssertionError("the process has no network of its own")


def in_network(name: str) -> list[int]:
    """Return the processes of a network that have not ended."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/ns/net") == name:
                found.append(int(pid))
        except OSError:
            continue
    return found


def listening(pid: int) -> set[str]:
    """Return the addresses that processes of a network listen at, in the kernel's spelling."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == "0A":
                found.add(local.split(":")[0])
    return found


def workers(name: str) -> list[int]:
    """Return the processes of a network that have, or will have, a model open."""
    found = []
    for pid in in_network(name):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::ImageWorker"):
                found.append(pid)
        except OSError:
            continue
    return found


def until(holds: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something holds, as long as a process runs."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def arguments(*more: str, engine: str = "ray") -> list[str]:
    few = ["--engine", engine, "--shard-size", "20"]
    return ["-m", "cnnkit", "classify", "photos", "-o", "rows.jsonl", *few, *more]


def ended(process: subprocess.Popen[str], status: int) -> tuple[str, str]:
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == status, err
    return out, err


@pytest.fixture
def plain(run_cnnkit, photos, tmp_path: Path) -> Path:
    """The files of the command in one process."""
    features = ("--embeddings", "plain.npy")
    assert run_cnnkit("classify", "photos", "-o", "plain.jsonl", *features).returncode == 1
    return tmp_path / "plain.jsonl"


def parts(tmp_path: Path) -> int:
    return len(list((tmp_path / "rows.jsonl.parts").glob("*.part")))


def test_rows_and_embeddings_are_equal_and_nothing_is_left(run, plain, tmp_path) -> None:
    before = set(os.listdir("/tmp"))
    process = run(*arguments("--embeddings", "rows.npy"))
    network, addresses = network_of(process.pid), set()

    def has_rows() -> bool:
        addresses.update(listening(process.pid))
        return parts(tmp_path) >= 2

    until(has_rows, process)
    _, err = ended(process, 1)
    assert err.count("\n") == 1 and " ok, 1 failed" in err  # the summary only
    assert (tmp_path / "rows.jsonl").read_bytes() == plain.read_bytes()
    assert (tmp_path / "rows.npy").read_bytes() == plain.with_suffix(".npy").read_bytes()
    # 127.0.0.1, also as IPv6 has it, in the order of bytes of this machine.
    assert addresses == {"0100007F", "0000000000000000FFFF00000100007F"}
    assert in_network(network) == []
    assert os.listdir(tmp_path / "home") == []
    assert not (tmp_path / "rows.jsonl.parts").exists()
    assert {name for name in set(os.listdir("/tmp")) - before if "ray" in name} == set()


def test_a_worker_that_is_killed_loses_nothing(run, plain, tmp_path) -> None:
    process = run(*arguments())
    until(lambda: parts(tmp_path) >= 2, process)
    for pid in workers(network_of(process.pid)):
        os.kill(pid, signal.SIGKILL)
    ended(process, 1)
    assert (tmp_path / "rows.jsonl").read_bytes() == plain.read_bytes()


def test_a_command_that_is_killed_can_be_resumed(run, plain, tmp_path) -> None:
    before = set(os.listdir("/tmp"))
    process = run(*arguments())
    until(lambda: parts(tmp_path) >= 3, process)
    network = network_of(process.pid)
    process.kill()
    process.communicate()
    end = time.monotonic() + 60
    while left := in_network(network):
        assert time.monotonic() < end, left
        time.sleep(0.5)
    assert {name for name in set(os.listdir("/tmp")) - before if "ray" in name} == set()
    (tmp_path / "photos" / "00-later.jpg").write_text("listed once: not an input of this run")
    other = run(*arguments("--resume", "--top-k", "3"))
    assert "requires the same options" in ended(other, 2)[1]
    ended(run(*arguments("--resume")), 1)
    assert (tmp_path / "rows.jsonl").read_bytes() == plain.read_bytes()


def test_an_image_that_kills_its_process_is_a_row(run, plain, photos, tmp_path) -> None:
    shutil.copy(photos / "05-cat.jpg", photos / "05-fatal.jpg")
    process = run("-c", FATAL)
    _, err = ended(process, 0)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    crashed = [row for row in rows if row["path"] == "photos/05-fatal.jpg"]
    assert [row["error"]["kind"] for row in crashed] == ["crashed"], err
    others = [row for row in rows if row not in crashed]
    assert others == [json.loads(line) for line in plain.read_text().splitlines()]


def test_every_other_job_gives_the_same_files(run, tmp_path) -> None:
    ended(run("-c", JOBS), 0)
    plain, cluster = tmp_path / "plain", tmp_path / "cluster"
    names = sorted(os.listdir(plain))
    assert names == ["coco.json", "detect.jsonl", "explain.csv", "identify.jsonl", "pairs.jsonl"]
    assert sorted(os.listdir(cluster)) == names
    assert [(plain / n).read_bytes() for n in names] == [(cluster / n).read_bytes() for n in names]


def features_in(cache: Path) -> dict[tuple[str, bytes], bytes]:
    """Return the features that are kept, by the file and the image's content."""
    found = {}
    for file in (cache / "features").glob("*.sqlite"):
        with contextlib.closing(sqlite3.connect(file)) as database:
            for content, vector in database.execute("SELECT content, vector FROM features"):
                found[file.name, content] = vector
    return found


@pytest.fixture
def drawings(tmp_path: Path, cache_folder: Path) -> Path:
    """Images to learn from, whose features are not known."""
    shutil.rmtree(cache_folder / "features", ignore_errors=True)
    return draw(tmp_path / "drawings", count=6)


def test_a_classifier_is_the_one_that_one_process_trains(
    run, run_cnnkit, drawings, cache_folder, tmp_path
) -> None:
    for top in TOPS:
        (tmp_path / top).mkdir()
    few = ["--engine", "ray", "--shard-size", "4", "--views", "1"]
    process = run("-m", "cnnkit", "transfer-learn", "drawings", "-o", "cluster/model", *few)
    until(lambda: len(features_in(cache_folder)) >= 8, process)
    for pid in workers(network_of(process.pid)):
        os.kill(pid, signal.SIGKILL)
    network = network_of(process.pid)
    ended(process, 0)
    assert in_network(network) == []
    computed = features_in(cache_folder)
    assert len(computed) == 3 * 18 + 15  # of each backbone, and a view of each training image
    shutil.rmtree(cache_folder / "features")
    plain = run_cnnkit("transfer-learn", "drawings", "-o", "plain/model", "--views", "1")
    assert plain.returncode == 0, plain.stderr
    assert features_in(cache_folder) == computed
    names = sorted(os.listdir(tmp_path / "plain" / "model"))
    assert sorted(os.listdir(tmp_path / "cluster" / "model")) == names
    for name in names:
        if name not in ("report.html", "model.keras"):  # they name the time
            contents = [(tmp_path / top / "model" / name).read_bytes() for top in TOPS]
            assert contents[0] == contents[1], name


def test_an_image_that_kills_its_process_is_left_out_of_a_training(run, drawings, tmp_path) -> None:
    _, err = ended(run("-c", FATAL_FEATURE), 0)
    card = json.loads((tmp_path / "fatal" / "card.json").read_text())
    assert card["training"]["data"]["left_out"] == 1, err
    assert sum(card["training"]["data"]["pictures"].values()) == 17


def test_a_model_that_kills_each_process_ends_the_run(run) -> None:
    _, err = ended(run("-c", HOPELESS), 1)
    assert "RuntimeUnavailableError: 127.0.0.1: the process died 3 times before" in err


def test_a_machine_that_is_lost_loses_nothing(run, plain, tmp_path) -> None:
    cluster = run("-c", TWO_NODES)
    assert cluster.stdout is not None and cluster.stdin is not None
    address = cluster.stdout.readline().strip()
    assert address, cluster.communicate()
    process = run(*arguments(engine=f"ray:{address}"))
    until(lambda: parts(tmp_path) >= 2, process)
    assert len(workers(network_of(process.pid))) == 2
    cluster.stdin.write("\n")
    cluster.stdin.flush()
    assert cluster.stdout.readline() == "lost\n"
    ended(process, 1)
    assert (tmp_path / "rows.jsonl").read_bytes() == plain.read_bytes()


@pytest.mark.parametrize("output", ["s3://bkt/out/", "s3://bkt/rows.jsonl"])
def test_a_killed_command_that_writes_objects_is_resumed_elsewhere(
    run, plain, tmp_path, output
) -> None:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    store = run("-c", STORE)
    assert store.stdout.readline() == "ready\n"

    def objects() -> list[str]:
        store.stdin.write("\n")
        store.stdin.flush()
        return store.stdout.readline().split()

    driver = run("-c", STORED, str(tmp_path / "first"), "-o", output)
    until(lambda: len(objects()) >= (4 if output.endswith("/") else 1), driver)
    driver.kill()
    driver.communicate()
    ended(run("-c", STORED, str(tmp_path / "second"), "-o", output, "--resume"), 1)
    found = objects()
    if output.endswith("/"):
        assert found[0] == "bkt/out/finished.json" and found[-1] == "bkt/out/plan.jsonl"
        rows = b"".join((tmp_path / name).read_bytes() for name in found[1:-1])
    else:
        assert found == ["bkt/rows.jsonl"]
        rows = (tmp_path / "bkt" / "rows.jsonl").read_bytes()
    assert rows == plain.read_bytes()
