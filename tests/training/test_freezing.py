from __future__ import annotations

import keras
import pytest
from keras import layers

from cnnkit.architectures import builder
from cnnkit.errors import UsageError
from cnnkit.training import TrainingPlan, stage_names
from cnnkit.training.freezing import unfrozen
from tests.training.small import small_network


def learning(model: keras.Model) -> list[str]:
    return [x.name for x in model.layers if x.trainable and x.weights]


def network_of(*names: str) -> keras.Model:
    x = image = keras.Input((4, 4, 2))
    for name in names:
        x = layers.DepthwiseConv2D(1, name=name)(x)
    return keras.Model(image, x, name="named")


NAMES = [
    (("block1_conv1", "block1_conv2", "block2_conv1"), ["block1", "block2"]),  # VGG
    (("Conv1", "expanded_conv_depthwise", "block_1_expand", "block_12_expand"), None),
    (("stem_conv", "block1a_expand_conv", "block1b_expand_conv", "block2a_bn", "top_conv"), None),
    (("conv1_conv", "conv2_block1_1_conv", "conv2_block2_1_conv", "conv3_block1_1_conv"), None),
    (("fire2_squeeze1x1", "fire2_expand3x3", "fire3_squeeze1x1"), ["fire2", "fire3"]),
]
EXPECTED = {
    1: ["Conv1", "block_1", "block_12"],
    2: ["block1", "block2"],
    3: ["conv1", "conv2", "conv3"],
}


@pytest.mark.parametrize("case", range(len(NAMES)))
def test_stages_are_told_apart_by_their_names(case: int) -> None:
    names, expected = NAMES[case]
    assert stage_names(network_of(*names)) == (expected or EXPECTED[case])


def test_names_that_keras_numbers_make_no_stage() -> None:
    assert stage_names(network_of("conv2d", "conv2d_1", "batch_normalization_4")) == []


def test_the_stages_of_efficientnet() -> None:
    model = builder("efficientnet-lite0")(input_shape=(32, 32, 3), classes=2)
    assert stage_names(model) == [f"stage{n}" for n in range(1, 8)]
    with unfrozen(model, TrainingPlan(1, stages=2)):
        names = learning(model)
    first = names.index("stage6_block1_expand_conv")
    assert first == 0 and names[-2:] == ["head_conv", "classifier"]
    assert {"stage6_block4_project_conv", "stage7_block1_filter_depthwise"} <= set(names)
    assert not [name for name in names if name.endswith("_bn")]


ALL = ["stem_conv", "stage1_block1_conv", "stage2_block1_conv", "head_conv", "classifier"]


@pytest.mark.parametrize(
    ("stages", "expected"), [(None, ALL), (2, ALL[1:]), (1, ALL[2:]), (0, ALL[4:])]
)
def test_whole_stages_and_all_behind_them_learn(stages: int | None, expected: list) -> None:
    model = small_network()
    with unfrozen(model, TrainingPlan(1, stages=stages)):
        assert learning(model) == expected
    with unfrozen(model, TrainingPlan(1, stages=stages, train_bn=True)):
        assert [n for n in learning(model) if not n.endswith("_bn")] == expected


def test_the_flags_come_back() -> None:
    model = small_network()
    model.get_layer("stage1_block1_conv").trainable = False
    before = [layer.trainable for layer in model.layers]
    with pytest.raises(KeyError), unfrozen(model, TrainingPlan(1, stages=1)):
        raise KeyError
    assert [layer.trainable for layer in model.layers] == before


def test_inner_models_are_looked_into() -> None:
    inner = network_of("block1_conv", "block2_conv")
    inner.trainable = False
    image = keras.Input((4, 4, 2))
    outer = keras.Model(image, layers.Dense(2, name="classifier")(inner(image)))
    with unfrozen(outer, TrainingPlan(1, stages=1)):
        paths = [variable.path for variable in outer.trainable_variables]
    assert paths == [
        "block2_conv/kernel",
        "block2_conv/bias",
        "classifier/kernel",
        "classifier/bias",
    ]
    assert not inner.trainable and not outer.layers[1].layers[1].trainable


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stages": 3}, "`stages` must be at most the 2 stages of small. Received: 3."),
        ({"head_layers": ("clasifier",)}, "Did you mean 'classifier'?"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(changes: dict, told: str) -> None:
    with (
        pytest.raises(UsageError) as refused,
        unfrozen(small_network(), TrainingPlan(1, **changes)),
    ):
        pass
    assert told in str(refused.value)
