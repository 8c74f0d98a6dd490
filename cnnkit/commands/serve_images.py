"""The tasks of ``cnnkit serve`` that answer with an image: explanations and stylized photos."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.commands.explain import explain, open_explainer
from cnnkit.commands.serve_tasks import IMAGE, served
from cnnkit.commands.stylize import stylize
from cnnkit.errors import ImageError, UsageError, broken_rule, did_you_mean
from cnnkit.explanation.folders import OVERLAY_QUALITY, OVERLAY_SIDE, jpeg, shrunk
from cnnkit.images import Given
from cnnkit.results import Failure, make_row
from cnnkit.runtime import RuntimeOptions
from cnnkit.serving.tasks import Answer, Images, ServedModel, ServedTask, Values, options_of
from cnnkit.style.images import encoded, read_styles
from cnnkit.style.one_pass import OnePassPainter
from cnnkit.style.one_pass_method import InOnePass, OnePassChoices
from cnnkit.style.stylizer import Stylizer

STYLE = "style"
# Sides of the images that are sent back, in pixels.
SMALLEST, LARGEST = 16, 2048
# The methods that take no gradient, which would need all of TensorFlow.
METHODS = ("grad-cam", "occlusion")
# Explainers that are kept; each class that is asked for has its own.
KEPT = 4


def explaining(bundle: Bundle, options: RuntimeOptions, max_pixels: int) -> ServedModel:
    """Return a classifier or a detector that explains itself; compiled when it is first asked."""
    explainers = _Explainers(bundle, options, max_pixels)

    def answer(images: Images, values: Values) -> Answer:
        """Explain an image, and draw the heat over it."""
        side = checked_size(values.get("size")) or OVERLAY_SIDE
        explainer = explainers.get(values.get("method"), values.get("class_name"))
        drawn: list[bytes] = []

        def finish(path: Any, result: Any, seen: Any) -> dict[str, Any]:
            """Draw, and return the row."""
            if not isinstance(result, Failure):
                pixels = seen.image.to_srgb(np.array(seen.image.content))
                drawn.append(jpeg(result.over(shrunk(pixels, side)), OVERLAY_QUALITY))
            return make_row(IMAGE, result)

        [row] = explainer.stream_finished([Given(images[IMAGE])], finish, 1, side)
        return Answer(row, drawn[0], "overlay") if drawn else Answer(row)

    return ServedModel(bundle.card.name, bundle.card.content, {}, answer)


class _Explainers:
    """The explainers of one model by method and class, the last ones used."""

    def __init__(self, bundle: Bundle, options: RuntimeOptions, max_pixels: int) -> None:
        self._bundle, self._options, self._max_pixels = bundle, options, max_pixels
        self._kept: OrderedDict[tuple[str | None, str | None], Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, method: str | None, class_name: str | None) -> Any:
        """Return an explainer, compiled if need be.

        Raises:
            UsageError: The method or the class is unknown.
        """
        if method is not None and method not in METHODS:
            fix = did_you_mean(method, METHODS)
            raise UsageError(broken_rule("`method`", f"be {' or '.join(METHODS)}", method, fix))
        key = method, class_name
        with self._lock:
            if key not in self._kept:
                self._kept[key] = open_explainer(
                    self._bundle,
                    self._options,
                    self._max_pixels,
                    method=method,
                    class_name=class_name,
                )
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]


def stylizing(bundle: Bundle, options: RuntimeOptions, max_pixels: int) -> ServedModel:
    """Return a network that stylizes photos in one pass."""
    painter = OnePassPainter(bundle, options)
    # A pass uses every processor: two at once would take twice as long and twice the memory.
    painting = threading.Lock()

    def answer(images: Images, values: Values) -> Answer:
        """Stylize a photo."""
        if painter.reads_styles and STYLE not in images:
            rule = "have the parts image and style"
            raise UsageError(broken_rule("the form", rule, "no style"))
        chosen = OnePassChoices(
            size=checked_size(values.get("size")),
            strength=values.get("strength", 1.0),
            style_scale=values.get("style_scale", 1.0),
            preserve_color=values.get("preserve_color", False),
            max_pixels=max_pixels,
        )
        try:
            styles = read_styles([images[STYLE]] if STYLE in images else [], None, max_pixels)
        except UsageError as error:
            if not isinstance(error.__cause__, ImageError):
                raise
            failure = Failure(error.__cause__.kind, f"{STYLE}: {error.__cause__.message}")
            return Answer(make_row(IMAGE, failure))
        with painting:
            method = InOnePass(painter, styles, chosen, bundle.identity)
            result = Stylizer(method, max_pixels).predict(images[IMAGE])
        if isinstance(result, Failure):
            return Answer(make_row(IMAGE, result))
        suffix = ".jpg" if result.alpha is None else ".png"
        made = make_row(IMAGE, result)
        first = {name: made.pop(name) for name in ("path", "status")}
        row = first | {"output": ""} | made
        return Answer(row, encoded(result.pixels, result.alpha, suffix), "output")

    needs = (STYLE,) if painter.reads_styles else ()
    return replace(served(bundle, painter, answer), needs=needs)


def checked_size(size: int | None) -> int | None:
    """Return the side of an image that is sent back.

    Raises:
        UsageError: It is out of range.
    """
    if size is not None and not SMALLEST <= size <= LARGEST:
        raise UsageError(broken_rule("`size`", f"lie between {SMALLEST} and {LARGEST}", size))
    return size


def explain_task(models: Sequence[ServedModel]) -> ServedTask:
    """Return the task of explaining what classifiers and detectors see."""
    told = {
        "method": "grad-cam or occlusion; by default grad-cam for classifiers, else occlusion.",
    }
    options = options_of(explain, ("method", "class_name", "size"), told=told)
    summary = "Show which image regions drive a prediction."
    return ServedTask("explain", summary, models, options, slow=True)


def stylize_task(models: Sequence[ServedModel]) -> ServedTask:
    """Return the task of stylizing photos in one pass."""
    told = {
        "strength": "Strength of the style, from 0 (the photo) to 1, the default.",
        "size": "Long side of the result in pixels; by default 1024, or the photo's if smaller.",
    }
    names = ("strength", "style_scale", "preserve_color", "size")
    options = options_of(stylize, names, told=told)
    summary = "Apply the style of an image to a photo."
    if all(model.needs for model in models):
        return ServedTask("stylize", summary, models, options, (IMAGE, STYLE), slow=True)
    return ServedTask("stylize", summary, models, options, more_images=(STYLE,), slow=True)
