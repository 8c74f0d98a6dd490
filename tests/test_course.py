"""The numbers of the course, each by the command or the function that gives it."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnnkit.cli import _run

PAGE = Path(__file__).resolve().parents[1] / "docs" / "course.md"
FIRST_IMAGE = "3 0 1 2 7 4; 1 5 8 9 3 1; 2 7 2 5 1 3; 0 1 3 1 7 8; 4 2 1 6 2 8; 2 4 5 2 3 9"
POOLED = "1 3 2 1; 2 9 1 1; 1 3 2 3; 5 6 1 2"

Said = Callable[..., str]


@pytest.fixture
def said(capsys, monkeypatch) -> Said:
    """What ``cnnkit ARGUMENTS`` writes to standard output, without a process of its own."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["cnnkit", *arguments])
        capsys.readouterr()
        status = _run()
        output = capsys.readouterr()
        assert status == 0, output.err
        return output.out

    return run


def numbers(text: str) -> list[list[float]]:
    """Return the rows of numbers of an output, without the line of the size."""
    return [[float(cell) for cell in line.split()] for line in text.splitlines()[1:]]


# --- 1. convolution -----------------------------------------------------------------------


def test_the_first_image_and_the_vertical_filter(said: Said) -> None:
    found = numbers(said("convolve", "--matrix", FIRST_IMAGE, "--kernel", "1 0 -1; 1 0 -1; 1 0 -1"))
    assert found == [[-5, -4, 0, 8], [-10, -2, 2, 3], [0, -2, -4, -7], [-3, -2, -3, -16]]


def test_half_bright_half_dark_has_an_edge_of_30(said: Said) -> None:
    image = "; ".join(["10 10 10 0 0 0"] * 6)
    found = numbers(said("convolve", "--matrix", image, "--kernel", "vertical"))
    assert found == [[0, 30, 30, 0]] * 4


@pytest.mark.parametrize(("name", "column"), [("sobel-x", [1, 2, 1]), ("scharr-x", [3, 10, 3])])
def test_sobel_and_scharr_weigh_the_middle_more(said: Said, name: str, column: list) -> None:
    """The filter's own answer to a single 1 is the filter, turned."""
    impulse = "0 0 0 0 0; 0 0 0 0 0; 0 0 1 0 0; 0 0 0 0 0; 0 0 0 0 0"
    found = numbers(said("convolve", "--matrix", impulse, "--kernel", name, "--flip"))
    assert found == [[n, 0, -n] for n in column]


def test_sobel_is_learned_by_backpropagation(said: Said, examples, tmp_path) -> None:
    cat, target = str(examples / "cat.jpg"), str(tmp_path / "sobel.npy")
    said("convolve", cat, "--kernel", "sobel-x", "-o", target)
    lines = said("convolve", "--learn-from", cat, target).splitlines()
    learned = [[float(cell) for cell in line.split()] for line in lines[-5:-2]]
    np.testing.assert_allclose(learned, [[1, 0, -1], [2, 0, -2], [1, 0, -1]], atol=0.002)


@pytest.mark.parametrize(
    ("size", "layer", "output", "formula"),
    [
        ("6x6x1", "conv 1 3x3", "4x4x1", "floor((6 + 2*0 - 3)/1) + 1 = 4"),
        ("6x6x1", "conv 1 3x3 pad 1", "6x6x1", "floor((6 + 2*1 - 3)/1) + 1 = 6"),
        ("8x8x1", "conv 1 3x3", "6x6x1", "floor((8 + 2*0 - 3)/1) + 1 = 6"),
        ("6x6x1", "conv 1 3x3 same", "6x6x1", "ceil(6/1) = 6"),
    ],
)
def test_the_output_size(said: Said, size: str, layer: str, output: str, formula: str) -> None:
    text = said("shapes", "--input", size, layer)
    assert f"1. {layer} -> {output}" in text and formula in text


def test_same_padding_of_stride_1_is_half_the_filter() -> None:
    from cnnkit.arithmetic import same_padding

    for size in (1, 3, 5, 7, 11):
        assert same_padding(100, size) == ((size - 1) // 2, (size - 1) // 2)


def test_two_filters_over_a_volume_give_4x4x2(said: Said) -> None:
    assert "1. conv 2 3x3 -> 4x4x2" in said("shapes", "--input", "6x6x3", "conv 2 3x3")


@pytest.mark.parametrize(("size", "count"), [("64x64x3", "12,288"), ("720x720x3", "1,555,200")])
def test_ten_filters_have_280_parameters_whatever_the_size(said: Said, size, count) -> None:
    """One write-up has 68x68x3 for 64x64x3: that would be 13,872 numbers."""
    text = said("shapes", "--input", size, "conv 10 3x3")
    assert f"input {size} = {count} numbers" in text
    assert "(3*3*3 + 1)*10 = 280" in text


@pytest.mark.parametrize(
    ("kind", "values"), [("max", [[9, 2], [6, 3]]), ("average", [[3.75, 1.25], [3.75, 2]])]
)
def test_pooling(said: Said, kind: str, values: list) -> None:
    text = said("convolve", "--matrix", POOLED, "--pool", f"{kind} 2x2/2")
    assert numbers(text) == values and "floor((4 + 2*0 - 2)/2) + 1 = 2" in text
    assert "total: 0 parameters" in said("shapes", "--input", "4x4x1", f"{kind} 2x2")


def test_the_small_net_of_39x39x3(said: Said) -> None:
    chain = ["conv 10 3x3", "conv 20 5x5/2", "conv 40 5x5/2", "flatten", "dense 10", "softmax"]
    lines = said("shapes", "--input", "39x39x3", *chain, "--brief").splitlines()
    outputs = [line.split()[-4] for line in lines[1:7]]
    assert outputs == ["37x37x10", "17x17x20", "7x7x40", "1,960", "10", "10"]


def test_the_example_like_lenet_has_62006_parameters(said: Said) -> None:
    chain = ["conv 6 5x5", "max 2x2", "conv 16 5x5", "max 2x2", "flatten"]
    chain += ["dense 120", "dense 84", "dense 10"]
    text = said("shapes", "--input", "32x32x3", *chain, "--brief")
    for output in ("28x28x6", "14x14x6", "10x10x16", "5x5x16", "400", "120", "84"):
        assert output in text
    assert "total: 62,006 parameters" in text


def test_a_dense_layer_has_14_million_weights_where_a_convolution_has_456(said: Said) -> None:
    """One write-up counts (5*5 + 1)*6 = 156, which is right for one channel."""
    text = said("shapes", "--input", "32x32x3", "conv 6 5x5")
    assert "(32*32*3) * (28*28*6) = 14,450,688 weights instead" in text
    assert "(5*5*3 + 1)*6 = 456" in text
    assert "(5*5*1 + 1)*6 = 156" in said("shapes", "--input", "32x32x1", "conv 6 5x5")


# --- 2. classic and deep networks ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("lenet-5", "61,706"),
        ("lenet-5-1998", "60,000"),
        ("alexnet", "60,965,224"),
        ("vgg-16", "138,357,544"),
        ("resnet-50", "25,557,032"),
        ("googlenet", "6,998,552"),
    ],
)
def test_parameters_of_the_classic_networks(said: Said, name: str, parameters: str) -> None:
    """About 60 thousand, 60 million, 138 million; tests/networks holds the list to the builders."""
    line = next(line for line in said("network", "--list").splitlines() if line.split()[0] == name)
    assert line.split()[2] == parameters


def test_vgg_pools_after_each_block(said: Said) -> None:
    """One write-up lets it pool after each convolution."""
    lines = said("network", "vgg-16").splitlines()
    kinds = [line.split()[1] for line in lines[3:] if line.split()[1:2]]
    assert kinds[:6] == ["Conv2D", "Conv2D", "MaxPooling2D", "Conv2D", "Conv2D", "MaxPooling2D"]
    assert kinds.count("MaxPooling2D") == 5 and kinds.count("Conv2D") == 13


def test_a_residual_block_of_zero_weights_is_the_identity() -> None:
    from tests.architectures.test_resnet import test_zero_weights_make_a_block_the_identity

    test_zero_weights_make_a_block_the_identity()


def test_a_1x1_convolution_changes_the_channels(said: Said) -> None:
    text = said("shapes", "--input", "28x28x192", "conv 32 1x1")
    assert "1. conv 32 1x1 -> 28x28x32" in text


def test_the_bottleneck_of_an_inception_block(said: Said) -> None:
    direct = said("shapes", "--input", "28x28x192", "conv 32 5x5 same")
    assert "28*28*32 * 5*5*192 = 120,422,400" in direct
    through = said("shapes", "--input", "28x28x192", "conv 16 1x1", "conv 32 5x5 same")
    assert "28*28*16 * 1*1*192 = 2,408,448" in through
    assert "28*28*32 * 5*5*16 = 10,035,200" in through
    assert "12,443,648 multiplies" in through


def test_an_inception_block_joins_its_branches(said: Said) -> None:
    block = "inception conv 64 1x1 | conv 96 1x1, conv 128 3x3 same | conv 16 1x1, conv 32 5x5 same"
    text = said("shapes", "--input", "28x28x192", f"{block} | max 3x3/1 same, conv 32 1x1")
    assert "channels    64 + 128 + 32 + 32 = 256" in text and "-> 28x28x256" in text


# --- 3. detection -------------------------------------------------------------------------


def test_intersection_over_union() -> None:
    from cnnkit.boxes import iou

    found = iou(np.array([[0, 0, 2, 2]]), np.array([[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6]]))
    np.testing.assert_allclose(np.ravel(found), [1 / 7, 1, 0])


def test_non_max_suppression_keeps_the_surest_of_what_overlaps() -> None:
    from cnnkit.boxes import nms

    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 2.2], [5, 5, 6, 6]])
    assert list(nms(boxes, np.array([0.7, 0.9, 0.6]), 0.5)) == [1, 2]


# --- 4. faces -----------------------------------------------------------------------------


@pytest.mark.parametrize(("negative", "margin"), [(2.0, 0.2), (1.1, 0.5), (1.5, 2.0)])
def test_the_triplet_loss(negative: float, margin: float) -> None:
    """max(|f(A) - f(P)|^2 - |f(A) - f(N)|^2 + margin, 0), here averaged over A and P as anchors."""
    from cnnkit.losses.triplets import semi_hard

    anchor, positive, other = np.array([0, 0.0]), np.array([0, 1.0]), np.array([negative, 0.5])
    one = ((anchor - positive) ** 2).sum()
    two = [((a - other) ** 2).sum() for a in (anchor, positive)]
    expected = np.mean([max(one - far + margin, 0) for far in two])
    batch = np.stack([anchor, positive, other]).astype(np.float32)
    found = float(semi_hard(np.array([0, 0, 1]), batch, margin))
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_face_is_described_by_128_numbers(said: Said) -> None:
    from cnnkit.networks.catalogue import CATALOGUE

    assert CATALOGUE["face-resnet-v1"].output == "128 numbers of a face"
    last = said("network", "dlib-face").splitlines()
    assert any(re.search(r"\bDense\b.* 128 ", line) for line in last)


# --- 5. style -----------------------------------------------------------------------------


def test_the_total_cost_of_the_course_is_34() -> None:
    from cnnkit.losses.style import total_cost

    assert total_cost(0.2, 0.8) == pytest.approx(34)


def test_the_style_cost_is_the_courses_relative_to_the_style() -> None:
    """J = 1 / (2 nH nW nC)^2 * sum (G_S - G_G)^2 of sums over places; ours takes the mean of the
    places and divides by the style's own G, so that layers count alike."""
    from cnnkit.losses.style import gram_matrix, style_loss, style_scale

    random = np.random.default_rng(3)
    style, generated = random.normal(size=(2, 1, 4, 5, 3)).astype(np.float32)
    sums = [np.einsum("hwk,hwl->kl", a[0], a[0]) for a in (style, generated)]
    course = ((sums[0] - sums[1]) ** 2).sum() / (2 * 4 * 5 * 3) ** 2
    grams = gram_matrix(style), gram_matrix(generated)
    relative = float(style_loss(grams[1], grams[0])[0])
    assert relative * float(style_scale(grams[0])[0]) / (4 * 3**2) == pytest.approx(
        course, rel=1e-4
    )


# --- the page -----------------------------------------------------------------------------


def shown_outputs() -> list[tuple[list[str], list[str]]]:
    """Return the commands of each block of the page with the lines that the page shows below."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n((?:cnnkit.*\n)+)```\n\n((?:    .*\n)*)", text, re.MULTILINE)
    return [(block.splitlines(), shown.splitlines()) for block, shown in blocks if shown]


def test_the_python_of_the_page_runs(capsys) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    exec(code, {})
    first, second = capsys.readouterr().out.splitlines()
    assert "0.142857" in first and second == "[1 2]"


def test_what_the_page_shows_is_what_the_commands_say(said, examples, tmp_path, monkeypatch):
    shutil.copy(examples / "cat.jpg", tmp_path)
    monkeypatch.chdir(tmp_path)
    outputs = shown_outputs()
    assert len(outputs) >= 10
    for commands, lines in outputs:
        if any("--learn-from" in command for command in commands):
            continue  # its digits depend on the machine; tested above
        text = "".join(said(*shlex.split(command)[1:]) for command in commands)
        for line in lines:
            assert line.removeprefix("    ") in text, (commands, line)
