"""OpenVINO on a CPU: one inference stream per thread, one image per call."""

from __future__ import annotations

import json
import logging
import queue
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import BundleError, RuntimeUnavailableError, broken_rule
from cnnkit.runtime.children import run_module
from cnnkit.runtime.compiled_cache import MODEL, cache_is_writable, compiled_model
from cnnkit.runtime.contract import ModelSource, Quantization
from cnnkit.runtime.keras_conversion import converted, named_graph
from cnnkit.runtime.precision import (
    INT8,
    INT8_HALF,
    Processor,
    choose_precision,
    this_processor,
)
from cnnkit.runtime.process import import_openvino, import_openvino_preprocessing
from cnnkit.runtime.quantization import (
    FULL_RANGE,
    HALF_RANGE,
    cannot_saturate,
    fold_constants,
    quantize,
    with_bodies,
)

ov = import_openvino()
log = logging.getLogger(__name__)

# Streams of one thread predict one image per call as fast as four, with every embedded network
# but dlib-face, by CPU time per image (benchmarks/python_api.py); a lone image is never padded.
BATCH_SIZE = 1
# How far an image's numbers may move beside others, as a share of their sum: a row of scores,
# and rows of which rounding may choose others.
BATCH_TOLERANCE, ROWS_TOLERANCE = 1e-3, 1e-2
# The converting process leaves its reason here when the model must not, or cannot, be opened.
REFUSAL = "refusal.txt"


class OpenVinoPredictor:
    """See `cnnkit.runtime.contract.Predictor`."""

    runtime = "openvino"
    device = "cpu"

    def __init__(
        self,
        source: ModelSource,
        precision: str,
        threads: int,
        batch_size: int | None = None,
        expected: int | None = None,
    ) -> None:
        core = ov.Core()
        model, self.precision = read(core, source, precision)
        adds = source.openvino is not None and adds_integers(this_processor(core), precision, model)
        if source.openvino is not None and not adds:
            in_float(model)
        self.batch_size = batch_size or BATCH_SIZE
        if model.inputs[0].get_partial_shape()[0].is_static:  # it takes one image per call
            self.batch_size = 1
        if expected is not None:
            self.batch_size = max(1, min(self.batch_size, expected))
        tried = None
        if self.batch_size > 1 and _may_mix(source):
            tried = _in_float32(core, model, source, self._properties("float32", threads, expected))
            if not _stand_alone(tried, source.input_shape):
                log.warning("%s mixes the images of a batch: it is run one by one.", source.name)
                self.batch_size = 1
            if self.batch_size == 1 or adds or hint(self.precision) != "f32":
                tried = None  # its memory is free before the next is compiled
        properties = self._properties(self.precision, threads, expected)
        self.concurrency = properties["NUM_STREAMS"]
        # A larger batch stays open: full ones cost up to 5 % more than a fixed one, but others,
        # such as the faces of one photo, need no padding.
        batch = 1 if self.batch_size == 1 else None
        model = with_uint8_input(model, (batch, *source.input_shape))
        # Compiling may give a tensor the names of several.
        self._names = [output.get_any_name() for output in model.outputs]
        self._compiled = tried or core.compile_model(model, "CPU", properties)
        self._slots: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        kind = _OpenSlot if None in (batch, *source.input_shape) else _Slot
        for _ in range(self.concurrency):
            self._slots.put(kind(self._compiled.create_infer_request(), len(self._names)))

    def _properties(self, precision: str, threads: int, expected: int | None) -> dict[str, Any]:
        """Return how a model is compiled for batches of `batch_size`."""
        calls = threads if expected is None else -(-expected // self.batch_size)
        return {
            "INFERENCE_PRECISION_HINT": hint(precision),
            "NUM_STREAMS": max(1, min(threads, calls)),
            "INFERENCE_NUM_THREADS": threads,
            # The decoding threads share the same cores: pinned streams would wait for them.
            "ENABLE_CPU_PINNING": False,
        }

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """See `cnnkit.runtime.contract.Predictor.predict`."""
        slot = self._slots.get()
        try:
            parts = [
                slot.predict(images[start : start + self.batch_size])
                for start in range(0, len(images), self.batch_size)
            ]
        finally:
            self._slots.put(slot)
        return {
            name: np.concatenate([part[number] for part in parts])
            for number, name in enumerate(self._names)
        }


def _may_mix(source: ModelSource) -> bool:
    """Return whether a graph is to be tried: one in another tool's form, for one size of image.

    It may normalize over the batch, or reshape across it. Networks of ours do not.
    """
    return source.openvino is not None and None not in source.input_shape


def _in_float32(core: Any, model: Any, source: ModelSource, properties: dict[str, Any]) -> Any:
    """Compile a graph for any number of images, in float32; `model` stays as it is.

    Where the network is to compute in another precision, it is compiled a second time for that.
    The first cannot be spared: OpenVINO may choose other kernels for one image than for several,
    and what these round to 8 bits of precision differs by more than the little that a network
    which mixes its images may move them (`BATCH_TOLERANCE`). Nor is it paid often: only a graph
    in another tool's form is tried, and only where `--batch-size` or `models import` asks for
    batches.
    """
    tried = with_uint8_input(model.clone(), (None, *source.input_shape))
    in_float(tried)
    return core.compile_model(tried, "CPU", properties)


def _stand_alone(compiled: Any, shape: tuple[int | None, ...]) -> bool:
    """Return whether a graph gives the same for an image alone and beside others.

    Args:
        compiled: It, compiled by `_in_float32`: what rounds more would seem to mix.
        shape: Of its images: (height, width, channels), all of them known.
    """
    sides = (side or 1 for side in shape)
    noise = np.random.default_rng(0).integers(0, 256, (3, *sides), np.uint8)
    noise[1] //= 4  # a dark one beside others: means over all of them are none of its own
    numbers = range(len(compiled.outputs))
    try:
        together = [compiled(noise)[number].copy() for number in numbers]
        alone = [[compiled(one[None])[number].copy() for one in noise] for number in numbers]
    except RuntimeError:  # a reshape inside has the batch in it
        return False
    if any(np.ndim(batch) == 0 or len(batch) != len(noise) for batch in together):
        return False  # not a row for each image
    return all(
        _are_alike(own[0], beside)
        for each, batch in zip(alone, together, strict=True)
        for own, beside in zip(each, batch, strict=True)
    )


def _are_alike(own: np.ndarray, beside: np.ndarray) -> bool:
    """Return whether an image's numbers are the same up to rounding, rows in any order."""
    if own.shape != beside.shape:
        return False
    own, beside = (np.nan_to_num(values, posinf=0.0, neginf=0.0) for values in (own, beside))
    tolerance = BATCH_TOLERANCE
    if own.ndim > 1:  # the best few of many: rounding moves the last of them
        own, beside, tolerance = np.sort(own, 0), np.sort(beside, 0), ROWS_TOLERANCE
    moved = float(np.abs(own - beside).sum(dtype=np.float64))
    return moved <= tolerance * float(np.abs(own).sum(dtype=np.float64)) + 1e-6


def adds_integers(processor: Processor, precision: str, model: Any) -> bool:
    """Return whether a file's own 8-bit integers are multiplied as such, without saturation.

    Args:
        processor: This machine's.
        precision: As the user asks.
        model: The file's `openvino.Model`.
    """
    if precision == "float32" or not _is_quantized(model):
        return False
    return processor.int8 or cannot_saturate(model)


def _is_quantized(model: Any) -> bool:
    nodes = (node for one in with_bodies(model) for node in one.get_ops())
    return any(node.get_type_name() == "FakeQuantize" for node in nodes)


def in_float(model: Any) -> None:
    """Compute the layers of a quantized graph in float32, on the same rounded numbers.

    A graph in another tool's form may come quantized over the whole range of 8 bits, which
    saturates in 16 bits, silently, where the processor cannot add the products; our own exports
    have kernels of 7, and stay as they are. Kernels that are
    plain constants are not taken for integers. (To switch OpenVINO's own transformations off,
    LP_TRANSFORMS_MODE, gives wrong numbers with several streams in 2026.4.)

    Args:
        model: An `openvino.Model`; it is modified.
    """
    if _is_quantized(model):
        for one in with_bodies(model):
            fold_constants(one)


def hint(precision: str) -> str:
    """Return what OpenVINO computes in where a network is not quantized."""
    return "bf16" if precision == "bfloat16" else "f32"


def read(core: Any, source: ModelSource, precision: str) -> tuple[Any, str]:
    """Return a source's `openvino.Model`, and the precision that it computes in, for users.

    Args:
        core: An `openvino.Core`.
        source: The model: its own `openvino.Model`, the stored one, or what Keras's becomes.
        precision: As the user asks.

    Raises:
        BundleError: The model cannot be opened, or its ranges do not fit it.
        RuntimeUnavailableError: See `choose_precision`.
    """
    processor = this_processor(core)
    said = choose_precision(processor, precision, source)
    if source.openvino is not None:
        return source.openvino(), said
    identity, how, reach = source.identity, None, FULL_RANGE
    if said == "int8" and (how := source.quantization) is not None:
        reach = FULL_RANGE if how.in_float else processor.reach
        said = INT8 if reach == FULL_RANGE else INT8_HALF
        identity += json.dumps([said, how.in_float, sorted(how.ranges.items()), how.means_hash])
    if not cache_is_writable() and (graph := _stored(source)) is not None:
        return _quantized(source, graph, how, reach), said
    with compiled_model(identity, lambda folder: _produce(source, folder, how, reach)) as folder:
        return core.read_model(folder / MODEL), said


def _stored(source: ModelSource) -> Any | None:
    return source.stored() if source.stored is not None else None


def _produce(source: ModelSource, folder: Path, how: Quantization | None, reach: int) -> None:
    """Write a model in OpenVINO's form, quantized if that is asked for.

    What depends on constants alone is computed once for all, also of a stored one.
    """
    graph = _stored(source)
    if graph is None and how is None:
        convert(source, source.conversion, folder)
        return
    with tempfile.TemporaryDirectory(dir=folder) as converted:
        if graph is None and how is not None:
            convert(source, how.conversion, Path(converted))
            graph = ov.Core().read_model(Path(converted) / MODEL)
        graph = _quantized(source, graph, how, reach)
        fold_constants(graph)
        ov.save_model(graph, folder / MODEL, compress_to_fp16=False)
        del graph  # Windows removes no file that is still mapped


def _quantized(source: ModelSource, graph: Any, how: Quantization | None, reach: int) -> Any:
    if how is None:
        return graph
    means = None if how.means is None else how.means()
    bits = None if how.bits is None or reach != HALF_RANGE else how.bits()
    try:
        return quantize(graph, how.ranges, reach, means=means, bits=bits, in_float=how.in_float)
    except KeyError as error:
        rule = "have a layer for each activation range of its card"
        raise BundleError(broken_rule(source.name, rule, f"none for {error}")) from error
    except ValueError as error:
        rule = "have means and rounding bits that fit its layers"
        raise BundleError(broken_rule(source.name, rule, error)) from error


class _Slot:
    """An inference request with its own input memory, used by one thread at a time.

    Tensors are converted to arrays here once, in the thread that creates the predictor: the first
    conversion initializes OpenVINO's table of types, and two threads that do so at once deadlock.
    """

    def __init__(self, request: Any, outputs: int) -> None:
        self._request = request
        self._outputs = range(outputs)
        for index in self._outputs:
            request.get_output_tensor(index).data.dtype  # noqa: B018 - see above
        self._input = request.get_input_tensor().data  # uint8 (1, height, width, 3)

    def predict(self, images: np.ndarray) -> list[np.ndarray]:
        """Run one batch of the shape that the model takes.

        Args:
            images: uint8 (n, height, width, 3).

        Returns:
            For each output float32 (n, ...), own memory.
        """
        self._input[:] = images
        return self._outputs_of_call()

    def _outputs_of_call(self) -> list[np.ndarray]:
        self._request.infer(share_outputs=True)
        return [self._request.get_output_tensor(i).data.copy() for i in self._outputs]


class _OpenSlot(_Slot):
    """A request for any number of images, or images of any size, one shape per call.

    OpenVINO prepares itself for a shape in its first call, and keeps that.
    """

    def predict(self, images: np.ndarray) -> list[np.ndarray]:
        """See `_Slot.predict`."""
        self._request.set_input_tensor(ov.Tensor(np.ascontiguousarray(images)))
        return self._outputs_of_call()


def with_uint8_input(model: Any, shape: tuple[int | None, ...]) -> Any:
    """Give a model an input of uint8 pixels (batch, height, width, 3); None: any number."""
    model.reshape([-1 if side is None else side for side in shape])
    steps = import_openvino_preprocessing().PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8)
    for index in range(len(model.outputs)):
        steps.output(index).tensor().set_element_type(ov.Type.f32)
    return steps.build()


_announced: set[str] = set()


def convert(source: ModelSource, conversion: Sequence[str] | None, folder: Path) -> None:
    """Write a model in OpenVINO's format, in a separate process if possible.

    A child process keeps TensorFlow out of this one, whichever Keras backend this one uses.

    Args:
        source: The model.
        conversion: What the child process runs; None: the model is built in this one.
        folder: An existing folder.

    Raises:
        BundleError: The model cannot be opened, or is unsafe to open.
        RuntimeUnavailableError: The conversion failed; the last line says why.
    """
    if conversion is None:
        save_keras_model(source.build("float32"), folder)
        return
    if source.name not in _announced:  # a bundle of several networks is announced once
        _announced.add(source.name)
        log.info("Compiling %s for this machine (once, takes a few seconds).", source.name)
    module, *arguments = conversion
    finished = run_module(
        module, [*arguments, str(folder)], KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="-1"
    )
    if finished.returncode or not (folder / MODEL).exists():
        if (folder / REFUSAL).exists():
            raise BundleError((folder / REFUSAL).read_text(encoding="utf-8"))
        lines = finished.stderr.strip().splitlines() or ["no message"]
        raise RuntimeUnavailableError(f"{source.name} cannot be compiled: {lines[-1]}")


def save_keras_model(model: Any, folder: Path, weights: Mapping[str, Any] | None = None) -> None:
    """Write a Keras model as ``model.xml`` and ``model.bin``, float32.

    Args:
        model: A functional model on the TensorFlow backend whose outputs are a dict.
        folder: An existing folder.
        weights: Variables that are to keep their names, by these; None: none does.
    """
    graph = named_graph(model, weights) if weights else converted(model)
    ov.save_model(graph, folder / MODEL, compress_to_fp16=False)
