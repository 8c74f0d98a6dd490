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


def test_the_filter_is_not_flipped(said: Said) -> None:
    """Cross-correlation: light to the left of dark gives +30; the flipped filter gives -30."""
    image = "; ".join(["10 10 10 0 0 0"] * 3)
    assert numbers(said("convolve", "--matrix", image, "--kernel", "vertical")) == [[0, 30, 30, 0]]
    flipped = said("convolve", "--matrix", image, "--kernel", "vertical", "--flip")
    assert numbers(flipped) == [[0, -30, -30, 0]]


def test_the_horizontal_filter_is_light_over_dark(said: Said) -> None:
    image = "10 10 10; 10 10 10; 10 10 10; 0 0 0; 0 0 0; 0 0 0"
    found = numbers(said("convolve", "--matrix", image, "--kernel", "horizontal"))
    assert found == [[0], [30], [30], [0]]


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
    from cnnkit.lab.arithmetic import same_padding

    for size in (1, 3, 5, 7, 11):
        assert same_padding(100, size) == ((size - 1) // 2, (size - 1) // 2)


def test_two_filters_over_a_volume_give_4x4x2(said: Said) -> None:
    assert "1. conv 2 3x3 -> 4x4x2" in said("shapes", "--input", "6x6x3", "conv 2 3x3")


def test_a_filter_has_the_channels_of_its_input(said: Said) -> None:
    """One filter over three channels gives one; a filter of two channels fits no image of 3."""
    volume = " | ".join(["10 10 10 0 0 0; " * 6] * 3)
    found = numbers(said("convolve", "--matrix", volume, "--kernel", "vertical"))
    assert found == [[0, 90, 90, 0]] * 4  # 30 from each channel
    assert "(3*3*192 + 1)*1 = 1,729" in said("shapes", "--input", "28x28x192", "conv 1 3x3")
    from cnnkit.errors import UsageError
    from cnnkit.lab.arithmetic import Window
    from cnnkit.lab.convolution import slide

    with pytest.raises(UsageError, match="1 channel or the image's 3"):
        slide(np.zeros((6, 6, 3)), np.zeros((3, 3, 2)), Window((3, 3)), "volume")


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


def test_connections_are_sparse(said: Said) -> None:
    """Each of the 28x28x6 numbers depends on 5x5x3 of the 32x32x3."""
    text = said("shapes", "--input", "32x32x3", "conv 6 5x5")
    assert "field       5x5 of the image, in steps of 1" in text
    assert "28*28*6 * 5*5*3 = 352,800" in text


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
    """About 60 thousand, 60 million, 138 million; tests/lab/networks holds it to the builders."""
    line = next(line for line in said("network", "--list").splitlines() if line.split()[0] == name)
    assert line.split()[2] == parameters


def test_vgg_pools_after_each_block(said: Said) -> None:
    """One write-up lets it pool after each convolution."""
    lines = said("network", "vgg-16").splitlines()
    kinds = [line.split()[1] for line in lines[3:] if line.split()[1:2]]
    assert kinds[:6] == ["Conv2D", "Conv2D", "MaxPooling2D", "Conv2D", "Conv2D", "MaxPooling2D"]
    assert kinds.count("MaxPooling2D") == 5 and kinds.count("Conv2D") == 13


def test_a_residual_block_of_zero_weights_is_the_identity() -> None:
    """a[l+2] = g(z[l+2] + a[l]) is a[l] where the weights are 0: g leaves what g gave."""
    import keras

    from cnnkit.architectures import resnet

    image = keras.Input((6, 6, 64))
    block = resnet.block(image, 64, 1, "block", resnet.VARIANTS["resnet_18"], "3x3")
    model = keras.Model(image, block)
    activations = np.random.default_rng(5).uniform(0, 9, (1, 6, 6, 64)).astype(np.float32)
    assert np.abs(np.asarray(model(activations)) - activations).max() > 0.1  # not of any weights
    for variable in model.weights:
        if not variable.path.endswith("moving_variance"):
            variable.assign(np.zeros(variable.shape))
    np.testing.assert_array_equal(model(activations), activations)


def test_a_residual_network_is_its_plain_twin_with_skips(said: Said) -> None:
    """Whose training error rises with depth, and whose does not, is shown by a training: see
    test_plain_gets_worse_with_depth_and_residual_does_not in tests/lab/experiment."""
    rows = {
        name: [line.split()[1:2] for line in said("network", name).splitlines()]
        for name in ("resnet-18", "plain-18")
    }
    assert rows["resnet-18"].count(["Add"]) == 8 and rows["plain-18"].count(["Add"]) == 0
    convolutions = [rows[name].count(["Conv2D"]) for name in ("resnet-18", "plain-18")]
    assert convolutions == [20, 17]  # three projections where the shape changes


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


def test_googlenet_is_nine_inception_blocks(said: Said) -> None:
    kinds = [line.split()[1:2] for line in said("network", "googlenet").splitlines()]
    assert kinds.count(["Concatenate"]) == 9


def test_augmentation_mirrors_crops_rotates_shears_and_shifts_colors() -> None:
    from cnnkit.data.recipes import read_recipe

    steps = read_recipe("strong").to_dict(64, 64)["transforms"]
    found = {step["__class_fullname__"].rpartition(".")[2]: step for step in steps}
    assert {"HorizontalFlip", "RandomResizedCrop", "Affine", "RGBShift"} <= set(found)
    assert "PCAColorShift" in found  # AlexNet's form
    assert found["Affine"]["rotate"] == (-20, 20) and found["Affine"]["shear"]["x"] == (-12, 12)


# --- 3. detection -------------------------------------------------------------------------


def layer_outputs(text: str) -> dict[str, str]:
    """Return the output sizes of the layers that ``cnnkit network`` shows."""
    cells = [line.split() for line in text.splitlines()]
    return {line[0]: line[2] for line in cells if len(line) > 3}


def test_classification_with_localization_gives_classes_and_a_box(said: Said) -> None:
    """Beside the classes come four numbers: b_x, b_y, b_h, b_w."""
    outputs = layer_outputs(said("network", "localizer-lite0", "--classes", "3"))
    assert (outputs["head_classes"], outputs["head_box"]) == ("3", "4")


def test_landmarks_are_two_numbers_a_point(said: Said) -> None:
    """MTCNN's five points of a face are l1x, l1y, ..., l5x, l5y: 10 outputs."""
    from cnnkit.architectures.mtcnn import LANDMARKS

    outputs = layer_outputs(said("network", "mtcnn-output"))
    assert outputs["landmark_regressor"] == str(2 * LANDMARKS) == "10"


@pytest.mark.parametrize(("side", "windows"), [(14, 1), (16, 2), (28, 8)])
def test_windows_slide_as_a_convolution(said: Said, side: int, windows: int) -> None:
    """The dense layer of 400 is a 5x5 convolution: 2x2 windows of 14 in 16, 8x8 in 28."""
    chain = ["conv 16 5x5", "max 2x2", "conv 400 5x5", "conv 400 1x1", "conv 4 1x1"]
    text = said("shapes", "--input", f"{side}x{side}x3", *chain)
    assert f"5. conv 4 1x1 -> {windows}x{windows}x4" in text
    assert "field       14x14 of the image, in steps of 2" in text


def test_yolo_predicts_anchors_in_a_grid(said: Said) -> None:
    """Each cell has, for each of 3 anchors, p_c, four numbers of a box, and 80 classes."""
    outputs = layer_outputs(said("network", "yolov3-tiny"))
    assert outputs["head32"] == f"13x13x{3 * (1 + 4 + 80)}" == "13x13x255"


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
    from cnnkit.lab.networks.catalog import CATALOG

    assert CATALOG["face-resnet-v1"].output == "128 numbers of a face"
    last = said("network", "dlib-face").splitlines()
    assert any(re.search(r"\bDense\b.* 128 ", line) for line in last)


def test_the_distance_of_faces_is_a_squared_length() -> None:
    """d = |f(x1) - f(x2)|^2 of every two of a batch: 3^2 + 4^2 = 25."""
    from cnnkit.losses.triplets import squared_distances

    found = np.asarray(squared_distances(np.array([[1, 1], [4, 5], [1, 2]], np.float32)))
    np.testing.assert_allclose(found, [[0, 25, 1], [25, 0, 18], [1, 18, 0]], atol=1e-5)


@pytest.mark.parametrize(("distance", "same"), [(0.59, True), (0.61, False)])
def test_two_faces_are_one_persons_below_the_threshold(distance: float, same: bool) -> None:
    from cnnkit.results import FaceMatch

    assert FaceMatch(distance, 0.6, 0.5, (), ()).same is same


def test_the_logistic_unit_on_absolute_differences() -> None:
    """y = sigmoid(sum_i w_i |f(a)_i - f(b)_i| + b): one number a part, and no weight over 0."""
    from cnnkit.faces.training.head import Differences, head_loss

    one, other = np.array([0.3, 0.9, 0.1]), np.array([0.1, 0.4, 0.1])
    weights, bias = np.array([2.0, 1.0, 5.0]), 1.0
    apart = np.abs(one - other)  # 0.2, 0.5, 0
    probability = 1 / (1 + np.exp(-(bias - weights @ apart)))
    assert probability == pytest.approx(1 / (1 + np.exp(-0.1)))
    loss = head_loss(Differences(apart[None], apart[None]), weights, bias)
    assert loss == pytest.approx(-(np.log(probability) + np.log(1 - probability)) / 2)


def test_the_logistic_unit_learns_with_the_network() -> None:
    """Its weights may be part of f: then the logit is midpoint - sum |f(a) - f(b)|."""
    from cnnkit.losses.triplets import pair_logistic

    embeddings = np.array([[0, 0], [1, 0.5], [3, 1]], np.float32)
    chances = [1 / (1 + np.exp(-(2 - apart))) for apart in (1.5, 4, 2.5)]  # one pair of the same
    others = np.mean([np.log(1 - chances[1]), np.log(1 - chances[2])])
    found = float(pair_logistic(np.array([0, 0, 1]), embeddings, 2.0))
    assert found == pytest.approx(-(np.log(chances[0]) + others) / 2, rel=1e-5)


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


GENERATED, TARGET = "1 2; 3 0 | 0 1; 1 1", "1 0; 3 0 | 2 1; 1 1"


def test_the_content_cost(said: Said) -> None:
    """1/2 |a(C) - a(G)|^2: two numbers of eight differ by 2."""
    text = said("convolve", "--matrix", GENERATED, "--against", TARGET)
    assert "content cost: 1/2 * 8 = 4\n" in text


def test_the_style_matrix(said: Said) -> None:
    """G_kk' = sum_ij a_ijk a_ijk': 1 + 4 + 9, 0 + 2 + 3 + 0, 0 + 1 + 1 + 1."""
    text = said("convolve", "--matrix", GENERATED, "--against", TARGET)
    assert "style matrix of --matrix:\n14  5\n 5  3\n" in text
    assert "style matrix of --against:\n10  5\n 5  7\n" in text


def test_the_style_cost_has_a_square(said: Said) -> None:
    """1 / (2 n_H n_W n_C)^2 * (4^2 + 0 + 0 + 4^2); one write-up loses the square: 0 here."""
    text = said("convolve", "--matrix", GENERATED, "--against", TARGET)
    assert "style cost: 1/(2*2*2*2)^2 * 32 = 0.125\n" in text


def test_the_costs_that_paint_are_the_courses_times_a_factor() -> None:
    from cnnkit.lab.convolution.costs import content_cost, style_cost
    from cnnkit.losses import style as losses

    random = np.random.default_rng(7)
    generated, target = random.normal(size=(2, 1, 4, 5, 3)).astype(np.float32)
    content = losses.content_loss(generated, target) * losses.content_scale(target) * 4 * 5 * 3 / 2
    assert content_cost(generated[0], target[0]) == pytest.approx(float(content[0]), rel=1e-4)
    gram = losses.gram_matrix(target)
    relative = losses.style_loss(losses.gram_matrix(generated), gram) * losses.style_scale(gram)
    found = style_cost(generated[0], target[0])
    assert found == pytest.approx(float(relative[0]) / (4 * 3**2), rel=1e-4)


def test_the_image_follows_its_gradient_by_a_rate() -> None:
    """G = G - rate * dJ/dG; one write-up loses the rate. Adam divides by the gradient's size."""
    from cnnkit.style.optimization import adam_step
    from cnnkit.style.state import OptimizationState

    state = OptimizationState.starting_from(np.full((1, 3, 3), 100, np.float32))
    gradient = np.array([2.0, -0.5, 0.0], np.float32)[None, :, None] * np.ones((1, 3, 3))
    adam_step(state, gradient.astype(np.float32), rate=5.0)
    np.testing.assert_allclose(state.pixels[0, :, 0], [95, 105, 100], atol=1e-3)


def test_a_unit_has_its_nine_patches(said: Said, tmp_path) -> None:
    from PIL import Image

    from tests.explanation.small import saved, some_images

    (tmp_path / "photos").mkdir()
    for number, image in enumerate(some_images(12)):
        Image.fromarray(image).save(tmp_path / "photos" / f"{number:02d}.png")
    model, table = str(saved(tmp_path, "pooled")), tmp_path / "patches.csv"
    options = ["--layer", "first", "--units", "0", "--runtime", "tensorflow", "-o", str(table)]
    said("visualize", "patches", str(tmp_path / "photos"), "--model", model, *options)
    header, *rows = table.read_text().splitlines()
    assert header.startswith("layer,unit,rank,activation,path")
    cells = [row.split(",") for row in rows]
    assert [cell[2] for cell in cells] == list("123456789")
    strengths = [float(cell[3]) for cell in cells]
    assert strengths == sorted(strengths, reverse=True)


# --- the page -----------------------------------------------------------------------------


def shown_outputs() -> list[tuple[list[str], list[str]]]:
    """Return the commands of each block of the page with the lines that the page shows below."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n((?:cnnkit.*\n)+)```\n\n((?:    .*\n)*)", text, re.MULTILINE)
    return [(block.splitlines(), shown.splitlines()) for block, shown in blocks if shown]


def test_the_python_of_the_page_runs(capsys) -> None:
    text = PAGE.read_text(encoding="utf-8")
    boxes, faces = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    exec(boxes, {})
    first, second = capsys.readouterr().out.splitlines()
    assert "0.142857" in first and second == "[1 2]"
    exec(faces, {})
    distances, triplet, logistic = capsys.readouterr().out.splitlines()
    assert distances == "1.0 4.0" and triplet == "0.2" and logistic == "0.4059"


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
