"""Opening what ``model`` may name: embedded, a folder, a file, ``keras:NAME``."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit import architectures
from cnnkit.bundles import (
    applications,
    darknet,
    detector_card,
    figures,
    keras_files,
    network,
    own_graphs,
    score_kinds,
    statistics,
    stored_graphs,
    weights,
)
from cnnkit.bundles.card import CARD, ModelCard, file_sha256, read_card, read_labels
from cnnkit.bundles.embedded import embedded_folder, embedded_name, embedded_names
from cnnkit.bundles.graphs import graph_card, opening_graphs
from cnnkit.bundles.graphs.said import Said, export_of_ours
from cnnkit.bundles.graphs.scanning import first_bytes, form_of
from cnnkit.bundles.graphs.unknown_files import ZIP_ARCHIVE, kind_of, unknown_file
from cnnkit.bundles.means import read_bits, read_means
from cnnkit.errors import BundleError, UsageError, broken_rule, did_you_mean, requires
from cnnkit.images import InputSpec
from cnnkit.runtime import (
    ModelSource,
    Quantization,
    building_defaults,
    built_for_weights,
    import_keras,
)
from cnnkit.version import __version__

WEIGHTS = "weights.safetensors"
KERAS_FILE = "model.keras"
LABELS = "labels.txt"
DEFAULT_SIDE = 224
# The shape of what a bundle of one network gives, without the batch; None: any side.
OUTPUT_SHAPES: dict[str, tuple[int | None, ...]] = {
    "embed-face": (None,),
    "stylize": (None, None, 3),
}
# Asks `cnnkit.bundles.to_openvino` to keep the names of the weights.
NAMED = {"names_weights": True}


@dataclass(frozen=True)
class Bundle:
    """An opened model, not yet built.

    Attributes:
        card: What it is.
        labels: The classes' names, in the model's order.
        identity: A hash of all that the network's numbers depend on, for caches.
        notes: What the user should be told once, such as made-up labels.
        graph: Makes the `openvino.Model` of a graph in another tool's form, which OpenVINO alone
            runs; None: Keras builds the network.
        graph_store: The folder of the weights and of `stored_graphs.GRAPHS`; None: it has none.
        trusted_graphs: Whether these came with cnnkit; if not, see `cnnkit.bundles.own_graphs`.
        int8_in_float: Whether float32 computes what 8-bit integers give, see
            `cnnkit.runtime.contract.Quantization`.
        means: The file of the mean activations and rounding bits, see `cnnkit.bundles.means`;
            None: there is none.
        weights: The file of the weights of a bundle's folder; None: it is none.
    """

    card: ModelCard
    labels: tuple[str, ...]
    identity: str
    load: Callable[..., Any]
    request: dict[str, Any]
    notes: tuple[str, ...] = ()
    graph: opening_graphs.RunningModel | None = None
    graph_store: Path | None = None
    trusted_graphs: bool = False
    int8_in_float: bool = False
    means: Path | None = None
    weights: Path | None = None

    @property
    def weights_hash(self) -> str:
        """A hash of the weights, and of the graph that came with them, if one did.

        Of a graph in another tool's form also what it takes, which is in the card alone.
        """
        card = self.card
        weights = str(card.weights.get("sha256") or self.identity)
        if spec := graph_card.graph_spec(card):
            further = card.content[graph_card.SECTION].get("weights") or {}
            graph = json.dumps([spec.to_dict(), further.get("sha256")], sort_keys=True)
        elif not self.trusted_graphs and (own := own_graphs.graph_hash(card)) is not None:
            graph = own
        else:
            return weights
        return hashlib.sha256(f"{weights} {graph}".encode()).hexdigest()

    @property
    def answers_hash(self) -> str:
        """A hash of all that rows depend on but the options of a run, for journals.

        Besides the network these are the labels, and how the card prepares images and decides.
        """
        card = self.card
        decides = [card.scores_kind, card.temperature, card.threshold, card.content.get("detector")]
        what = [self.identity, self.labels, card.input.to_dict(), *decides]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    @property
    def content_hash(self) -> str:
        """A hash of the weights and of how images are prepared for them.

        Unlike `identity`, it is the same in every version of cnnkit.
        """
        what = [self.weights_hash, self.card.input.to_dict(), self.card.features_layer]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def build(
        self,
        features: bool = False,
        precision: str = "float32",
        network_name: str | None = None,
        statistics_form: str | None = None,
    ) -> Any:
        """Build the network with its weights on Keras's backend.

        Args:
            features: Whether the features are given beside the scores.
            network_name: One of ``card.networks``; None: the only one.
            precision: ``float32``, or ``bfloat16`` for bfloat16 arithmetic; the layers of a
                ``.keras`` file compute in float32, whatever they were trained in.
            statistics_form: ``measured`` or ``given``: the network gives or takes what its
                instance normalizations measure, see `cnnkit.bundles.statistics`.

        Returns:
            A `keras.Model` from RGB 0-255 (batch, height, width, 3) to a dict: ``scores``
            (batch, classes) and perhaps ``features`` (batch, n), float32. For any other task
            the functional model of the builder, its outputs a dict named by the card.

        Raises:
            BundleError: The weights do not fit the network, or it is a graph without layers.
        """
        card = self.card
        if self.graph is not None:
            raise graph_only(card.name)
        with building_defaults(precision) as keras:
            if card.networks:
                name = self.network_name(network_name)
                outputs = card.networks[name].outputs
                model = network.with_card_outputs(keras, self.load(name), outputs)
                if statistics_form is None:
                    return model
                return statistics.with_statistics(keras, model, statistics_form)
            model = network.color_input(keras, self.load())
            numbers = score_kinds.columns(card.scores_kind, card.classes)
            return network.with_named_outputs(
                keras,
                model,
                card.scores_layer,
                card.features_layer,
                features,
                numbers,
                card.scores_kind,
            )

    def network_name(self, name: str | None = None) -> str:
        """Return the name of one of the card's networks; None means the only one.

        Raises:
            BundleError: There is no such network, or more than one to choose from.
        """
        known = list(self.card.networks)
        if name is None and len(known) == 1:
            return known[0]
        if name not in known:
            rule = f"have the network {name!r}" if name else "have one network"
            raise BundleError(broken_rule(self.card.name, rule, ", ".join(known) or "none"))
        return name

    def source(
        self,
        features: bool = False,
        network_name: str | None = None,
        input_shape: tuple[int | None, int | None, int] | None = None,
        statistics_form: str | None = None,
    ) -> ModelSource:
        """Return what the runtime needs to compile this model.

        Args:
            features: Whether the features are given beside the scores.
            network_name: One of ``card.networks``; None: the only one.
            input_shape: Height, width and channels, for networks that take another size than
                the card's; None in it: any height or width.
            statistics_form: See `build`.
        """
        wanted = {
            "features": features,
            "network_name": network_name,
            "statistics_form": statistics_form,
        }
        graph = self.graph
        return ModelSource(
            name=self.card.name,
            identity=f"{self.identity} {json.dumps(wanted, sort_keys=True)}",
            input_shape=input_shape or (self.card.input.height, self.card.input.width, 3),
            build=lambda precision: self.build(features, precision, network_name, statistics_form),
            conversion=["cnnkit.bundles.to_openvino", json.dumps(self.request | wanted)],
            openvino=partial(graph, *self._tensors(features)) if graph else None,
            stored=lambda: self._stored_graph(features, network_name, statistics_form),
            quantization=self._quantization(wanted),
            without_int8=(
                f"activation ranges, which the card of {self.card.name} lacks",
                without_ranges(self),
            ),
        )

    def _quantization(self, wanted: dict[str, Any]) -> Quantization | None:
        """Return what the card says of 8-bit integers for a network, or None."""
        prefix = self.prefix(wanted["network_name"])
        ranges = {
            name.removeprefix(prefix): ends
            for name, ends in self.card.ranges.items()
            if name.startswith(prefix)
        }
        if not ranges or self.graph is not None:
            return None
        # Features are kept and compared with those of other machines.
        automatic = not wanted["features"] and figures.int8_is_accurate(self.card.content)
        request = json.dumps(self.request | wanted | NAMED)
        return Quantization(
            ranges,
            automatic,
            conversion=["cnnkit.bundles.to_openvino", request],
            in_float=self.int8_in_float,
            means=self._means(prefix),
            bits=self._bits(prefix),
            means_hash=str(self.card.means.get("sha256", "")),
        )

    def _means(self, prefix: str) -> Callable[[], Mapping[str, np.ndarray]] | None:
        """Return what reads the mean activations of a network, or None where there are none."""
        if self.means is None:
            return None
        return partial(read_means, self.means, self.card.means.get("sha256"), prefix)

    def _bits(self, prefix: str) -> Callable[[], Mapping[str, np.ndarray]] | None:
        """Return what reads the rounding bits of a network, or None where there is no file."""
        if self.means is None or self.weights is None:
            return None
        sha256 = self.card.means.get("sha256")
        return partial(read_bits, self.means, sha256, self.weights, self.card.weights, prefix)

    def prefix(self, network_name: str | None = None) -> str:
        """Return what the names of a network's weights begin with in the bundle's files."""
        several = len(self.card.networks) > 1
        return f"{self.network_name(network_name)}/" if several else ""

    def _stored_graph(
        self, features: bool, network_name: str | None, statistics_form: str | None
    ) -> Any | None:
        """Return the network in OpenVINO's form as it was kept with the weights, or None."""
        if self.graph_store is None:
            return None
        if not self.trusted_graphs:
            if statistics_form is not None:
                return None
            weights = self.graph_store / WEIGHTS
            outputs = self.outputs(features)
            return own_graphs.read_own_graph(self.card, self.graph_store, weights, outputs)
        card = self.card
        wanted = tuple(self.outputs(features)) if not card.networks else ()
        if card.networks:
            network_name = self.network_name(network_name)
        return stored_graphs.read_graph(
            self.graph_store / stored_graphs.GRAPHS,
            stored_graphs.graph_name(network_name, statistics_form),
            self.graph_store / card.weights.get("file", WEIGHTS),
            self.prefix(network_name),
            wanted,
        )

    def outputs(self, features: bool = False) -> own_graphs.Outputs:
        """Return the outputs of a bundle with one network, and their shapes where these are known.

        Raises:
            BundleError: It is a detector, and its section breaks a rule.
        """
        card = self.card
        if not card.networks:
            scores = {"scores": (score_kinds.columns(card.scores_kind, card.classes),)}
            return scores | ({"features": None} if features else {})
        names = card.networks[self.network_name()].outputs
        known = detector_card.head_shapes(card) if card.task == "detect" else {}
        alike = OUTPUT_SHAPES.get(card.task)
        return {name: known.get(name, alike) for name in names}

    def _tensors(self, features: bool) -> tuple[dict[str, str], int]:
        """Return the tensor of each of a graph's outputs, and how many scores there are."""
        card = self.card
        if card.task != "classify":
            return dict(card.networks[self.network_name()].outputs), 0
        tensors = {"scores": card.scores_layer or ""}
        if features:
            tensors["features"] = card.features_layer or ""
        return tensors, score_kinds.columns(card.scores_kind, card.classes)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return a classifier's probabilities of the classes, calibrated.

        Args:
            scores: One row of its scores, float (classes,), or (1,) where one number tells two
                classes apart.

        Returns:
            Float (classes,), 0 to 1.

        Raises:
            BundleError: The scores are not what the card says.
        """
        return score_kinds.probabilities(scores, self.card.scores_kind, self.card.temperature)


def without_ranges(bundle: Bundle) -> str:
    """Return what a user can do who wants 8-bit integers of a bundle that has no ranges."""
    # Only these trainings measure ranges.
    if bundle.card.content.get("training") and bundle.card.task in ("classify", "detect"):
        return "Train it again with this version, or use `precision='float32'`."
    return "Use `precision='float32'` or auto."


def graph_only(name: str) -> BundleError:
    """Return the refusal of what needs a network's layers, for a graph that has none."""
    fix = "Use its Keras model, such as a .keras file, to train, explain, or export it."
    return BundleError(f"{name} is a graph that can only be run, by OpenVINO. {fix}")


PathOrName = str | os.PathLike[str]


def open_model(
    model: PathOrName,
    weights: PathOrName | None = None,
    labels: PathOrName | None = None,
    *,
    parameter: str = "model",
    words: Sequence[str] = (),
) -> Bundle:
    """Open a model by what the user named it.

    Args:
        model: An embedded name, a bundle folder, a ``.keras`` file, ``keras:NAME``, Darknet's
            ``FILE.cfg``, or a graph: an ONNX or TFLite file, an OpenVINO ``.xml``, or a
            SavedModel folder.
        weights: A weights file for ``keras:NAME``; the ``.weights`` of a ``.cfg``.
        labels: A file with one label a line, for a model without labels of its own.
        parameter: What the user calls `model`, for messages.
        words: What else the user could have meant there, such as ``auto``.

    Raises:
        UsageError: There is no such model.
        BundleError: It exists but cannot be opened, or is unsafe to open.
    """
    if not isinstance(model, str) and os.path.isdir(model):  # a path is never an embedded name
        return _open_folder(Path(model), _text(labels))
    model, weights, labels = os.fspath(model), _text(weights), _text(labels)
    is_darknet = model.lower().endswith(".cfg")
    if weights and not (is_darknet or model.startswith(applications.PREFIX)):
        fix = "A bundle and a .keras file hold their own weights."
        raise UsageError(requires("`weights`", "`model='keras:NAME'` or FILE.cfg", fix))
    if model.startswith(applications.PREFIX):
        return _open_application(model, weights, labels)
    if is_darknet:
        return _open_darknet(model, weights, labels)
    embedded = embedded_name(model)
    if embedded is not None:
        folder = embedded_folder(embedded)
        opened = _open_folder(folder, labels)
        return replace(opened, graph_store=folder, trusted_graphs=True)
    path = Path(model)
    if path.is_dir():
        return _open_folder(path, labels)
    if path.is_file():
        return _open_file(path, labels)
    export = opening_graphs.elsewhere(model)
    if export is not None:
        rule = "be a file on this machine"
        raise UsageError(broken_rule(f"`{parameter}`", rule, repr(model), export))
    fix = did_you_mean(model, [*words, *embedded_names()])
    fix = fix or f"Embedded: {', '.join(embedded_names())}. Own bundles: give the folder's path."
    rule = "name an embedded model, a bundle folder, a file of a model, or keras:NAME"
    raise UsageError(broken_rule(f"`{parameter}`", rule, repr(model), fix))


def _open_file(path: Path, labels: str | None) -> Bundle:
    """Open a file by its content; a Keras file is a zip archive or named like one."""
    if form_of(path):
        return _open_graph(path, labels)
    head = first_bytes(path)
    if kind_of(head) != ZIP_ARCHIVE and path.suffix.lower() not in (".keras", ".h5"):
        raise unknown_file(path, head, "an ONNX, TFLite, OpenVINO .xml, or .keras file")
    return _open_keras_file(path, labels)


def _text(path: PathOrName | None) -> str | None:
    return None if path is None else os.fspath(path)


def _identity(*parts: Any) -> str:
    content = json.dumps([__version__, code_hash(), *parts], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


@cache
def code_hash() -> str:
    """Return a hash of the builders' source: a changed builder makes another model."""
    digest = hashlib.sha256()
    for folder in (Path(architectures.__file__).parent, Path(__file__).parent):
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _user_labels(labels: str | None, classes: int) -> tuple[str, ...] | None:
    return read_labels(Path(labels), classes) if labels else None


# --- a bundle folder ---------------------------------------------------------------------


def _open_folder(folder: Path, labels: str | None) -> Bundle:
    if not (folder / CARD).is_file():
        if form_of(folder):
            return _open_graph(folder, labels)
        raise BundleError(
            f"{folder} must be a bundle with a {CARD}. Received: a folder without one."
        )
    card = read_card(folder / CARD)
    names = _user_labels(labels, card.classes) or _bundle_labels(folder, card)
    if spec := graph_card.graph_spec(card):
        return _open_graph_bundle(folder, card, spec, names)
    if card.builder or len(card.networks) > 1:
        path = folder / card.weights.get("file", WEIGHTS)
        load = _networks_loader(card, path) if card.networks else _builder_loader(card, path)
    else:
        path = folder / card.weights.get("file", KERAS_FILE)
        load = _keras_loader(path)
        card = _with_scores_kind(card, path)
    sha256 = checked_sha256(path, card.weights.get("sha256"))
    networks = {name: vars(spec) for name, spec in card.networks.items()}
    what: list[Any]
    what = [card.builder, card.arguments, card.scores_layer, card.features_layer, networks]
    graph = own_graphs.graph_hash(card)
    what += [] if graph is None else [graph]
    request = {"model": str(folder.resolve())}
    store = None if graph is None or len(card.networks) > 1 else folder
    means = folder / card.means["file"] if card.means.get("file") else None
    identity = _identity(sha256, *what)
    return Bundle(
        card, names, identity, load, request, graph_store=store, means=means, weights=path
    )


def _with_scores_kind(card: ModelCard, path: Path) -> ModelCard:
    """Return a classifier's card with its ``.keras`` file's kind of scores, if it says none."""
    given = card.content.get("outputs", {}).get("scores") or {}
    if card.task != "classify" or given.get("kind") or card.scores_layer:
        return card
    return replace(card, scores_kind=keras_files.plan_keras_file(path).scores_kind)


def checked_sha256(path: Path, expected: str | None) -> str:
    """Return a file's SHA-256, which must be the one that its card gives, if it gives one.

    Raises:
        BundleError: They differ.
    """
    sha256 = file_sha256(path)
    if expected is not None and expected != sha256:
        raise BundleError(
            f"{path} must have the sha256 of its card, {expected[:12]}. "
            f"Received: {sha256[:12]}. The file was changed or is incomplete."
        )
    return sha256


def _bundle_labels(folder: Path, card: ModelCard) -> tuple[str, ...]:
    if not card.classes:
        return ()
    path = folder / card.labels.get("file", LABELS)
    checked_sha256(path, card.labels.get("sha256"))
    return read_labels(path, card.classes)


def _builder_loader(card: ModelCard, path: Path) -> Callable[[], Any]:
    return lambda: _built(card.name, card.builder, card.arguments, path)


def _networks_loader(card: ModelCard, path: Path) -> Callable[[str], Any]:
    def load(name: str) -> Any:
        spec = card.networks[name]
        prefix = f"{name}/" if len(card.networks) > 1 else ""
        return _built(card.name, spec.builder, spec.arguments, path, prefix)

    return load


def _built(
    name: str, builder: str | None, arguments: Mapping[str, Any], path: Path, prefix: str = ""
) -> Any:
    weights.tensor_shapes(path)  # refuses a truncated file before anything is built
    build = architectures.builder(builder or "")
    try:
        model = built_for_weights(lambda: build(**arguments))
    except (TypeError, ValueError) as error:
        raise BundleError(f"{name}: its architecture is refused: {error}") from error
    weights.load_weights(model, path, prefix)
    return model


def _keras_loader(path: Path) -> Callable[..., Any]:
    return lambda *network_name: keras_files.load_keras_file(path)


# --- graphs -----------------------------------------------------------------------------------


def _open_graph(path: Path, labels: str | None) -> Bundle:
    file, planned = opening_graphs.plan_graph(path, labels)
    card = replace(planned.card, weights={"file": path.name, "sha256": file.sha256})
    request = {"model": str(path.resolve()), "labels": labels and str(Path(labels).resolve())}
    opened = _graph_bundle(path, card, planned.spec, [file.sha256], planned.labels, request)
    return replace(opened, notes=planned.notes)


def _open_graph_bundle(
    folder: Path, card: ModelCard, spec: graph_card.GraphSpec, names: tuple[str, ...]
) -> Bundle:
    path = folder / graph_card.FILES[spec.form]
    hashes = [checked_sha256(path, card.weights.get("sha256"))]
    if spec.form == "openvino":
        weights = card.content[graph_card.SECTION].get("weights") or {}
        hashes.append(checked_sha256(path.with_suffix(".bin"), weights.get("sha256")))
    return _graph_bundle(path, card, spec, hashes, names, {"model": str(folder.resolve())})


def _graph_bundle(
    path: Path,
    card: ModelCard,
    spec: graph_card.GraphSpec,
    hashes: list[str],
    names: tuple[str, ...],
    request: dict[str, Any],
) -> Bundle:
    def load(*_: Any) -> Any:
        """Refuse: a graph has no layers."""
        raise graph_only(card.name)

    what = (card.input.to_dict(), spec.to_dict(), card.content.get("outputs"), card.classes)
    graph = opening_graphs.running_model(path, spec, card.input.size)
    return Bundle(card, names, _identity("graph", *hashes, *what), load, request, graph=graph)


# --- a bare .keras file ------------------------------------------------------------------


def _open_keras_file(path: Path, labels: str | None) -> Bundle:
    if path.suffix.lower() == ".h5":
        raise BundleError(
            f"{path} must be a .keras file. Received: a legacy .h5 file, which can hold code. "
            "Save it again with model.save('NAME.keras') if you trust it."
        )
    plan = keras_files.plan_keras_file(path)
    notes = list(plan.notes)
    if None in plan.input_shape[:2]:
        notes.append(f"{path.name} takes any size: using {DEFAULT_SIDE}x{DEFAULT_SIDE}.")
    height, width = (side or DEFAULT_SIDE for side in plan.input_shape[:2])
    sha256 = file_sha256(path)
    image = InputSpec(height, width, fit="stretch", crop_fraction=1.0, interpolation="bilinear")
    described = export_of_ours(path, plan.classes, image)
    said = Said()
    if described is not None:
        image, said = described
        notes += said.notes
    names = _user_labels(labels, plan.classes) or said.labels
    if names is None:
        last = plan.classes - 1
        names = tuple(f"class_{index}" for index in range(plan.classes))
        notes.append(f"{path.name} has no labels: using class_0 to class_{last}. Give `labels`.")
    card = ModelCard(
        name=path.stem,
        task="classify",
        description="A Keras model.",
        builder=None,
        arguments={},
        input=image,
        scores_layer=None,
        scores_kind=plan.scores_kind,
        threshold=said.threshold,
        features_layer=None,
        classes=plan.classes,
        weights={"file": path.name, "sha256": sha256},
        labels={},
    )
    request = {"model": str(path.resolve()), "labels": labels and str(Path(labels).resolve())}
    more = () if described is None else (image.to_dict(),)
    identity = _identity("keras-file", sha256, *more)
    return Bundle(card, names, identity, _keras_loader(path), request, tuple(notes))


# --- Darknet's files ----------------------------------------------------------------------


def _open_darknet(model: str, weights_file: str | None, labels: str | None) -> Bundle:
    if weights_file is None:
        fix = "Give the .weights file with `weights`."
        raise UsageError(requires("`model='FILE.cfg'`", "`weights`", fix))
    network_of, path = darknet.read_cfg(Path(model)), Path(weights_file)
    stored = darknet.read_weights(path, network_of.architecture, len(network_of.masks[0]))
    arrays = darknet.fitting_arrays(stored, network_of.classes, str(path))
    names, notes = _darknet_labels(labels, network_of.classes)
    card = darknet.card_of(network_of, stored.sha256, Path(model).stem)

    def load(*_: Any) -> Any:
        """Build the network and give it the file's weights."""
        built = architectures.builder(network_of.architecture)(**card.arguments)
        for variable in built.weights:
            variable.assign(arrays[variable.path])
        return built

    request = {
        "model": str(Path(model).resolve()),
        "weights": str(path.resolve()),
        "labels": labels and str(Path(labels).resolve()),
    }
    identity = _identity("darknet", stored.sha256, card.content, names)
    return Bundle(card, names, identity, load, request, notes)


def _darknet_labels(labels: str | None, classes: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the labels, and what to say of them."""
    names = _user_labels(labels, classes)
    if names is not None:
        return names, ()
    if classes == 80:
        note = "80 classes without `labels`: using COCO's names."
        return read_labels(embedded_folder("yolov3-tiny") / LABELS, classes), (note,)
    note = f"No labels: using class_0 to class_{classes - 1}. Give `labels`."
    return tuple(f"class_{index}" for index in range(classes)), (note,)


# --- keras.applications ------------------------------------------------------------------


def _open_application(model: str, weights: str | None, labels: str | None) -> Bundle:
    name = applications.application_name(model)
    if weights and not Path(weights).is_file():
        raise UsageError(broken_rule("`weights`", "name a file", repr(weights)))
    embedded = embedded_folder("efficientnet-lite0") / LABELS  # ImageNet's classes, in order
    names = read_labels(Path(labels) if labels else embedded, 1000)
    sha256 = file_sha256(Path(weights)) if weights else "downloaded"
    card = ModelCard(
        name=f"{applications.PREFIX}{name}",
        task="classify",
        description="A network of keras.applications with its ImageNet weights.",
        builder=None,
        arguments={},
        input=applications.input_spec(name),
        scores_layer=None,
        scores_kind="logits",
        features_layer=None,
        classes=1000,
        weights={"sha256": sha256} if weights else {},
        labels={},
    )

    def load() -> Any:
        return applications.build_application(import_keras(), name, weights)

    request = {"model": card.name, "weights": weights and str(Path(weights).resolve())}
    return Bundle(card, names, _identity("keras-application", name, sha256), load, request)
