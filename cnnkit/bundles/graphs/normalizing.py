"""How an image becomes a graph's numbers, and what to say to the user about it."""

from __future__ import annotations

from typing import Any

from cnnkit.bundles.graphs.families import Preprocessing, family
from cnnkit.bundles.graphs.first_layer import LEAST_CHANGE, change_per_level
from cnnkit.bundles.graphs.graph_wish import GraphWish
from cnnkit.bundles.graphs.image_input import INTEGER_PIXELS, ImageInput
from cnnkit.bundles.graphs.own_normalization import OwnNormalization
from cnnkit.bundles.graphs.quantized_input import QuantizedInput, as_pixels, misfit
from cnnkit.bundles.graphs.said import Said
from cnnkit.bundles.graphs.scanning import GraphFile
from cnnkit.errors import UsageError, broken_rule


def preprocessing(
    file: GraphFile,
    image: ImageInput,
    said: Said,
    wish: GraphWish,
    default: Preprocessing,
    ask: str,
) -> Preprocessing:
    """Return how an image becomes the graph's numbers.

    Raises:
        UsageError: The mean and standard deviation are not known, or are given for an input of
            whole numbers.
    """
    asked = asked_for(wish)
    known = asked.over(said.preprocessing)
    if image.quantized is not None:
        known = asked.over(_of_quantized(image.quantized, said.preprocessing))
    elif image.tensor.dtype in INTEGER_PIXELS:  # it takes pixels as they are
        _refuse_normalizing(file, image, wish.preprocessing)
        known = Preprocessing(_colors(image, said, wish), (0.0,), (1.0,)).over(known)
    elif image.own is not None and _enter_as_they_are(image.own, said, wish):
        known = Preprocessing(_colors(image, said, wish), (0.0,), (1.0,)).over(known)
    if known.mean is None and known.std is None:
        known = known.over(Preprocessing(colors=default.colors, mean=default.mean, std=default.std))
    if known.mean is None and known.std is None:
        if image.own is not None:
            own = f"normalizes pixels from 0 to 255 itself ({image.own})"
            raise UsageError(f"{file.path} {own}, but does not say the order of `colors`. {ask}")
        raise UsageError(f"{file.path} does not say how its pixels are normalized. {ask}")
    known = known.over(Preprocessing(mean=(0.0,), std=(1.0,))).over(default)
    return known if image.channels == 3 else _gray(known)


def asked_for(wish: GraphWish) -> Preprocessing:
    """Return what the user says, by itself or by a family."""
    return wish.preprocessing.over(family(wish.like) if wish.like else Preprocessing())


def _colors(image: ImageInput, said: Said, wish: GraphWish) -> str | None:
    """Return the order of the colors as the user says it, the file, or the means inside it."""
    own = None if image.own is None else image.own.colors
    return wish.preprocessing.colors or said.preprocessing.colors or own


def _enter_as_they_are(own: OwnNormalization, said: Said, wish: GraphWish) -> bool:
    """Return whether pixels enter a graph as they are that normalizes them itself.

    Numbers that the user or the file says are used nevertheless, and told. Where the colors have
    numbers of their own, of no known order, somebody has to say the order.
    """
    if any(
        one is not None
        for part in (wish.preprocessing, said.preprocessing)
        for one in part.numbers().values()
    ):
        return False
    colors = (asked_for(wish).colors, said.preprocessing.colors, own.colors)
    return not own.names_colors or any(colors)


def _of_quantized(how: QuantizedInput, said: Preprocessing) -> Preprocessing:
    """Return what a file with a quantized input says of pixels.

    Metadata of such files often say the mean and the standard deviation of the float network, or
    none: where what the input can hold is plainly pixels and contradicts them, it decides.
    """
    pixels = as_pixels(how)
    is_said = said.mean is not None or said.std is not None
    if pixels is None or (is_said and misfit(how, said) is None):
        return said
    return pixels.over(said)


def _refuse_normalizing(file: GraphFile, image: ImageInput, own: Preprocessing) -> None:
    for name, value in (("mean", own.mean), ("std", own.std)):
        if value is not None:
            rule = f"be left out for {file.path}, whose input of whole numbers ({{}}) takes pixels"
            shown = ",".join(f"{one:g}" for one in value)
            raise UsageError(broken_rule(f"`{name}`", rule.format(image.tensor.dtype), shown))


def _gray(known: Preprocessing) -> Preprocessing:
    """Return it for one channel: three means become theirs."""
    mean, std = (sum(v) / len(v) for v in (known.mean or (0.0,), known.std or (1.0,)))
    return Preprocessing("gray", (mean,), (std,)).over(known)


def pixel_notes(
    file: GraphFile, image: ImageInput, said: Said, wish: GraphWish, chosen: Preprocessing
) -> tuple[str, ...]:
    """Return what to say of how pixels become the graph's whole numbers."""
    if image.quantized is not None:
        found = misfit(image.quantized, chosen)
        return (f"{file.path.name}: {found}: check `mean` and `std`.",) if found else ()
    asked = asked_for(wish)
    if image.tensor.dtype not in INTEGER_PIXELS:
        found = _own_note(image.own, asked.over(said.preprocessing), chosen, wish.like)
        return (f"{file.path.name} {found}",) if found else ()
    turned = image.own is not None and image.own.colors == chosen.colors == "BGR"
    notes = ("has ImageNet's means inside, of blue, green, red: pixels enter as BGR.",) * turned
    if _normalizes(asked):
        said_by = f"the mean and std of {wish.like} are not used"
        notes = (*notes, f"takes pixels as they are: {said_by}.")
    return tuple(f"{file.path.name} {note}" for note in notes)


def _own_note(
    own: OwnNormalization | None, known: Preprocessing, chosen: Preprocessing, like: str | None
) -> str:
    """Return what to say of a graph that normalizes pixels itself; nothing if that was known."""
    if own is None:
        return ""
    begins = f"normalizes pixels from 0 to 255 itself ({own})"
    if _normalizes(chosen):
        return f"{begins}, and they are normalized before that, too: check `mean` and `std`."
    if _normalizes(known):
        return f"{begins}: the mean and std of {like} are not used."
    if known.mean is not None or known.std is not None:
        return ""
    colors = f" as {chosen.colors}" if own.names_colors else ""
    return f"{begins}: they enter as they are{colors}."


def blind_note(
    file: GraphFile, model: Any, image: ImageInput, chosen: Preprocessing
) -> tuple[str, ...]:
    """Return what to say of a classifier whose first layer hardly sees what enters."""
    std = chosen.std or (1.0,)
    if image.quantized is not None or not _normalizes(chosen):
        return ()
    place = (image.tensor.name, image.layout, image.size, image.channels)
    moved = change_per_level(model, *place, std)
    if moved is None or moved >= LEAST_CHANGE:
        return ()
    hardly = "hardly sees the images with this `mean` and `std`, as if pixels were divided twice"
    fix = "If a converter has put the division into its first layer, use mean 0 and std 1."
    return (f"{file.path.name} {hardly}: look at what `check_on` shows. {fix}",)


def _normalizes(how: Preprocessing) -> bool:
    """Return whether a mean or a standard deviation changes pixels."""
    return any(how.mean or ()) or any(one != 1 for one in how.std or ())
