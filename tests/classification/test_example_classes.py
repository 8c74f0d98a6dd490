"""Classes by example: what may be an example, the calibration, and the names that images get."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit.classification.example_classes import NEAREST, ExampleClasses, ExampleFiles, _rank
from cnnkit.errors import UsageError
from cnnkit.results import Classification, Failure, Prediction

MODEL = "squeezenet-1.1"


def save(folder: Path, name: str, level: int) -> None:
    """Save a small image of one gray level."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), level).save(folder / name)


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    """Two classes of small images, one of them in a nested folder."""
    save(tmp_path / "ex" / "dark", "a.png", 10)
    save(tmp_path / "ex" / "dark" / "more", "b.png", 20)
    save(tmp_path / "ex" / "light", "a.png", 250)
    return tmp_path / "ex"


def test_images_below_a_folder_are_of_its_class(colors):
    files = ExampleFiles.read(colors)
    assert files.labels == ("dark", "light")
    assert [os.path.relpath(path, colors) for path in files.paths] == [
        "dark/a.png",
        "dark/more/b.png",
        "light/a.png",
    ]
    assert files.classes.tolist() == [0, 0, 1]
    assert files.summary.startswith("3 images of 2 classes, SHA-256 ")


def test_the_digest_is_of_contents_and_classes(colors):
    before = ExampleFiles.read(colors).digest
    moved = colors.rename(colors.parent / "moved")
    (moved / "dark" / "a.png").rename(moved / "dark" / "z.png")
    assert ExampleFiles.read(moved).digest == before
    shutil.copy(moved / "dark" / "z.png", moved / "dark" / "copy.png")
    copied = ExampleFiles.read(moved)
    assert copied.digest == before and len(copied.paths) == 3  # a content counts once
    (moved / "dark").rename(moved / "black")
    renamed = ExampleFiles.read(moved).digest
    save(moved / "light", "b.png", 240)
    assert len({before, renamed, ExampleFiles.read(moved).digest}) == 3


def test_of_split_folders_those_for_training_are_taken(colors):
    shutil.copytree(colors, colors.parent / "set" / "train")
    save(colors.parent / "set" / "val" / "dark", "c.png", 30)
    assert len(ExampleFiles.read(colors.parent / "set").paths) == 3


def refused(examples: Path) -> str:
    with pytest.raises(UsageError) as caught:
        ExampleFiles.read(examples)
    message = str(caught.value)
    assert "`examples` must" in message and "\n" not in message and "`data`" not in message
    return message


def test_what_is_refused(colors, monkeypatch):
    assert "does not exist" in refused(colors / "none")
    assert "a folder for each class" in refused(colors / "light")
    assert "the image " in refused(colors / "light" / "a.png")
    (colors / "empty").mkdir()
    assert "no image of 'empty'" in refused(colors)
    (colors / "empty").rmdir()
    shutil.copy(colors / "dark" / "a.png", colors / "light" / "b.png")
    message = refused(colors)
    assert "one class only" in message and "dark/a.png and" in message and "light/b.png" in message
    (colors / "light" / "b.png").write_bytes(b"")
    assert "light/b.png: " in refused(colors)
    os.unlink(colors / "light" / "b.png")
    monkeypatch.setattr("cnnkit.classification.example_classes.MAX_EXAMPLES", 2)
    assert "at most 2 images" in refused(colors)


def made_up(vectors: np.ndarray, classes: list[int]) -> ExampleClasses:
    """Return classes whose examples have these embeddings."""
    labels = tuple(f"class {n}" for n in range(max(classes) + 1))
    paths = tuple(map(str, range(len(classes))))
    return ExampleClasses(ExampleFiles("ex", labels, paths, np.array(classes), ""), vectors)


def test_the_threshold_keeps_the_stated_share_of_new_images():
    random = np.random.default_rng(0)
    middles = random.standard_normal((5, 16))

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        classes = np.arange(count) % 5
        return middles[classes] + 0.7 * random.standard_normal((count, 16)), classes

    kept = []
    for _ in range(40):
        vectors, classes = drawn(40)
        known = made_up(vectors, classes.tolist())
        threshold = known.calibrated_threshold()
        scores = np.array([known.similarities(one).max() for one in drawn(100)[0]])
        kept.append(float((scores >= threshold).mean()))
    assert 0.88 < np.mean(kept) < 0.95


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (9, 1), (18, 1), (19, 2), (29, 3), (99, 10)])
def test_the_rank_of_the_threshold(count, rank):
    assert _rank(count) == rank


def test_one_example_of_each_class_cannot_be_calibrated():
    known = made_up(np.eye(2), [0, 1])
    with pytest.raises(UsageError, match=r"two different images of a class.*or set `threshold`"):
        known.calibrated_threshold()
    assert known.similarities(np.array([3.0, 4.0])) == pytest.approx([0.6, 0.8])


def test_a_class_may_be_the_only_one_and_opposites_have_the_score_0():
    known = made_up(np.array([[1.0, 0], [1, 1], [0, 1]]), [0, 0, 0])
    assert known.similarities(np.array([-1.0, -1])).tolist() == [0]
    assert known.calibrated_threshold() == pytest.approx(0.5**0.5 / 2)
    assert np.isnan(known.similarities(np.array([np.nan, 1]))).all()


def test_examples_without_an_embedding_are_named():
    files = ExampleFiles("ex", ("a",), ("good.png", "torn.png", "black.png"), np.zeros(3, int), "")
    features = [np.ones(2), None, np.zeros(2)]

    def embed(found):
        for item, one in zip(found, features, strict=True):
            named = Classification((Prediction(0, "x", 1.0),), "x", one)
            yield item.path, Failure("truncated", "it ends early") if one is None else named

    with pytest.raises(UsageError, match=r"torn\.png: it ends early, and 1 more\. Replace"):
        ExampleClasses.embedded(files, embed)


def test_near_copies_do_not_raise_the_threshold(photos, tmp_path, caplog):
    def threshold(examples: Path) -> float:
        return cnnkit.Classifier.by_examples(examples, MODEL).examples.calibrated_threshold()

    before = threshold(photos / "examples")
    shutil.copytree(photos / "examples", tmp_path / "burst")
    for number in range(12):
        with Image.open(photos / "examples" / "cat" / "cat-0.jpg") as image:
            image.save(tmp_path / "burst" / "cat" / f"z-{number}.jpg", quality=70 + number)
    assert threshold(tmp_path / "burst") == pytest.approx(before, abs=1e-9)
    for name in ("cat-1.jpg", "cat-3.jpg", "cat-4.jpg"):
        os.unlink(tmp_path / "burst" / "cat" / name)
    shutil.rmtree(tmp_path / "burst" / "cup")
    with pytest.raises(UsageError, match="two different images of a class"):
        threshold(tmp_path / "burst")


@pytest.fixture(scope="module")
def photos(tmp_path_factory, examples) -> Path:
    """Crops of two photos as examples, other crops of them, and a photo of something else."""
    folder = tmp_path_factory.mktemp("by_example")
    for label, name in (("cat", "cat.jpg"), ("cup", "coffee.jpg")):
        (folder / "examples" / label).mkdir(parents=True)
        with Image.open(examples / name) as image:
            for number in range(5):
                edge = 12 * number
                crop = image.crop((edge, edge // 2, image.width - edge // 3, image.height - edge))
                place = folder / "new" if number == 2 else folder / "examples" / label
                place.mkdir(exist_ok=True)
                crop.save(place / f"{label}-{number}.jpg", quality=95)
    shutil.copy(examples / "rocket.jpg", folder / "new")
    return folder


def names(rows):
    return [(os.path.basename(row["path"]), row["label"]) for row in rows]


EXPECTED = [("cat-2.jpg", "cat"), ("cup-2.jpg", "cup"), ("rocket.jpg", "unknown")]


def test_images_are_named_by_their_nearest_examples(photos, tmp_path, caplog):
    rows: list[dict] = []
    with caplog.at_level(logging.INFO, "cnnkit"):
        summary = cnnkit.classify(
            photos / "new",
            model=MODEL,
            examples=photos / "examples",
            sort_into=tmp_path / "sorted",
            report=tmp_path / "r.html",
            embeddings=tmp_path / "new.npy",
            emit=rows.append,
        )
    assert names(rows) == EXPECTED and summary.ok == 3
    assert "8 images of 2 classes: images below a similarity of 0." in caplog.text
    assert [p["label"] for p in rows[0]["predictions"]] == ["cat", "cup"]
    placed = sorted(str(p.relative_to(tmp_path / "sorted")) for p in tmp_path.rglob("sorted/*/*"))
    assert placed == ["_unknown/rocket.jpg", "cat/cat-2.jpg", "cup/cup-2.jpg"]
    assert np.load(tmp_path / "new.npy").shape == (3, 512)
    assert "8 images of 2 classes" in (tmp_path / "r.html").read_text()


def test_the_class_does_what_the_function_does(photos):
    classifier = cnnkit.Classifier.by_examples(photos / "examples", MODEL, top_k=1)
    found = list(classifier.stream(photos / "new"))
    assert [(os.path.basename(path), result.label) for path, result in found] == EXPECTED
    assert len(found[0][1].predictions) == 1
    own = classifier.predict(photos / "examples" / "cat" / "cat-0.jpg")
    vectors = classifier.examples.vectors[classifier.examples.files.classes == 0].astype(float)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert own.score == pytest.approx(np.sort(unit @ unit[0])[-NEAREST:].mean(), abs=1e-5)
    sure = cnnkit.Classifier.by_examples(photos / "examples", MODEL, threshold=1.0)
    assert sure.predict(photos / "new" / "cat-2.jpg").label == "unknown"


def test_a_run_is_resumed_with_the_same_examples_only(photos, tmp_path):
    mine = tmp_path / "examples"
    shutil.copytree(photos / "examples", mine)
    options = {"model": MODEL, "output": tmp_path / "rows.jsonl"}

    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cnnkit.classify(photos / "new", examples=mine, emit=stop, **options)
    (mine / "cup" / "cup-0.jpg").rename(tmp_path / "cup-0.jpg")
    for other in (mine, None):
        with pytest.raises(UsageError, match="examples"):
            cnnkit.classify(photos / "new", examples=other, resume=True, **options)
    (tmp_path / "cup-0.jpg").rename(mine / "cup" / "zero.jpg")
    summary = cnnkit.classify(photos / "new", examples=mine, resume=True, **options)
    assert (summary.ok, summary.resumed) == (3, 1)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").open()]
    assert names(rows) == EXPECTED


def test_examples_inside_the_inputs_are_no_inputs(photos):
    rows: list[dict] = []
    cnnkit.classify(photos, model=MODEL, examples=photos / "examples", emit=rows.append)
    assert names(rows) == EXPECTED


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"labels": "labels.txt"}, "`labels` and `examples` are mutually exclusive"),
        ({"sort_into": "examples"}, "must not be an input"),
        ({"sort_into": "examples/cat/sorted"}, "`sort_into` must lie outside `examples`"),
        ({"examples": "examples/cat"}, "`examples` must hold a folder for each class"),
    ],
)
def test_what_does_not_go_with_examples(photos, monkeypatch, keywords, said):
    monkeypatch.chdir(photos)
    with pytest.raises(UsageError) as caught:
        cnnkit.classify("new", **{"model": MODEL, "examples": "examples"} | keywords)
    assert said in str(caught.value)


@pytest.mark.slow
def test_cats_and_dogs_are_told_from_other_photos(test_data, tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "examples" / label).mkdir(parents=True)
        for path in sorted((test_data / "catdog" / label).iterdir())[:10]:
            shutil.copy(path, tmp_path / "examples" / label)
    classifier = cnnkit.Classifier.by_examples(tmp_path / "examples")
    right = [
        result.label == label
        for label in ("cat", "dog")
        for _, result in classifier.stream(sorted((test_data / "catdog" / label).iterdir())[10:60])
    ]
    others = sorted((test_data / "imagenet200" / "images").iterdir())[-80:]  # things and food
    unknown = [result.label == "unknown" for _, result in classifier.stream(others)]
    assert np.mean(right) > 0.8 and np.mean(unknown) > 0.9
