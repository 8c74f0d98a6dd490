"""Detector heads beside their own projects' decoding, on networks made there with random weights.

The packages are large and of other licenses: none is a dependency, each test needs its own. Of
NanoDet there is none: its tests need a checkout of RangiLyu/nanodet in ``PYTHONPATH``.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from cnnkit import boxes
from cnnkit.bundles.card import parse_card
from cnnkit.bundles.detector_card import detector_spec
from cnnkit.bundles.head_profiles import HeadProfile, OutputInfo, class_names, recognize
from cnnkit.detection.candidates import Candidates
from cnnkit.detection.decoders import make_decoder
from tests.detection.small import card_content

pytestmark = pytest.mark.peer
HEIGHT, WIDTH = 128, 160


class Theirs(NamedTuple):
    """What a project finds: boxes in pixels of the input (n, 4), scores (n,), classes (n,)."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


def image_tensor(torch: Any, height: int = HEIGHT, width: int = WIDTH) -> Any:
    return torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(5))


def infos(outputs: dict[str, np.ndarray]) -> list[OutputInfo]:
    return [OutputInfo(name, x.shape, str(x.dtype)) for name, x in outputs.items()]


def decode(
    profile: HeadProfile,
    outputs: dict[str, np.ndarray],
    least: float,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    classes: int | None = None,
) -> Candidates:
    """Return what cnnkit finds in one image, with its own suppression at the profile's IoU."""
    classes = classes or profile.classes
    content = card_content() | {"classes": classes, "detector": profile.section()}
    content["input"] |= {"height": size[0], "width": size[1]}
    card = parse_card(content)
    spec = detector_spec(card)
    decoder = make_decoder(spec, card)
    own = {name: x[0].astype(np.float32) for name, x in outputs.items()}
    found = decoder.decode(own, np.full(classes, least))
    if not decoder.end_to_end:
        kept = boxes.nms(found.boxes, found.scores, spec.iou, found.classes)
        found = Candidates(*(values[kept] for values in found))
    return found


def check(mine: Candidates, theirs: Theirs, side: float = WIDTH, least: int = 5) -> None:
    """Compare two lists of detections, whatever their order."""
    assert len(mine.scores) == len(theirs.scores) >= least
    first, second = (
        np.concatenate([x[0] / (2e-4 * side), x[1][:, None] / 1e-4, 1e6 * x[2][:, None]], axis=1)
        for x in (mine, theirs)
    )
    same = np.abs(first[:, None] - second).max(axis=2) <= 1
    assert same.any(axis=0).all()
    assert same.any(axis=1).all()


def score_at(scores: np.ndarray, rank: int) -> float:
    """Return a threshold between two scores that so many reach."""
    best = np.sort(scores.ravel())[::-1]
    return float(best[rank - 1] + best[rank]) / 2


# --- Ultralytics -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ultralytics() -> Any:
    pytest.importorskip("onnxruntime")
    return pytest.importorskip("ultralytics")


@pytest.fixture
def exported(ultralytics: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def export(name: str, classes: int = 80, **options: Any) -> tuple[Any, Any, dict[str, str]]:
        """Return a random network, its ONNX file's session, and the metadata there."""
        import onnxruntime
        import torch

        torch.manual_seed(3)
        model = ultralytics.YOLO(name) if "rtdetr" not in name else ultralytics.RTDETR(name)
        if classes != 80:
            network = type(model.model)(model.model.yaml, nc=classes, verbose=False)
            network.args, network.task = model.model.args, model.task
            model.model = network
        model.model.names = {i: f"it's {i}" for i in range(classes)}
        lively(torch, model.model)
        path = model.export(format="onnx", imgsz=(HEIGHT, WIDTH), simplify=False, **options)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return model, session, session.get_modelmeta().custom_metadata_map

    return export


def lively(torch: Any, network: Any) -> None:
    """Spread the scores, which are all as low as a new network's otherwise."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias, 0, 0.5)


def run(session: Any, images: Any) -> dict[str, np.ndarray]:
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {session.get_inputs()[0].name: images.numpy()})
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("yolov8n.yaml", 80),
        ("yolov8n-p2.yaml", 3),
        ("yolov5n.yaml", 3),
        ("yolov9t.yaml", 80),
        ("yolo11n.yaml", 2),
        ("yolo12n.yaml", 80),
        ("yolov3-tiny.yaml", 1),
    ],
)
def test_yolov8_and_relatives(exported: Any, name: str, classes: int) -> None:
    import torch
    from ultralytics.utils.nms import non_max_suppression

    _, session, metadata = exported(name, classes)
    outputs = run(session, image_tensor(torch))
    profile = recognize(infos(outputs), metadata, (HEIGHT, WIDTH))
    assert (profile.settings["profile"], profile.classes) == ("yolov8", classes)
    assert class_names(metadata) == tuple(ast.literal_eval(metadata["names"]).values())
    raw = next(iter(outputs.values()))
    least = score_at(raw[0, 4:], 60)
    found = non_max_suppression(
        torch.from_numpy(raw), least, profile.settings["iou"], multi_label=True, max_det=1000
    )[0].numpy()
    mine = decode(profile, outputs, least)
    check(mine, Theirs(found[:, :4], found[:, 4], found[:, 5]))


@pytest.mark.parametrize("name", ["yolov10n.yaml", "yolo26n.yaml"])
def test_yolov10_and_yolo26(exported: Any, name: str) -> None:
    import torch

    model, session, metadata = exported(name, nms=False)  # their own choice of objects
    images = image_tensor(torch)
    outputs = run(session, images)
    profile = recognize(infos(outputs), metadata, (HEIGHT, WIDTH))
    assert (profile.settings["profile"], profile.classes) == ("end-to-end", 80)
    model.model.end2end = True
    with torch.no_grad():
        found = model.model.eval()(images)[0][0].numpy()
    least = score_at(found[:, 4], 50)
    found = found[found[:, 4] >= least]
    check(decode(profile, outputs, least), Theirs(found[:, :4], found[:, 4], found[:, 5]))


def test_yolov8_with_suppression(exported: Any) -> None:
    import torch
    from ultralytics.utils.nms import non_max_suppression

    model, session, metadata = exported("yolov8n.yaml", 3, nms=True, conf=0.002, iou=0.95)
    images = image_tensor(torch)
    outputs = run(session, images)
    profile = recognize(infos(outputs), metadata, (HEIGHT, WIDTH))
    assert (profile.settings["profile"], profile.classes) == ("end-to-end", 3)
    with torch.no_grad():
        raw = model.model.eval()(images)
    found = non_max_suppression(raw, 0.002, 0.95)[0].numpy()
    check(decode(profile, outputs, 0.002), Theirs(found[:, :4], found[:, 4], found[:, 5]))


def test_rt_detr_of_ultralytics(exported: Any) -> None:
    import torch

    model, session, metadata = exported("rtdetr-resnet50.yaml", 7)
    images = image_tensor(torch)
    outputs = run(session, images)
    profile = recognize(infos(outputs), metadata, (HEIGHT, WIDTH))
    assert (profile.settings["profile"], profile.classes) == ("rt-detr", 7)
    from ultralytics.models.rtdetr import RTDETRPredictor

    raw = torch.from_numpy(next(iter(outputs.values())))
    least = score_at(raw[0, :, 4].numpy(), 40)
    predictor = RTDETRPredictor(overrides={"conf": least})
    predictor.model, predictor.batch = model, [["image"]]
    frames = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)]
    found = predictor.postprocess(raw, images, frames)[0].boxes.data.numpy()
    check(decode(profile, outputs, least), Theirs(found[:, :4], found[:, 4], found[:, 5]))


# --- YOLOv5 and YOLOX --------------------------------------------------------------------


@pytest.mark.parametrize(("name", "classes"), [("yolov5n", 80), ("yolov5n6", 3)])
def test_yolov5(name: str, classes: int) -> None:
    torch = pytest.importorskip("torch")
    yolov5 = pytest.importorskip("yolov5")
    from yolov5.models.yolo import DetectionModel
    from yolov5.utils.general import non_max_suppression

    torch.manual_seed(3)
    folder = Path(yolov5.__file__).parent / "models"
    path = next(path for path in folder.rglob(f"{name}.yaml"))
    network = DetectionModel(str(path), nc=classes).eval()
    lively(torch, network)
    with torch.no_grad():
        raw = network(image_tensor(torch, 128, 192))[0]
    outputs = {"output0": raw.numpy()}
    metadata = {"names": str({i: str(i) for i in range(classes)}), "stride": "32"}
    profile = recognize(infos(outputs), metadata, (128, 192))
    assert (profile.settings["profile"], profile.classes) == ("yolov5", classes)
    least = score_at((raw[0, :, 4:5] * raw[0, :, 5:]).numpy(), 60)
    found = non_max_suppression(raw, least, 0.45, multi_label=True, max_det=1000)[0].numpy()
    mine = decode(profile, outputs, least, (128, 192))
    check(mine, Theirs(found[:, :4], found[:, 4], found[:, 5]))


@pytest.mark.parametrize("decoded", [False, True])
@pytest.mark.parametrize("classes", [80, 2])
def test_yolox(decoded: bool, classes: int) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("yolox")
    from yolox.models import YOLOPAFPN, YOLOX, YOLOXHead
    from yolox.utils import demo_postprocess, multiclass_nms

    torch.manual_seed(3)
    network = YOLOX(YOLOPAFPN(0.33, 0.25), YOLOXHead(classes, 0.25)).eval()
    lively(torch, network)
    network.head.decode_in_inference = decoded
    with torch.no_grad():
        raw = network(255 * image_tensor(torch)).numpy()
    outputs = {"output": raw}
    profile = recognize(infos(outputs), {"classes": str(classes)}, (HEIGHT, WIDTH))
    assert (profile.settings["profile"], profile.classes) == ("yolox", classes)
    rows = (raw if decoded else demo_postprocess(raw.copy(), (HEIGHT, WIDTH)))[0]
    scores = rows[:, 4:5] * rows[:, 5:]
    least = score_at(scores, 60)
    half = rows[:, 2:4] / 2
    corners = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1)
    found = multiclass_nms(corners, scores, 0.45, least, class_agnostic=False)
    mine = decode(profile, outputs, least)
    check(mine, Theirs(found[:, :4], found[:, 4], found[:, 5]))


# --- transformers ------------------------------------------------------------------------

TINY = {
    "d_model": 32,
    "encoder_hidden_dim": 32,
    "encoder_in_channels": [16, 24, 32],
    "decoder_in_channels": [32, 32, 32],
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_queries": 300,
    "num_denoising": 0,
    "use_pretrained_backbone": False,
}
RESNET = {
    "embedding_size": 8,
    "hidden_sizes": [8, 16, 24, 32],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage2", "stage3", "stage4"],
}


def logits_and_boxes(torch: Any, network: Any, side: int = 256) -> tuple[Any, dict[str, Any]]:
    """Return what a network gives for an image, and its outputs as they are exported.

    All queries of a new network see the same: they are moved apart.
    """
    with torch.no_grad():
        found = network(pixel_values=image_tensor(torch, side, side))
    found.logits += torch.randn(found.logits.shape)
    found.pred_boxes = (found.pred_boxes + torch.rand(found.pred_boxes.shape)) / 2
    state = {"state": np.zeros((1, 64, 32), np.float32)}
    pair = {"logits": found.logits.numpy(), "pred_boxes": found.pred_boxes.numpy()}
    return found, pair | state


@pytest.mark.parametrize("name", ["RTDetr", "RTDetrV2", "DFine"])
@pytest.mark.parametrize("classes", [80, 5])
def test_rt_detr_and_d_fine(name: str, classes: int) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    backbone = transformers.RTDetrResNetConfig(**RESNET)
    config = getattr(transformers, f"{name}Config")
    config = config(backbone_config=backbone, num_labels=classes, **TINY)
    network = getattr(transformers, f"{name}ForObjectDetection")(config).eval()
    found, outputs = logits_and_boxes(torch, network)
    profile = recognize(infos(outputs), {"classes": str(classes)}, (256, 256))
    assert (profile.settings["profile"], profile.classes) == ("rt-detr", classes)
    scores = torch.sigmoid(found.logits).numpy()
    for least in (score_at(scores, 60), 0.0):
        processor = transformers.RTDetrImageProcessor()
        result = processor.post_process_object_detection(found, least, [(256, 256)])[0]
        theirs = Theirs(*(result[key].numpy() for key in ("boxes", "scores", "labels")))
        check(decode(profile, outputs, least, (256, 256)), theirs, 256)


def test_detr() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 100}
    sizes |= {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_labels": 5}
    backbone = transformers.ResNetConfig(**RESNET | {"out_features": ["stage4"]})
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        backbone=None,
        backbone_config=backbone,
        use_pretrained_backbone=False,
        **sizes,
    )
    network = transformers.DetrForObjectDetection(config).eval()
    found, outputs = logits_and_boxes(torch, network)
    profile = recognize(infos(outputs), {}, (256, 256))
    assert (profile.settings["profile"], profile.classes) == ("detr", 5)
    least = score_at(found.logits.softmax(-1)[..., :-1].max(-1)[0].numpy(), 40)
    processor = transformers.DetrImageProcessor()
    result = processor.post_process_object_detection(found, least, [(256, 256)])[0]
    theirs = Theirs(*(result[key].numpy() for key in ("boxes", "scores", "labels")))
    check(decode(profile, outputs, least, (256, 256)), theirs, 256)


# --- RF-DETR -----------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [3, 90])
def test_rf_detr(classes: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    rfdetr = pytest.importorskip("rfdetr")
    onnxruntime = pytest.importorskip("onnxruntime")
    from rfdetr.export._runtime.decode import decode_detections

    torch.manual_seed(3)
    settings = {"pretrain_weights": None, "resolution": 128, "device": "cpu"}
    model = rfdetr.RFDETRNano(num_classes=classes, **settings)
    path = model.export(output_dir=str(tmp_path), verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = run(session, image_tensor(torch, 128, 128))
    random = np.random.default_rng(5)  # a new network's queries see the same
    outputs["labels"] += random.normal(size=outputs["labels"].shape).astype(np.float32)
    outputs["dets"] = (outputs["dets"] + random.random(outputs["dets"].shape)) / 2
    metadata = session.get_modelmeta().custom_metadata_map
    profile = recognize(infos(outputs), metadata, (128, 128))
    # 91 scores are those of the published networks: COCO's numbers, none for the background.
    known = 91 if classes == 90 else classes
    assert (profile.settings["profile"], profile.classes) == ("rf-detr", known)
    scores = 1 / (1 + np.exp(-outputs["labels"][0, :, :known]))
    for least in (score_at(scores, 60), 0.0):
        background = None if known == 91 else -1
        found = decode_detections(
            outputs["dets"][0], outputs["labels"][0], (128, 128), least, None, background
        )
        theirs = Theirs(found.xyxy, found.confidence, found.class_id)
        mine = decode(profile, outputs, least, (128, 128))
        check(mine._replace(boxes=np.clip(mine.boxes, 0, 128)), theirs, 128)


# --- NanoDet -----------------------------------------------------------------------------

NANODET_HEADS = {
    "nanodet": ("NanoDetHead", 7, (8, 16, 32), {"octave_base_scale": 5}),
    "nanodet-g": ("NanoDetHead", 10, (8, 16, 32), {"octave_base_scale": 8, "conv_type": "Conv"}),
    "nanodet-plus": ("NanoDetPlusHead", 7, (8, 16, 32, 64), {}),
}


@pytest.mark.parametrize("name", NANODET_HEADS)
@pytest.mark.parametrize("classes", [80, 3])
@pytest.mark.parametrize("size", [(320, 320), (100, 208)])
def test_nanodet(name: str, classes: int, size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("nanodet")
    from nanodet.model.head import build_head
    from nanodet.util.yacs import CfgNode

    torch.manual_seed(3)
    kind, last_bin, strides, more = NANODET_HEADS[name]
    weights = {"loss_qfl": {"use_sigmoid": True, "beta": 2.0, "loss_weight": 1.0}}
    weights |= {loss: {"loss_weight": 1.0} for loss in ("loss_dfl", "loss_bbox")}
    sizes = {"num_classes": classes, "input_channel": 16, "feat_channels": 16, "stacked_convs": 1}
    sizes |= {"reg_max": last_bin, "strides": list(strides), "name": kind}
    head = build_head(CfgNode(sizes | more | {"loss": weights})).eval()
    for convolution in (m for m in head.modules() if isinstance(m, torch.nn.Conv2d)):
        torch.nn.init.normal_(convolution.weight, std=0.3)
        if convolution.bias is not None:
            torch.nn.init.zeros_(convolution.bias)
    levels = [torch.randn(1, 16, -(-size[0] // n), -(-size[1] // n)) for n in strides]
    with torch.no_grad():
        exported, raw = head._forward_onnx(levels).numpy(), head(levels)
    logits = raw.numpy().copy()
    profile = recognize(infos({"output": exported}), {"classes": str(classes)}, size)
    assert (profile.settings["profile"], profile.classes) == (name, classes)
    # They keep at most 100 of scores above 0.05.
    least = max(score_at(exported[0, :, :classes], 60), 0.05)
    meta = {"img": torch.zeros((1, 3, *size))}
    with torch.no_grad():
        raw[..., :classes][raw[..., :classes].sigmoid() < least] = -20
        boxes, labels = head.get_bboxes(*raw.split([classes, 4 * last_bin + 4], -1), meta)[0]
    assert 5 <= len(labels) < 100
    theirs = Theirs(boxes[:, :4].numpy(), boxes[:, 4].numpy(), labels.numpy())
    for values in (exported, logits):
        check(decode(profile, {"output": values}, least, size), theirs, max(size))
