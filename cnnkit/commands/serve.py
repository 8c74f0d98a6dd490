"""``cnnkit serve`` as a function."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cnnkit.argument_types import checks_types
from cnnkit.bundles import Bundle
from cnnkit.commands.inputs import AnyPath, Inputs, path_list
from cnnkit.commands.opened import opened_bundle
from cnnkit.commands.serve_faces import identify_task, verify_task, verifying
from cnnkit.commands.serve_images import explain_task, explaining, stylize_task, stylizing
from cnnkit.commands.serve_tasks import classify_task, classifying, detect_task, detecting
from cnnkit.errors import UsageError, broken_rule, mutually_exclusive
from cnnkit.faces.gallery import Gallery
from cnnkit.runtime import RuntimeOptions
from cnnkit.serving.tasks import ServedModel, ServedTask

log = logging.getLogger("cnnkit")

# What is served unless models are named: the default of each task.
DEFAULT_MODELS = ("efficientnet-lite0", "nanodet-g", "dlib-face", "magenta-style")
MEGABYTE = 1_000_000
LONGEST_TOKEN_FILE = 4096
# Further threads with a GPU: they prepare images and wait for their batch.
GPU_WORKERS = 32

MakeTask = Callable[[Sequence[ServedModel]], ServedTask]
TASKS: dict[str, MakeTask] = {
    "classify": classify_task,
    "detect": detect_task,
    "verify": verify_task,
    "explain": explain_task,
    "stylize": stylize_task,
}
# What the models for a task of a card are served for.
SERVED = ("classify", "detect", "embed-face", "stylize")


@checks_types
def serve(
    models: Inputs = (),
    *,
    gallery: Gallery | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    token_file: AnyPath | None = None,
    allow_host: Sequence[str] = (),
    max_body: float = 25,
    max_pixels: int = 64_000_000,
    max_queue: int = 32,
    timeout: float = 60,
    workers: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 0,
) -> None:
    """Answer requests over HTTP: an image in, the row of the command out; and a page to try it.

    It listens on this machine only, unless a token keeps strangers out. It returns when the
    process is told to stop (SIGTERM), after the requests under way are answered.

    Args:
        models: Classifiers, detectors, face embedders, and networks that stylize in one pass:
            embedded names, bundle folders, or model files; by default the default of each task.
            The first of a task is its default.
        gallery: A loaded gallery, whose people are then recognized.
        host: The address to listen on. Any other than this machine's own needs a token.
        port: The port to listen on; 0 for any that is free.
        token: What clients must send in the header ``Authorization: Bearer TOKEN``, at least 16
            characters.
        token_file: A file whose first line is the token.
        allow_host: Further names by which clients may call the service, such as that of a proxy.
        max_body: Largest request, in megabytes.
        max_pixels: Largest number of pixels of an image to decode.
        max_queue: Requests that may wait; further ones are refused (503).
        timeout: Seconds that a request may take.
        workers: Threads that answer; by default one more than CPUs, and 32 more with a GPU, where
            requests share batches.
        device: ``auto``, ``cpu`` or ``gpu``.
        runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``.
        threads: Number of CPU threads; 0 uses all that are available.

    Raises:
        UsageError: An argument is invalid, or the port is taken.
        BundleError: A model cannot be opened, or is unsafe to open.
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
        KeyboardInterrupt: Ctrl+C stopped it.
    """
    for name, value, low, high in (
        ("port", port, 0, 65535),
        ("max_body", max_body, 0.001, 2000),
        ("max_queue", max_queue, 0, 10_000),
        ("timeout", timeout, 0.01, 86_400),
    ):
        if not low <= value <= high:
            raise UsageError(broken_rule(f"`{name}`", f"lie between {low} and {high}", value))
    try:
        from cnnkit.isolation.decoders import Decoders
        from cnnkit.serving.app import Limits, make_app
        from cnnkit.serving.guards import Access
        from cnnkit.serving.running import listening, run, url_of
    except ImportError as error:
        fix = "Install it with: pip install 'cnnkit[serve]'."
        raise UsageError(f"Serving needs {error.name}. {fix}") from error
    options = RuntimeOptions(device, runtime, precision, threads)
    access = Access(host, _token(token, token_file), allow_host)
    several = min(workers or options.workers, options.workers)
    with listening(host, port) as opened, Decoders(several) as decoders:
        tasks = open_tasks(path_list(models) or DEFAULT_MODELS, options, max_pixels, gallery)
        count = workers or options.workers + (GPU_WORKERS if _on_gpu(tasks) else 0)
        limits = Limits(count, max_queue, round(max_body * MEGABYTE), timeout)
        decoders.check()
        app = make_app(tasks, limits, access, decoders)
        log.info("Ready: %s", url_of(opened))
        run(app, opened, timeout=timeout, connections=limits.workers + limits.max_queue)


def open_tasks(
    models: Sequence[str],
    options: RuntimeOptions,
    max_pixels: int,
    gallery: Gallery | None = None,
) -> list[ServedTask]:
    """Open and compile models, and return what they can do.

    Args:
        models: Names, folders and files.
        options: Where they run.
        max_pixels: Largest number of pixels of an image to decode.
        gallery: A loaded gallery.

    Raises:
        UsageError: A model has another task, or two have one name.
        BundleError: A model cannot be opened, or is unsafe to open.
        RuntimeUnavailableError: The requested device, runtime or precision is not available.
    """
    loaded: dict[str, list[ServedModel]] = {task: [] for task in TASKS}
    names: set[str] = set()
    for model in models:
        bundle = opened_bundle(model)
        task, name = bundle.card.task, bundle.card.name
        if task not in SERVED:
            rule = f"be for one of {', '.join(SERVED)}"
            raise UsageError(broken_rule("`models`", rule, f"{name}, for {task}"))
        if name in names:
            raise UsageError(broken_rule("`models`", "have different names", f"{name} twice"))
        names.add(name)
        for served_for, one in _opened(model, bundle, options, max_pixels):
            loaded[served_for].append(one)
    tasks = [TASKS[task](several) for task, several in loaded.items() if several]
    if gallery is not None:
        tasks.insert(min(3, len(tasks)), identify_task(gallery))
    return tasks


def _opened(
    model: str, bundle: Bundle, options: RuntimeOptions, max_pixels: int
) -> Iterator[tuple[str, ServedModel]]:
    """Yield what a model is served for, and what answers then."""
    task = bundle.card.task
    if task == "embed-face":
        yield "verify", verifying(model, bundle, options, max_pixels)
    elif task == "stylize":
        yield "stylize", stylizing(bundle, options, max_pixels)
    else:
        opener = classifying if task == "classify" else detecting
        yield task, opener(bundle, options, max_pixels)
        yield "explain", explaining(bundle, options, max_pixels)


def _on_gpu(tasks: Sequence[ServedTask]) -> bool:
    """Return whether a model runs on a GPU, which wants the images of many requests at a time."""
    return any(model.engine.get("device") == "gpu" for task in tasks for model in task.models)


def _token(token: str | None, file: AnyPath | None) -> str | None:
    """Return the token, None if there is none.

    Raises:
        UsageError: Both are given, or the file cannot be read.
    """
    if file is None:
        return token
    if token is not None:
        raise UsageError(mutually_exclusive("`token`", "`token_file`"))
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(LONGEST_TOKEN_FILE)
    except OSError as error:
        received = f"{os.fspath(file)}: {error.strerror or error}"
        raise UsageError(broken_rule("`token_file`", "be readable", received)) from error
    return content.partition(b"\n")[0].strip().decode("ascii", "replace")
