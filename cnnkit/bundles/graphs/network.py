"""A graph as OpenVINO has it: what it takes and gives, and the form in which it runs here.

A network of ours takes RGB pixels, 0 to 255, as (batch, height, width, 3). So the layout, the
order of the colors, the mean and the standard deviation that a graph expects are put before it,
inside the OpenVINO model, once, when it is opened.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnkit.bundles.graphs.graph_card import GraphSpec
from cnnkit.errors import BundleError, broken_rule
from cnnkit.runtime.process import import_openvino, import_openvino_preprocessing

MAX_OPERATIONS = 200_000
# As of a .keras file: the numbers that one operation may give for one image, and all of them.
MAX_OUTPUT_ELEMENTS = 1 << 28
MAX_ALL_ELEMENTS = 1 << 33
MAX_ITERATIONS = 10_000
MAX_DEPTH = 8
MAX_STEPS_BACK = 100
IMAGE = "image"
# Operations that keep something from image to image, or draw it.
CHANGING = frozenset(("Assign", "ReadValue", "RandomUniform", "RandomPoisson", "Multinomial"))
# How far quantization moves a constant.
ROUNDED = 0.02
# Steps between the scores and what makes them that leave every number as it is.
SAME = frozenset(
    "Convert Reshape Squeeze Unsqueeze Transpose Identity FakeQuantize Result ConvertLike".split()
)
# OpenVINO's own names for tensors without one: other numbers each time.
MADE_UP = re.compile(r"(Result|Parameter)_\d+")
WEIGHTED = ("MatMul", "Convolution")
SQUASHING = frozenset("SoftMax Softmax Sigmoid HardSigmoid HSigmoid".split())


class TensorInfo(NamedTuple):
    """An input or output.

    Attributes:
        name: Its name; unnamed ones are called ``input0``, ``output0``, ...
        shape: With the batch; None: any.
        dtype: As OpenVINO calls it: ``f32``, ``u8``, ``i64``, ...
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class GraphInfo(NamedTuple):
    """What a graph takes and gives."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


def read_model(path: Path) -> Any:
    """Return the `openvino.Model` of a file in OpenVINO's own form."""
    return import_openvino().Core().read_model(path)


def info_of(model: Any) -> GraphInfo:
    """Return what a model takes and gives."""
    return GraphInfo(_tensors(model.inputs, "input"), _tensors(model.outputs, "output"))


def _tensors(ports: Sequence[Any], word: str) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(
            _name(port) or f"{word}{number}",
            sides(port.get_partial_shape()),
            port.get_element_type().get_type_name(),
        )
        for number, port in enumerate(ports)
    )


def _name(port: Any) -> str:
    """Return a tensor's name, "" if it has none: of several the shortest, of those the first."""
    names = [name for name in port.get_names() if not MADE_UP.fullmatch(name)]
    return min(names, key=lambda name: (len(name), name), default="")


def sides(shape: Any) -> tuple[int | None, ...]:
    """Return a partial shape as numbers; () where even the rank is open."""
    if shape.rank.is_dynamic:
        return ()
    return tuple(side.get_length() if side.is_static else None for side in shape)


# --- the model that runs -------------------------------------------------------------------


def prepared(
    model: Any, spec: GraphSpec, size: tuple[int, int], outputs: Mapping[str, str], rows: int = 0
) -> Any:
    """Return the model as it runs here.

    Args:
        model: A fresh model as it was read; it is taken apart.
        spec: What its input expects.
        size: Height and width of the images.
        outputs: The tensor of each output that is wanted, by the name that it gets; "" for
            ``features``: what the last dense layer sees.
        rows: How many ``scores`` there are for an image, which then come as (batch, rows) and
            with them ``features`` as (batch, n), averaged over all places; 0: no such outputs.

    Returns:
        An `openvino.Model` from ``image``, float32 RGB 0 to 255 (batch, height, width, 3), to the
        outputs, each with the batch first. The batch is open, or 1 where the graph takes no other.

    Raises:
        BundleError: The graph has no such tensors, or takes no such images, or is too large.
    """
    ov = import_openvino()
    image = _image_input(model, spec)
    _fill_other_inputs(ov, model, image, size)
    batch = _reshape(model, image, spec, size)
    sources = {name: _source(model, name, outputs) for name in outputs}
    results = [_result(ov, name, source, rows) for name, source in sources.items()]
    model = ov.Model(results, [image.get_node()], "graph")
    check_size(model)
    if batch != 1 and not _follows_batch(model):
        batch = 1
        _reshape(model, model.inputs[0], spec, size, 1)
    if batch == 1:
        model = _with_batch(ov, model, list(outputs))
    return _preprocessed(ov, model, spec)


def outputs_at(model: Any, spec: GraphSpec, size: tuple[int, int]) -> tuple[TensorInfo, ...]:
    """Return the outputs for one image of a size; the model stays as it is.

    Raises:
        BundleError: It takes no such images.
    """
    model = model.clone()
    image = _image_input(model, spec)
    _fill_other_inputs(import_openvino(), model, image, size)
    _reshape(model, image, spec, size, 1)
    return info_of(model).outputs


def always_one(
    model: Any, spec: GraphSpec, size: tuple[int, int], tensor: str, column: int
) -> bool | None:
    """Return whether a column of an output's rows is 1 in all of them, for an image of noise.

    Args:
        model: It stays as it is.
        spec: What its input expects.
        size: Height and width of the images.
        tensor: The output (batch, rows, columns).
        column: Which one.

    Returns:
        None where the graph does not run.
    """
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, (1, *size, 3)).astype(np.float32)
    try:
        made = prepared(model.clone(), spec, size, {"rows": tensor})
        made.reshape([1, *size, 3])
        settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
        rows = import_openvino().Core().compile_model(made, "CPU", settings)(noise)[0]
    except (RuntimeError, BundleError):
        return None
    return bool(np.all(np.abs(rows[..., column] - 1) < ROUNDED))


def _image_input(model: Any, spec: GraphSpec) -> Any:
    return find_input(model, spec.input)


def find_input(model: Any, tensor: str) -> Any:
    """Return an input by name.

    Raises:
        BundleError: There is none.
    """
    known = {name: port for port in model.inputs for name in port.get_names()}
    known |= {f"input{number}": port for number, port in enumerate(model.inputs)}
    if tensor not in known:
        rule = f"have the input {tensor[:60]!r} of its card"
        raise BundleError(broken_rule("The graph", rule, _listed(info_of(model).inputs)))
    return known[tensor]


def _listed(tensors: Sequence[TensorInfo]) -> str:
    shown = [f"{one.name} {list(one.shape)}".replace("None", "?") for one in tensors[:8]]
    return ", ".join(shown) or "none"


def other_input(name: str, size: tuple[int, int]) -> list[float] | None:
    """Return what a known input beside the image takes, for an image that fills the input.

    The exports of RT-DETR and D-FINE take the original size, width first; those of
    PaddleDetection the input's size, height first, and the scale.
    """
    height, width = size
    known: dict[str, list[float]] = {
        "orig_target_sizes": [width, height],
        "im_shape": [height, width],
        "scale_factor": [1, 1],
    }
    return known.get(name.split(":")[0])


def _fill_other_inputs(ov: Any, model: Any, image: Any, size: tuple[int, int]) -> None:
    import numpy as np

    for port in model.inputs:
        if port.get_node() == image.get_node():
            continue
        name = _name(port)
        values = other_input(name, size)
        if values is None or len(sides(port.get_partial_shape())) != 2:
            rule = "take one image and nothing else"
            received = f"the input {name[:60]!r} besides"
            raise BundleError(broken_rule("The graph", rule, received))
        kind = port.get_element_type().to_dtype()
        constant = ov.opset13.constant(np.array([values]).astype(kind))
        node = port.get_node()
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(constant.output(0))
        model.remove_parameter(node)


def _reshape(
    model: Any, image: Any, spec: GraphSpec, size: tuple[int, int], batch: int | None = None
) -> int:
    """Fix the height and width; return the batch, -1 where it is open."""
    shape = sides(image.get_partial_shape())
    channels = 1 if spec.colors == "gray" else 3
    wanted = [size[0], size[1], channels] if spec.layout == "NHWC" else [channels, *size]
    if shape and len(shape) != 4:
        rule = "take one image (batch, height, width, channels)"
        raise BundleError(broken_rule("The graph", rule, f"the shape {list(shape)}"))
    if any(have not in (None, want) for have, want in zip(shape[1:], wanted, strict=False)):
        received = f"the input {list(shape)}, {spec.layout}".replace("None", "?")
        rule = f"take images of {size[0]}x{size[1]} with {channels} channels"
        raise BundleError(broken_rule("The graph", rule, received))
    batch = batch or (shape[0] if shape and shape[0] is not None else -1)
    if batch > 1:
        received = f"batches of {batch} only"
        fix = "Export it with a batch of 1 or a dynamic one."
        raise BundleError(broken_rule("The graph", "take one image a call", received, fix))
    try:
        model.reshape({image: [batch, *wanted]})
    except RuntimeError as error:
        rule = f"take images of {size[0]}x{size[1]}"
        raise BundleError(broken_rule("The graph", rule, one_line(error))) from error
    return batch


def one_line(error: Exception) -> str:
    """Return what OpenVINO says, without where in its source it says it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    noise = ("Check ", "Exception from", "FrontEnd API failed", "Summary:", "Model wasn't")
    said = [line for line in lines if not line.startswith(noise)] or lines or ["no message"]
    return said[0].rstrip(".:")[:200]


def find_tensor(model: Any, tensor: str) -> Any:
    """Return an output or an inner tensor by name.

    Raises:
        BundleError: There is none.
    """
    for number, port in enumerate(model.outputs):
        if tensor in port.get_names() or (not _name(port) and tensor == f"output{number}"):
            return real_tensor(port.get_node().input_value(0))
    for node in model.get_ordered_ops():
        for port in node.outputs():
            if tensor in port.get_names():
                return port
    rule = f"have the tensor {tensor[:60]!r} of its card"
    raise BundleError(broken_rule("The graph", rule, _listed(info_of(model).outputs)))


def real_tensor(port: Any) -> Any:
    """Return a tensor's real numbers, where it gives the 8 bits that stand for them."""
    if port.get_element_type().get_type_name() not in ("u8", "i8"):
        return port
    convert = port.get_node()
    rounding = convert.input_value(0).get_node() if convert.inputs() else convert
    kinds = (convert.get_type_name(), rounding.get_type_name())
    return rounding.input_value(0) if kinds == ("Convert", "FakeQuantize") else port


def _source(model: Any, name: str, outputs: Mapping[str, str]) -> Any:
    if name != "features" or outputs[name]:
        return find_tensor(model, outputs[name])
    found = features_tensor(model, outputs["scores"])
    if found is None:
        fix = "Name their tensor when it is imported, with `features`."
        raise BundleError(
            broken_rule("The graph", "end in a dense layer to have features", "none", fix)
        )
    return found


def _result(ov: Any, name: str, source: Any, rows: int) -> Any:
    ops = ov.opset13
    if rows and name == "scores":
        source = _in_a_row(ops, source, rows)
    elif rows and name == "features":
        source = _pooled(ops, source)
    # A node of its own: the name of a tensor inside stays where it is.
    source = ops.convert(source, "f32").output(0)
    source.get_tensor().set_names({name})
    return ops.result(source)


def _in_a_row(ops: Any, source: Any, rows: int) -> Any:
    import numpy as np

    if numbers_of_a_row(sides(source.get_partial_shape())) != rows:
        shape = str(list(sides(source.get_partial_shape()))).replace("None", "?")
        rule = f"give {rows} scores for each image"
        raise BundleError(broken_rule("The graph", rule, f"the shape {shape}"))
    return ops.reshape(source, np.array([-1, rows]), False)


def numbers_of_a_row(shape: tuple[int | None, ...]) -> int | None:
    """Return how many numbers an output has for an image, None if they are no row.

    Args:
        shape: With the batch: (batch, n), or with more sides of 1.
    """
    own = shape[1:]
    if len(shape) < 2 or None in own or sum(side != 1 for side in own) > 1:
        return None
    return math.prod(side or 0 for side in own)


def _pooled(ops: Any, source: Any) -> Any:
    """Return features as (batch, n): averaged over places, or as they are."""
    import numpy as np

    shape = sides(source.get_partial_shape())
    if len(shape) == 2:
        return source
    if numbers_of_a_row(shape):
        return ops.reshape(source, np.array([-1, numbers_of_a_row(shape)]), False)
    if len(shape) == 3:  # (batch, tokens, n)
        return ops.reduce_mean(source, np.array([1]), False)
    if len(shape) == 4:
        # The channels are the longest side of a map of features.
        channels_first = (shape[1] or 0) >= (shape[3] or 0)
        return ops.reduce_mean(source, np.array([2, 3] if channels_first else [1, 2]), False)
    rule = "give features as (batch, n) or as a map of them"
    raise BundleError(broken_rule("The graph", rule, f"the shape {list(shape)}"))


# --- batches -------------------------------------------------------------------------------


def _follows_batch(model: Any) -> bool:
    """Return whether every output has the batch first, whatever the batch is."""
    image = model.inputs[0]
    open_shape = image.get_partial_shape()
    own = sides(open_shape)
    try:
        followed = True
        for batch in (2, 3):
            model.reshape({image: [batch, *own[1:]]})
            shapes = [sides(port.get_partial_shape()) for port in model.outputs]
            followed = followed and all(shape and shape[0] == batch for shape in shapes)
        model.reshape({image: open_shape})
    except RuntimeError:  # a reshape inside has the batch in it
        return False
    return followed


def _with_batch(ov: Any, model: Any, names: Sequence[str]) -> Any:
    """Give the outputs of one image a batch of one in front, where they have none."""
    import numpy as np

    results = []
    for name, port in zip(names, model.outputs, strict=True):
        source = port.get_node().input_value(0)
        shape = sides(source.get_partial_shape())
        if not shape or shape[0] != 1:
            source = ov.opset13.unsqueeze(source, np.array([0])).output(0)
            source.get_tensor().set_names({name})
        results.append(ov.opset13.result(source))
    return ov.Model(results, [model.inputs[0].get_node()], "graph")


# --- preprocessing -------------------------------------------------------------------------


def _preprocessed(ov: Any, model: Any, spec: GraphSpec) -> Any:
    preprocess = import_openvino_preprocessing()
    kind = model.inputs[0].get_element_type()
    steps = preprocess.PrePostProcessor(model)
    image = steps.input()
    image.tensor().set_element_type(ov.Type.f32).set_layout(ov.Layout("NHWC"))
    image.model().set_layout(ov.Layout(spec.layout))
    work = image.preprocess()
    if spec.colors == "gray":
        image.tensor().set_color_format(preprocess.ColorFormat.RGB)
        work.convert_color(preprocess.ColorFormat.GRAY)
    elif spec.colors == "BGR":
        work.reverse_channels()
    mean, std = spec.mean, spec.std
    if kind.is_integral() and spec.scale is None:
        # Such a graph takes pixels as they are; of 8 signed bits, shifted.
        mean, std = (128.0 if kind == ov.Type.i8 else 0.0,), (1.0,)
    if any(mean):
        work.mean(list(mean) if len(mean) > 1 else mean[0])
    if any(value != 1 for value in std):
        work.scale(list(std) if len(std) > 1 else std[0])
    if kind.is_integral():
        work.custom(lambda values: _whole(ov.opset13, values, kind, spec))
    if kind != ov.Type.f32:
        work.convert_element_type(kind)
    built = steps.build()
    built.inputs[0].get_tensor().set_names({IMAGE})
    return built


def _whole(ops: Any, values: Any, kind: Any, spec: GraphSpec) -> Any:
    """Return the whole numbers that stand for values; a conversion alone would cut and wrap."""
    import numpy as np

    if spec.scale is not None:
        values = ops.divide(values, np.array(spec.scale, np.float32))
    values = ops.round(values, "half_away_from_zero")  # as TFLite does, before the zero point
    values = ops.add(values, np.array(spec.zero, np.float32))
    ends = np.iinfo(kind.to_dtype())
    return ops.clamp(values, float(ends.min), float(ends.max)).output(0)


# --- a classifier's features ---------------------------------------------------------------


def features_tensor(model: Any, tensor: str) -> Any:
    """Return what the last dense layer before a classifier's scores sees; None if there is none."""
    port = find_tensor(model, tensor)
    passed = SAME | SQUASHING | {"LogSoftmax", "Add", "Multiply", "ReduceMean"}
    for _ in range(MAX_STEPS_BACK):
        node = port.get_node()
        kind = node.get_type_name()
        if kind in WEIGHTED:
            return node.input_value(0)
        if kind not in passed or not node.inputs():
            return None
        values = [value for value in node.input_values() if not is_constant(value)]
        if len(values) != 1:
            return None
        port = values[0]
    return None


def is_constant(port: Any) -> bool:
    """Return whether a tensor depends on the shape of the image at most, looking back a little."""
    pending = [port.get_node()]
    for _ in range(MAX_STEPS_BACK):
        if not pending:
            return True
        node = pending.pop()
        if node.get_type_name() == "Parameter":
            return False
        if node.get_type_name() != "ShapeOf":
            pending += [value.get_node() for value in node.input_values()]
    return False


# --- bounds --------------------------------------------------------------------------------


def check_size(model: Any) -> None:
    """Refuse a graph that would compute, or hold, without bound.

    Args:
        model: Its shapes as fixed as they will be.

    Raises:
        BundleError: It has too many operations, one gives too many numbers, or a loop has no end.
    """
    total = count = 0
    for node, times in _operations(model):
        count += 1
        if count > MAX_OPERATIONS:
            rule = f"have at most {MAX_OPERATIONS:,} operations"
            raise BundleError(broken_rule("The graph", rule, "more"))
        name = node.get_friendly_name()[:60]
        for port in node.outputs():
            elements = math.prod(side or 1 for side in sides(port.get_partial_shape()))
            total += elements * times
            if elements > MAX_OUTPUT_ELEMENTS:
                rule = f"give at most {MAX_OUTPUT_ELEMENTS:,} numbers an image"
                raise BundleError(broken_rule(f"The operation {name!r}", rule, f"{elements:,}"))
    if total > MAX_ALL_ELEMENTS:
        rule = f"compute at most {MAX_ALL_ELEMENTS:,} numbers an image"
        raise BundleError(broken_rule("The graph", rule, f"{total:,}"))


def _operations(model: Any) -> Iterator[tuple[Any, int]]:
    """Yield all operations, those inside loops included, and how often each runs."""
    pending = [(model, 1, 0)]
    while pending:
        graph, times, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise BundleError(broken_rule("The graph", f"nest at most {MAX_DEPTH} deep", "more"))
        for node in graph.get_ops():
            kind = node.get_type_name()
            yield node, times
            if kind in ("Loop", "TensorIterator"):
                pending.append((node.get_function(), times * _iterations(node, kind), depth + 1))
            elif kind == "If":
                bodies = (node.get_then_body(), node.get_else_body())
                pending += [(body, times, depth + 1) for body in bodies]
            elif kind in CHANGING:
                rule = "give the same for the same image"
                raise BundleError(broken_rule("The graph", rule, f"the operation {kind}"))


def _iterations(node: Any, kind: str) -> int:
    number = int(node.get_num_iterations())
    if not 0 <= number <= MAX_ITERATIONS:
        name = node.get_friendly_name()[:60]
        rule = f"run a number of times that is known, at most {MAX_ITERATIONS:,}"
        received = "an open number" if number < 0 else f"{number:,}"
        raise BundleError(broken_rule(f"The loop {name!r}", rule, received))
    return max(number, 1)
