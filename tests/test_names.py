"""Names that look the same are the same, and writing that needs joiners keeps them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.architectures import BUILDERS
from cnnkit.bundles import embedded_names
from cnnkit.bundles.applications import APPLICATIONS
from cnnkit.names import is_safe, is_visible, known_network, network_key, normal_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cafe\u0301", "caf\u00e9"),
        (" cat\t", "cat"),
        ("\ufeffcat", "cat"),
        ("cat\u200b ", "cat"),
        ("\u1112\u1161\u11ab", "\ud55c"),  # Hangul in pieces
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),  # Persian, non-joiner kept
        ("a  b", "a  b"),
    ],
)
def test_normal_names(text, name):
    assert normal_name(text) == name


@given(st.text(st.characters(exclude_categories=())))
def test_a_normal_name_stays_as_it_is(text):
    name = normal_name(text)
    assert normal_name(name) == name and unicodedata.is_normalized("NFC", name)


@pytest.mark.parametrize(
    "text",
    [
        "می‌خواهم",  # Persian with a zero-width non-joiner
        "ක්‍රියා",  # Sinhala with a zero-width joiner
        "👩‍🔬",  # a joined emoji
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # a flag of tags
        "\U0001fae9",  # an emoji newer than Python's Unicode data may be
        "soft\u00adhyphen",
    ],
)
def test_writing_is_safe(text):
    assert is_safe(text) and is_visible(text)


TURNING = "\u061c\u200e\u200f\u202a\u202e\u2066\u2069"
BREAKING = "\x00\n\x7f\x9b\u2028\ue000\ufdd0\ufffe\ud800"


@pytest.mark.parametrize("text", [f"a{c}b" for c in TURNING + BREAKING])
def test_what_turns_or_breaks_text_is_unsafe(text):
    assert not is_safe(text)


@pytest.mark.parametrize("text", ["", " ", "\u200d\u200c", "\u00a0\u200b"])
def test_nothing_to_see(text):
    assert not is_visible(text)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("vgg-16", "vgg-16"),
        ("vgg16", "vgg-16"),
        ("VGG_16", "vgg-16"),
        ("ResNet50", "resnet-50"),
        ("lenet5", "lenet-5"),
        ("LeNet 5", "lenet-5"),
        ("SqueezeNet1_1", "squeezenet-1.1"),
        ("vgg-1", None),
        ("./vgg16", None),
        ("..", None),
        ("", None),
    ],
)
def test_networks_are_found_as_people_type_them(typed: str, meant: str | None) -> None:
    known = ("vgg-16", "resnet-50", "lenet-5", "lenet-5-1998", "squeezenet-1.1")
    assert known_network(typed, known) == meant


def test_no_two_networks_share_a_spelling() -> None:
    for names in ({*BUILDERS, *embedded_names()}, set(APPLICATIONS)):
        assert len({network_key(name) for name in names}) == len(names)
