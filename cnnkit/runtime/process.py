"""Process-wide settings: environment, threads, seeds, quiet and offline imports."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import platform
import random
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

CACHE_VARIABLE = "CNNKIT_CACHE"
# The time that a container may take of all processors, and in which time: control groups version 2,
# in one file, then version 1.
CPU_SHARES = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


def available_cpus() -> int:
    """Return how many processors this process may use.

    In a container no more than its share of their time is worth, rounded up: it may run on all of
    the machine, but threads beyond its share would only stop each other.
    """
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:  # not every system has affinities
        processors = os.cpu_count() or 1
    share = _container_share()
    return processors if share is None else max(1, min(processors, math.ceil(share)))


def _container_share() -> float | None:
    """Return how many processors' time this process's container may take; None: all."""
    for files in CPU_SHARES:
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            text = " ".join(Path(file).read_text(encoding="ascii") for file in files)
            quota, period = map(int, text.split())  # "max" is no number
            return quota / period if quota > 0 else None
    return None


def cache_folder() -> Path:
    """Return the user's cache folder of cnnkit, which need not exist.

    ``CNNKIT_CACHE`` overrides the system's usual place.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("cnnkit"))


def backend_name() -> str:
    """Return the backend that Keras uses, or would use, without importing Keras."""
    if "keras" in sys.modules and hasattr(sys.modules["keras"], "config"):
        return sys.modules["keras"].config.backend()
    return os.environ.get("KERAS_BACKEND") or "tensorflow"


@contextlib.contextmanager
def silenced_standard_error() -> Iterator[None]:
    """Send file descriptor 2 elsewhere: TensorFlow writes to it below Python's reach."""
    try:
        saved = os.dup(2)
    except OSError:  # standard error is closed: nothing to keep quiet
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        sys.stderr.flush() if sys.stderr else None
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def keep_home_clean() -> None:
    """Point libraries that write settings into the home folder at our cache, and keep them silent.

    Folders of Keras and matplotlib in which the user has settings are left in use: nothing new is
    written there, and a program that draws its own plots needs them. ONNX
    Runtime would leave a device's id and a database of usage events in the home folder when it is
    imported, whoever imports it, and send them.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    own_keras = Path.home() / ".keras" / "keras.json"
    if not own_keras.exists():
        os.environ.setdefault("KERAS_HOME", str(cache_folder() / "keras"))
    if not _has_matplotlib_settings():
        os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "matplotlib" not in sys.modules and os.path.lexists("matplotlibrc"):
        _import_matplotlib_elsewhere()


def _has_matplotlib_settings() -> bool:
    """Return whether the user has written settings or styles for matplotlib."""
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "matplotlib"
    folders = (settings, Path.home() / ".matplotlib")
    return any((f / name).exists() for f in folders for name in ("matplotlibrc", "stylelib"))


def _import_matplotlib_elsewhere() -> None:
    """Import matplotlib, as Keras will, elsewhere: it prefers settings of the current folder."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(os.path.dirname(__file__))
        with contextlib.suppress(ImportError):
            import matplotlib  # noqa: F401
    finally:
        os.fchdir(here)
        os.close(here)


@cache
def import_keras() -> ModuleType:
    """Import Keras and its backend quietly, without writing to the home folder.

    Returns:
        The module ``keras``.
    """
    keep_home_clean()
    # TensorFlow uses oneDNN by itself only where there is VNNI or AMX. Elsewhere on x86 a step of
    # training takes a tenth less time with it, and a third with depthwise layers.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with silenced_standard_error():
        import keras

        if keras.config.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.list_physical_devices()  # the first listing is the noisy one
    return keras


def import_tensorflow() -> ModuleType:
    """Import TensorFlow quietly, whatever backend Keras uses."""
    import_keras()
    with silenced_standard_error():
        import tensorflow as tf
    return tf


@contextlib.contextmanager
def building_defaults(precision: str = "float32") -> Iterator[ModuleType]:
    """Give Keras the defaults that the builders count on, and put the user's back.

    Args:
        precision: ``float32``, or ``bfloat16`` for bfloat16 arithmetic over float32 weights.
    """
    keras = import_keras()
    policy = keras.config.dtype_policy()
    layout = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        yield keras
    finally:
        keras.config.set_image_data_format(layout)
        keras.config.set_dtype_policy(policy)


@contextlib.contextmanager
def variables_without_memory() -> Iterator[ModuleType]:
    """Let Keras build networks whose variables have shapes and no memory, to be counted only.

    Keras would give them their memory the next time that it infers a layer's shape: of a file
    that is refused for its size, that is all that the file asks for. So it is made to forget
    them in the end; it has no public name for its list.
    """
    keras = import_keras()
    from keras.src.backend.common import global_state

    name = "uninitialized_variables"
    before = list(global_state.get_global_attribute(name) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield keras
    finally:
        global_state.set_global_attribute(name, before)


def built_for_weights(build: Callable[[], Any]) -> Any:
    """Build a network whose weights are put in next, all of them.

    With Keras's JAX backend they have no values before that: JAX compiles a generator of random
    numbers for each shape, which takes longer than all else at the start of a network.

    Args:
        build: Gives a `keras.Model`.
    """
    if backend_name() != "jax":
        return build()
    with variables_without_memory():
        model = build()
    stored = set(map(id, model.weights))
    for variable in model.variables:
        if id(variable) not in stored:  # the state of a dropout, say
            variable.assign(variable.value)
    return model


def built_if_accepted(build: Callable[[], Any], check: Callable[[Any], None]) -> Any:
    """Build a network whose variables get their initial values once they are accepted.

    They are those that the network would have if nobody looked: each initializer has its seed
    since it was created.

    Args:
        build: Gives a `keras.Model`.
        check: Looks at it while its variables have shapes and no memory; raises to refuse it.
    """
    with variables_without_memory():
        model = build()
    check(model)
    for variable in model.variables:
        variable._deferred_initialize()  # what Keras calls; no public name does it
    return model


def import_openvino() -> ModuleType:
    """Import OpenVINO with its telemetry replaced by OpenVINO's own silent stand-in."""
    if "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def import_openvino_converter() -> ModuleType:
    """Import OpenVINO ready to convert TensorFlow's models, as silent as `import_openvino`.

    OpenVINO 2026.4 asks for TensorFlow's version by an `exec` that deletes what another one has
    imported. Since Python 3.13 (PEP 667) each has names of its own in a function, so that this
    fails, and with it every conversion.
    """
    openvino = import_openvino()
    from openvino.frontend.tensorflow import utils

    try:
        utils.get_environment_setup("tf")
    except NameError:
        utils.get_environment_setup = _versions_for_openvino
    return openvino


def _versions_for_openvino(_framework: str) -> dict[str, str]:
    """Return what OpenVINO's converter asks for; its only framework is TensorFlow."""
    import tensorflow

    return {
        "python_version": platform.python_version(),
        "sys_platform": sys.platform,
        "tensorflow": tensorflow.__version__,
    }


def import_openvino_preprocessing() -> ModuleType:
    """Import OpenVINO's ``preprocess``, as silent as `import_openvino`."""
    import_openvino()
    from openvino import preprocess

    return preprocess


def import_openvino_frontend() -> ModuleType:
    """Import OpenVINO's ``frontend``, as silent as `import_openvino`."""
    import_openvino()
    from openvino import frontend

    return frontend


def import_openvino_passes() -> ModuleType:
    """Import OpenVINO's ``passes``, as silent as `import_openvino`."""
    import_openvino()
    from openvino import passes

    return passes


def import_openvino_opset() -> ModuleType:
    """Import the operations that OpenVINO graphs are made of, as silent as `import_openvino`."""
    import_openvino()
    from openvino import opset13

    return opset13


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime with its telemetry switched off."""
    keep_home_clean()
    import onnxruntime

    return onnxruntime


def import_ray() -> ModuleType:
    """Import Ray, an optional dependency, with its usage reports switched off.

    Raises:
        ImportError: It is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    return ray


def work_in(folder: str) -> bool:
    """Make a folder this process's current one, and return whether it exists."""
    try:
        os.chdir(folder)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def changed_environment(**variables: str | None) -> Iterator[None]:
    """Change environment variables for a block; None removes one."""
    before = {name: os.environ.get(name) for name in variables}
    try:
        _set_variables(variables)
        yield
    finally:
        _set_variables(before)


def _set_variables(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextlib.contextmanager
def current_folder(folder: str) -> Iterator[None]:
    """Make a folder this process's current one for a block."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        yield
    finally:
        os.fchdir(here)
        os.close(here)


@contextlib.contextmanager
def root_logger_kept() -> Iterator[None]:
    """Give the root logger its level and filters back: they are the program's, not a library's."""
    logger = logging.getLogger()
    level, filters = logger.level, list(logger.filters)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.filters[:] = filters


@contextlib.contextmanager
def without_compiled_files() -> Iterator[None]:
    """Keep TensorFlow's autograph from leaving compiled files in the temporary folder."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


class _OneOpencvThread:
    """Counts who wants OpenCV to use one thread; the last one to leave gives the others back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count, self._before = 0, 0
        self._opencv: Any = None

    def __enter__(self) -> None:
        import cv2

        with self._lock:
            self._opencv = cv2  # a stream may be left when nothing can be imported any more
            if self._count == 0:
                self._before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._count += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                self._opencv.setNumThreads(self._before)


_ONE_OPENCV_THREAD = _OneOpencvThread()


def one_opencv_thread() -> contextlib.AbstractContextManager[None]:
    """Let OpenCV use one thread a call: where several workers call it, more only queue up."""
    return _ONE_OPENCV_THREAD


def child_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment with some variables changed.

    Programs are looked for in absolute folders only: an empty entry of ``PATH`` is the current
    folder, where libraries that ask ``uname`` or ``fc-list`` would run a stranger's.
    """
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join(folder for folder in folders if os.path.isabs(folder))
    return os.environ | {"PATH": path} | changes


def bound_memory(size: int, seconds: int) -> None:
    """Bound what this process may take, for good; where the system has no such bounds, do nothing.

    Args:
        size: Bytes of address space.
        seconds: Seconds of processor time.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, limit in ((resource.RLIMIT_AS, size), (resource.RLIMIT_CPU, seconds)):
        with contextlib.suppress(ValueError, OSError):  # a lower limit is in force
            resource.setrlimit(kind, (limit, limit))


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and Keras's backend."""
    keras = import_keras()
    if backend_name() == "jax" and "tensorflow" not in sys.modules:
        # Keras's function would import TensorFlow to seed it. Its layers draw their seeds from
        # Python's generator.
        import numpy as np

        random.seed(seed)
        np.random.seed(seed)
        return
    keras.utils.set_random_seed(seed)


@contextlib.contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Give Python's and NumPy's generators back as they were: they are the program's.

    Left seeded by a training, they would draw the same for the program after each.
    """
    import numpy as np

    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
