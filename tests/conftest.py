"""What every test may ask for: images, a cache folder of the tests' own, the command line."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.browser import Browser, find_chromium
from tests.eagerly import eagerly
from tests.forked import run_forked, run_module_forked, start_shared_server
from tests.initial_values import drawn_quickly
from tests.shared_predictors import sharing_compiled

ROOT = Path(__file__).resolve().parents[1]

# What a program needs to start, without anything that could change what cnnkit does.
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "CNNKIT_CACHE")

# The longest files, longest first: handed out last, they would keep one process busy alone.
LONGEST = (
    "test_robustness.py",
    "test_loop.py",
    "test_stored_graphs.py",
    "test_writing.py",
    "test_prediction.py",
    "test_readme.py",
    "test_methods.py",
    "test_resume.py",
    "test_transfer_learn.py",
    "test_learning.py",
    "test_gallery.py",
    "test_classify.py",
    "test_optimization.py",
    "test_laws.py",
    "test_efficientnet.py",
    "test_examples.py",
    "test_verify_face.py",
    "test_embedded_weights.py",
    "test_docs.py",
    "test_inference_doors.py",
    "test_explain.py",
    "test_one_pass.py",
    "test_exporting.py",
    "test_resnet.py",
    "test_own_graphs.py",
    "test_decode.py",
    "test_architectures.py",
    "test_squeezenet.py",
    "test_inception.py",
    "test_features.py",
    "test_choosing.py",
    "test_backends.py",
)

# What one process of tests may come to hold, in bytes: 3.2 GiB were measured, and its commands.
MEMORY = 4 << 30

hypothesis.settings.register_profile("cnnkit", deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "cnnkit")


def pytest_xdist_auto_num_workers() -> int:
    """Return one process more than there are cores: now and then each waits for something."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MEMORY
    return max(1, min((cores or 1) + 1, room))


def pytest_configure(config: pytest.Config) -> None:
    """Start one server of forked commands for all processes that xdist is about to start.

    These processes are forked from it themselves: each would import the same for ten seconds.
    Where lines are counted they are not, for those that run while the server imports are missed.
    """
    if getattr(config.option, "numprocesses", None) and not config.option.collectonly:
        python = start_shared_server()
        if not getattr(config.option, "cov_source", None):
            config.option.tx = [f"popen//python={python}"] * len(config.option.tx)


def pytest_collection_finish() -> None:
    """Take what is imported out of the collections to come: it is large and stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let each process begin to import at another place.

    In a fresh clone each compiles a part of the files so, and the others find it compiled.
    """
    report = yield
    if collector.path == ROOT / "tests" and report.result:
        number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        first = number % count * len(report.result) // count
        report.result[:] = report.result[first:] + report.result[:first]
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files begin, and all processes have one order."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (rank.get(item.path.name, len(rank)), item.path))  # stable


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of the free example images."""
    return ROOT / "examples" / "images"


def photos_folder(named: str | None) -> Path:
    """Return the folder that the user names; without one the test is skipped."""
    if not named or not os.path.isdir(named):
        pytest.skip(f"CNNKIT_TEST_DATA must be a folder of test images. Received: {named}.")
    return Path(named).resolve()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real images that are not part of the project; skips where none is named."""
    return photos_folder(os.environ.get("CNNKIT_TEST_DATA"))


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep compiled models in a folder of this session, never in the user's own cache."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # one folder for all processes: each model is compiled once
    folder = base / "cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNKIT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def quick_conversions() -> Iterator[None]:
    """Convert models and read graphs in forked processes; tests of fresh ones start a Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cnnkit.runtime.openvino_predictor.run_module", run_module_forked)
        patch.setattr("cnnkit.bundles.graphs.reading.run_module", run_module_forked)
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_once(cache_folder: Path) -> Iterator[None]:
    """Let the tests of this process share what OpenVINO compiles of the embedded models."""
    with sharing_compiled(cache_folder):
        yield


@pytest.fixture(scope="session", autouse=True)
def graphs_as_they_are() -> None:
    """Let TensorFlow run graphs unoptimized: that takes longer than the few steps of a test.

    Commands, in processes of their own, optimize theirs.
    """
    if "tensorflow" in sys.modules:
        options = {"disable_meta_optimizer": True}
        sys.modules["tensorflow"].config.optimizer.set_experimental_options(options)


@pytest.fixture(scope="session", autouse=True)
def quick_initial_weights() -> Iterator[None]:
    """Let networks in this process draw their initial weights quickly."""
    if "keras" in sys.modules:
        with drawn_quickly():
            yield
    else:
        yield


@pytest.fixture
def eager() -> Iterator[None]:
    """Trace no TensorFlow function in this test."""
    with eagerly():
        yield


@pytest.fixture
def no_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure no bundle of this test in 8-bit integers: most of the time of a small training."""
    monkeypatch.setattr("cnnkit.bundles.writing.int8_sections", lambda *_: {})


@pytest.fixture(autouse=True)
def messages_of_this_test_only() -> None:
    """Take back how a command that ran in this process, for a test or a fixture, set up messages.

    A library that nobody has configured is what a program sees that imports it.
    """
    logger = logging.getLogger("cnnkit")
    logger.setLevel(logging.NOTSET)
    logger.propagate, logger.handlers[:] = True, []


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium with one page; skips where there is none."""
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine")
    browser = Browser(executable, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def clean_environment(tmp_path: Path, cache_folder: Path) -> dict[str, str]:
    """Environment variables for a subprocess: an empty home folder and nothing of the caller's."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | {"HOME": str(home), "LC_ALL": "C.UTF-8"}


@pytest.fixture
def run_cnnkit(
    tmp_path: Path, clean_environment: dict[str, str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``cnnkit ARGUMENTS`` as a user does, in `tmp_path`, and return the finished process.

    Keyword arguments: `environment` (more variables), `stdin` (text), `cwd`, `timeout` (seconds),
    and `fresh`: in a Python that has imported nothing, for variables that imports read.
    """

    def run(
        *arguments: object,
        environment: dict[str, str] | None = None,
        stdin: str = "",
        cwd: Path = tmp_path,
        timeout: float = 400,
        fresh: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        command = ["-m", "cnnkit", *map(str, arguments)]
        variables = clean_environment | (environment or {})
        if not fresh:
            return run_forked(command, cwd=cwd, env=variables, stdin=stdin, timeout=timeout)
        return subprocess.run(
            [sys.executable, *command],
            input=stdin,
            cwd=cwd,
            env=variables,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=timeout,
        )

    return run


@pytest.fixture
def run_cnnkit_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``cnnkit ARGUMENTS`` in this process, in `tmp_path` or `cwd`, and return what it said.

    For what is refused before any work: a process of its own takes ten times as long.
    """
    from cnnkit.cli import _run

    def run(*arguments: object, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        command = ["cnnkit", *map(str, arguments)]
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", command)
        capfd.readouterr()
        status = _run()
        return subprocess.CompletedProcess(command, status, *capfd.readouterr())

    return run


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """An empty object store in memory, which nothing but a test may open."""
    pytest.importorskip("fsspec")
    from cnnkit.storage import places, remote

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(places.SCHEMES, "memory", ("remote", "fsspec"))
    system = remote.file_system("memory://")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()
    remote._opened.pop("memory", None)


@pytest.fixture
def machine(bucket, tmp_path, monkeypatch):
    """A machine with a cache of its own; call it to change to another one."""

    def change(name: str) -> Path:
        monkeypatch.setenv("CNNKIT_CACHE", str(tmp_path / name))
        return tmp_path / name / "outputs"

    change("first")
    return change


@pytest.fixture
def s3(monkeypatch, tmp_path):
    """A bucket on a server on the loopback address."""
    pytest.importorskip("s3fs")
    fsspec = pytest.importorskip("fsspec")
    from cnnkit.storage import remote

    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "_opened", {})
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    system = remote.file_system("s3://bkt")
    if not system.exists("bkt"):  # the server of an earlier test had the same state
        system.mkdir("bkt")
    yield system
    server.stop()
    fsspec.get_filesystem_class("s3").clear_instance_cache()
