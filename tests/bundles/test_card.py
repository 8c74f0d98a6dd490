"""Cards come from anybody: each field has its type and bounds, and the message names it."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.bundles import embedded_folder, embedded_names, read_card, read_labels
from cnnkit.bundles.card import clean_label, parse_card
from cnnkit.errors import BundleError

GOOD = {
    "schema_version": 1,
    "name": "flowers",
    "task": "classify",
    "architecture": {"builder": "squeezenet-1.1", "arguments": {"classes": 3}},
    "input": {
        "height": 64,
        "width": 64,
        "fit": "crop",
        "crop_fraction": 0.875,
        "interpolation": "bicubic",
    },
    "outputs": {"scores": {"layer": "logits", "kind": "logits"}},
    "classes": 3,
    "weights": {"file": "weights.safetensors"},
    "labels": {"file": "labels.txt"},
}


def changed(path: str, value: object) -> dict:
    card = copy.deepcopy(GOOD)
    *sections, key = path.split(".")
    place = card
    for section in sections:
        place = place.setdefault(section, {})
    place[key] = value
    return card


def test_a_good_card_is_taken():
    card = parse_card(GOOD)
    assert (card.name, card.classes, card.input.height) == ("flowers", 3, 64)
    assert card.temperature == 1.0 and card.threshold is None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema_version", 2, "Install a newer cnnkit"),
        ("schema_version", "1", "schema_version must be a whole number"),
        ("name", "", "name must be a text"),
        ("int8.ranges", {"a/kernel": [0]}, "ranges.a/kernel must be .lowest, highest.. Received"),
        ("int8.ranges", {"a/kernel": [2, 1]}, "ranges.a/kernel must be"),
        ("int8.ranges", {"a/kernel": [0, float("nan")]}, "ranges.a/kernel must be"),
        ("int8.ranges", {"a/kernel": [0, float("inf")]}, "ranges.a/kernel must be at most 1e"),
        ("int8.ranges", {"a/kernel": ["0", 1]}, "ranges.a/kernel must be"),
        ("int8.ranges", [0, 1], "ranges must be a JSON object"),
        ("int8.ranges", {str(n): [0, 1] for n in range(5000)}, "ranges must be at most 4096"),
        ("name", "x" * 5000, "name must be a text"),
        ("task", "rm -rf", "task must be one of"),
        ("classes", 2_000_000_000, "classes must be a whole number from 0 to 100000"),
        ("classes", True, "classes must be a whole number"),
        ("architecture.arguments", {"classes": 2_000_000_000}, "classes must be a whole number"),
        ("architecture.arguments", {"classes": "3"}, "classes must be a whole number"),
        ("architecture.arguments", {"input_shape": [10**9, 10**9, 3]}, "input_shape must be"),
        ("architecture.arguments", [1], "arguments must be a JSON object"),
        ("input.height", 100_000, "height must be a whole number"),
        ("input.crop_fraction", 0, "crop_fraction must lie between"),
        ("input.fit", "explode", "crop"),
        ("outputs.scores.kind", "vibes", "kind must be one of"),
        ("calibration.temperature", 0, "temperature must lie between"),
        ("calibration.threshold", 2, "threshold must lie between"),
        ("weights.file", "../../etc/passwd", "plain name inside the bundle"),
        ("weights.file", "/etc/passwd", "plain name inside the bundle"),
        ("labels.file", "..", "plain name inside the bundle"),
    ],
)
def test_a_broken_rule_is_named(path, value, message):
    with pytest.raises(BundleError, match=message):
        parse_card(changed(path, value))


@pytest.mark.parametrize("key", ["schema_version", "name", "task", "architecture", "input"])
def test_a_missing_field_is_named(key):
    card = copy.deepcopy(GOOD)
    del card[key]
    with pytest.raises(BundleError, match=key):
        parse_card(card)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from([*GOOD, "file", "layer"]), inner, max_size=8)
        ),
        max_leaves=20,
    )
)
def test_any_json_is_a_card_or_refused(content):
    try:
        parse_card(content)
    except BundleError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "must be JSON"),
        (b"\xff\xfe", "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b" " * (2 << 20), "at most 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_no_card_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(BundleError, match=message) as caught:
        read_card(tmp_path / "card.json")
    assert "card.json" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\n", "each of the 3 classes. Received: 2"),
        (b"a\n\nc\n", "1 to 500 characters"),
        (b"a\nb\n" + b"c" * 600, "1 to 500 characters"),
        (b"a\nb\n\xff\n", "UTF-8"),
    ],
)
def test_labels_are_checked(tmp_path, content, message):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=message):
        read_labels(path, 3)


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("plain\n\x1b[31mred\nb\n", r"line 2, .*Received: U\+001B \(a control character\)"),
        ("a\nb\nri\u202eght\n", r"line 3, .*Received: U\+202E \(RIGHT-TO-LEFT OVERRIDE\)"),
    ],
)
def test_labels_that_control_a_terminal_or_turn_text_are_refused(tmp_path, text, received):
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(BundleError, match=received):
        read_labels(path, 3)
    assert clean_label("a\x00b") == "ab"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_labels_keep_their_joiners_and_have_one_unicode_form(tmp_path, encoding):
    path = tmp_path / "labels.txt"
    path.write_bytes("می‌خواهم\r\ncafe\u0301 \r\n👩‍🔬\r\n".encode(encoding))
    assert read_labels(path, 3) == ("می‌خواهم", "caf\u00e9", "👩‍🔬")


def test_a_label_of_which_nothing_can_be_seen_is_refused(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("a\n\u200d\nb\n")
    with pytest.raises(BundleError, match="empty"):
        read_labels(path, 3)


@pytest.mark.parametrize("name", embedded_names())
def test_embedded_cards_are_good(name):
    folder = embedded_folder(name)
    card = read_card(folder / "card.json")
    assert card.name == name
    if card.classes:
        assert len(set(read_labels(folder / "labels.txt", card.classes))) == card.classes
    assert json.loads((folder / "card.json").read_text())["license"]
