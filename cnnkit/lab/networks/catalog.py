"""What every builder makes, as a table that is read without any framework.

The counts are those of the builder with its default input and classes; a test holds each line to
the network itself. Parameters are those that training moves: no moving averages, no fixed codes.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class CatalogEntry(NamedTuple):
    """One network.

    Attributes:
        title: Its name, as people write it, and the year.
        variant: Which form of it is counted.
        input: Height, width and channels.
        output: What it gives: the classes, or in words.
        parameters: Trained ones.
        multiplies: Multiplications by weights, for one image.
    """

    title: str
    variant: str
    input: tuple[int, int, int]
    output: int | str
    parameters: int
    multiplies: int

    def to_dict(self) -> dict[str, Any]:
        """Return the entry for JSON."""
        return self._asdict() | {"input": list(self.input)}


PHOTO, DIGIT, SMALL = (224, 224, 3), (32, 32, 1), (32, 32, 3)
TORCHVISION = "as torchvision has it: stride in the 3x3, no biases before a normalization"
BASIC = "two 3x3 in a block, projections where the shape changes"
NO_SKIPS = "the ResNet's layers without skips and projections"
LITE = "no squeeze-excite, ReLU6"

CATALOG: dict[str, CatalogEntry] = {
    "alexnet": CatalogEntry(
        "AlexNet (2012)",
        "two groups, the published form",
        (227, 227, 3),
        1000,
        60_965_224,
        724_406_816,
    ),
    "alexnet-one-weird-trick": CatalogEntry(
        "AlexNet (2014)",
        "one column, fewer filters, as torchvision has it",
        PHOTO,
        1000,
        61_100_840,
        714_188_480,
    ),
    "alexnet-ungrouped": CatalogEntry(
        "AlexNet (2012)",
        "every filter sees all channels",
        (227, 227, 3),
        1000,
        62_378_344,
        1_135_256_096,
    ),
    "efficientnet-lite0": CatalogEntry(
        "EfficientNet-Lite0 (2020)", LITE, PHOTO, 1000, 4_652_008, 385_187_552
    ),
    "efficientnet-lite1": CatalogEntry(
        "EfficientNet-Lite1 (2020)", LITE, (240, 240, 3), 1000, 5_416_680, 600_185_232
    ),
    "efficientnet-lite2": CatalogEntry(
        "EfficientNet-Lite2 (2020)", LITE, (260, 260, 3), 1000, 6_092_072, 859_736_272
    ),
    "efficientnet-lite3": CatalogEntry(
        "EfficientNet-Lite3 (2020)", LITE, (280, 280, 3), 1000, 8_197_096, 1_383_321_872
    ),
    "efficientnet-lite4": CatalogEntry(
        "EfficientNet-Lite4 (2020)", LITE, (300, 300, 3), 1000, 13_006_568, 2_553_034_336
    ),
    "embedding-small": CatalogEntry(
        "Face embedding", "the small network of train-face", (64, 64, 3), 128, 421_664, 60_194_816
    ),
    "face-resnet-v1": CatalogEntry(
        "dlib's face network (2017)",
        "ResNet of 29 convolutions, 128 numbers a face",
        (150, 150, 3),
        "128 numbers of a face",
        5_607_488,
        270_854_144,
    ),
    "googlenet": CatalogEntry(
        "GoogLeNet (2014)",
        "the paper's table, 5x5 branches, no auxiliary classifiers",
        PHOTO,
        1000,
        6_998_552,
        1_582_671_872,
    ),
    "lenet-5": CatalogEntry(
        "LeNet-5 (1998)",
        "today's form: max pooling, ReLU, full C3, dense top",
        DIGIT,
        10,
        61_706,
        416_520,
    ),
    "lenet-5-1998": CatalogEntry(
        "LeNet-5 (1998)",
        "the published form: partial C3, trained pooling, and 840 fixed codes",
        DIGIT,
        10,
        60_000,
        328_096,
    ),
    "localizer-lite0": CatalogEntry(
        "One object an image",
        "EfficientNet-Lite0 with a box and 10 classes",
        PHOTO,
        "a box and scores of 10 classes",
        4_197_742,
        366_550_240,
    ),
    "magenta-style-predict": CatalogEntry(
        "Magenta's style reader (2017)",
        "MobileNetV2 as distilled by its authors",
        (256, 256, 3),
        "100 numbers of a style",
        2_334_916,
        391_304_192,
    ),
    "magenta-style-transform": CatalogEntry(
        "Magenta's painter (2017)",
        "quarter width, as distilled by its authors",
        (384, 384, 3),
        "a painted image",
        177_718,
        1_847_398_168,
    ),
    "mtcnn-output": CatalogEntry(
        "MTCNN O-Net (2016)",
        "crops of 48x48, five landmarks",
        (48, 48, 3),
        "a face score, box and landmarks",
        389_040,
        12_909_952,
    ),
    "mtcnn-proposal": CatalogEntry(
        "MTCNN P-Net (2016)",
        "fully convolutional, faces of 12x12",
        (12, 12, 3),
        "a face score and box of each place",
        6_632,
        44_760,
    ),
    "mtcnn-refinement": CatalogEntry(
        "MTCNN R-Net (2016)",
        "crops of 24x24",
        (24, 24, 3),
        "a face score and box",
        100_178,
        1_530_768,
    ),
    "nanodet-g": CatalogEntry(
        "NanoDet-g (2021)",
        "COCO's 80 classes, no anchors",
        (416, 416, 3),
        "boxes of 80 classes",
        3_786_068,
        2_090_083_840,
    ),
    "plain-101": CatalogEntry("Plain-101 (2015)", NO_SKIPS, PHOTO, 1000, 41_772_584, 7_441_743_872),
    "plain-152": CatalogEntry(
        "Plain-152 (2015)", NO_SKIPS, PHOTO, 1000, 57_416_232, 11_153_965_056
    ),
    "plain-18": CatalogEntry("Plain-18 (2015)", NO_SKIPS, PHOTO, 1000, 11_515_688, 1_794_805_760),
    "plain-20": CatalogEntry("Plain-20 (2015)", NO_SKIPS, SMALL, 10, 269_722, 40_551_040),
    "plain-34": CatalogEntry("Plain-34 (2015)", NO_SKIPS, PHOTO, 1000, 21_623_848, 3_644_493_824),
    "plain-50": CatalogEntry("Plain-50 (2015)", NO_SKIPS, PHOTO, 1000, 22_780_456, 3_729_522_688),
    "plain-56": CatalogEntry("Plain-56 (2015)", NO_SKIPS, SMALL, 10, 853_018, 125_485_696),
    "resnet-101": CatalogEntry(
        "ResNet-101 (2015)", TORCHVISION, PHOTO, 1000, 44_549_160, 7_801_405_440
    ),
    "resnet-152": CatalogEntry(
        "ResNet-152 (2015)", TORCHVISION, PHOTO, 1000, 60_192_808, 11_513_626_624
    ),
    "resnet-18": CatalogEntry("ResNet-18 (2015)", BASIC, PHOTO, 1000, 11_689_512, 1_814_073_344),
    "resnet-20": CatalogEntry(
        "ResNet-20 (2015)",
        "for 32x32, shortcuts without parameters",
        SMALL,
        10,
        269_722,
        40_551_040,
    ),
    "resnet-34": CatalogEntry("ResNet-34 (2015)", BASIC, PHOTO, 1000, 21_797_672, 3_663_761_408),
    "resnet-50": CatalogEntry(
        "ResNet-50 (2015)", TORCHVISION, PHOTO, 1000, 25_557_032, 4_089_184_256
    ),
    "resnet-56": CatalogEntry(
        "ResNet-56 (2015)",
        "for 32x32, shortcuts without parameters",
        SMALL,
        10,
        853_018,
        125_485_696,
    ),
    "squeezenet-1.1": CatalogEntry(
        "SqueezeNet 1.1 (2016)",
        "version 1.1 of its authors",
        (227, 227, 3),
        1000,
        1_235_496,
        352_932_608,
    ),
    "ssd-lite0": CatalogEntry(
        "SSD-Lite (2018)",
        "EfficientNet-Lite0, separable heads, 80 classes",
        (320, 320, 3),
        "boxes of 80 classes",
        3_684_856,
        818_222_080,
    ),
    "style-transformer": CatalogEntry(
        "Style transformer (2016)",
        "the network of train-style",
        (416, 416, 3),
        "a painted image",
        423_779,
        7_342_419_968,
    ),
    "vgg-11": CatalogEntry("VGG-11 (2014)", "column A", PHOTO, 1000, 132_863_336, 7_609_090_048),
    "vgg-13": CatalogEntry("VGG-13 (2014)", "column B", PHOTO, 1000, 133_047_848, 11_308_466_176),
    "vgg-16": CatalogEntry("VGG-16 (2014)", "column D", PHOTO, 1000, 138_357_544, 15_470_264_320),
    "vgg-19": CatalogEntry("VGG-19 (2014)", "column E", PHOTO, 1000, 143_667_240, 19_632_062_464),
    "yolov3": CatalogEntry(
        "YOLOv3 (2018)",
        "COCO's 80 classes, three scales",
        (416, 416, 3),
        "boxes of 80 classes",
        61_949_149,
        32_932_037_632,
    ),
    "yolov3-tiny": CatalogEntry(
        "YOLOv3-tiny (2018)",
        "COCO's 80 classes, two scales",
        (416, 416, 3),
        "boxes of 80 classes",
        8_852_366,
        2_782_480_896,
    ),
    "yunet": CatalogEntry(
        "YuNet (2023)",
        "one look at a photo, no anchors",
        (640, 640, 3),
        "a face score, box and landmarks of each cell",
        53_104,
        344_224_000,
    ),
}
