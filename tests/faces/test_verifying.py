from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cnnkit.errors import ImageError, UsageError
from cnnkit.faces import FaceEmbedder, FaceVerifier, ImageFaces, Verification, verify_listed_pairs
from cnnkit.faces.verifying import FaceChoice
from cnnkit.folder_job import Outputs
from cnnkit.formats.face_pairs import FacePair
from cnnkit.results import Face, FaceMatch, Failure

POINTS = ((1.0, 1.0), (3.0, 1.0), (2.0, 2.0), (1.0, 3.0), (3.0, 3.0))


def image(*numbers: float) -> ImageFaces:
    """Faces whose embeddings are single numbers, the first the largest."""
    faces = tuple(Face((0.0, 0.0, 90.0 - n, 90.0), 0.99, POINTS) for n in range(len(numbers)))
    return ImageFaces(100, 100, faces, np.array(numbers, np.float32).reshape(-1, 1))


class CountingEmbedder(FaceEmbedder):
    """Stands in for `FaceEmbedder`: an image's embedding is the number in its name."""

    verification = Verification(0.6, 20.0)
    detector = None
    min_face = 1
    identity = "numbers"

    class bundle:
        identity = "numbers"

    def __init__(self) -> None:
        self.read_names: Counter[str] = Counter()

    def stream(self, found, workers=None):
        for item in found:
            self.read_names[item.path] += 1
            if item.path.startswith("bad"):
                yield item.path, Failure("corrupt", "the JPEG data is broken")
            else:
                yield item.path, image(float(item.path))


def verifier(faces: str = "one", threshold: float | None = None) -> FaceVerifier:
    return FaceVerifier(CountingEmbedder(), faces, threshold)


# === One pair ===


def test_a_match_by_hand() -> None:
    match = verifier().compare(image(1.0), image(1.5), "a.jpg", "b.jpg")
    assert isinstance(match, FaceMatch)
    assert (match.same, match.threshold, match.distance) == (True, 0.6, pytest.approx(0.5))
    assert match.probability == pytest.approx(1 / (1 + np.exp(20 * (0.5 - 0.6))))
    assert verifier().compare(image(1.0), image(2.0), "a", "b").same is False


def test_another_threshold_changes_the_verdict_and_not_the_probability() -> None:
    usual = verifier().compare(image(1.0), image(1.5), "a", "b")
    strict = verifier(threshold=0.4).compare(image(1.0), image(1.5), "a", "b")
    assert (usual.same, strict.same) == (True, False)
    assert strict.threshold == 0.4
    assert usual.probability == strict.probability


def test_one_refuses_to_guess() -> None:
    outcome = verifier().compare(image(1.0), image(1.2, 5.0), "a.jpg", "b.jpg")
    assert outcome == Failure(
        "several-faces",
        "b.jpg: 2 faces were found: which one is meant? choose largest or all",
    )


def test_a_photo_of_one_person_is_not_to_be_taken_for_all() -> None:
    with pytest.raises(ImageError, match=r"which one is meant\? choose largest$"):
        FaceChoice("one", of_one_person=True).of(image(1.2, 5.0), 40)


def test_the_largest_face_is_the_first() -> None:
    match = verifier("largest").compare(image(1.0, 9.0), image(5.0, 1.0), "a", "b")
    assert match.distance == pytest.approx(4.0)
    assert match.distances == ()


def test_all_faces_are_compared_and_the_nearest_two_decide() -> None:
    match = verifier("all").compare(image(1.0, 9.0), image(5.0, 1.25, 3.0), "a", "b")
    assert match.distance == pytest.approx(0.25)
    assert match.distances == ((4.0, 0.25, 2.0), (4.0, 7.75, 6.0))
    assert [face.width for face in match.faces] == [90.0, 89.0]


def test_no_face_and_an_unreadable_image_name_their_file() -> None:
    nobody = ImageFaces(10, 10, (), np.zeros((0, 1), np.float32))
    outcome = verifier().compare(image(1.0), nobody, "a.jpg", "b.jpg")
    assert isinstance(outcome, Failure) and outcome.kind == "no-face"
    assert outcome.message.startswith("b.jpg: no face of at least ")
    torn = Failure("truncated", "the file ends early")
    outcome = verifier().compare(torn, nobody, "a.jpg", "b.jpg")
    assert outcome == Failure("truncated", "a.jpg: the file ends early")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"faces": "two"}, "`faces` must be one of one, largest, all"),
        ({"threshold": 0.0}, "`threshold` must lie above 0"),
        ({"threshold": float("nan")}, "`threshold` must be a finite number"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(wrong: dict, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        verifier(**wrong)


# === Real images ===


def test_the_astronaut_and_her_mirror_image(
    embedder: FaceEmbedder, astronaut: np.ndarray, examples: Path
) -> None:
    real = FaceVerifier(embedder)
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    match = real.predict((examples / "astronaut.jpg", mirrored))
    assert isinstance(match, FaceMatch) and match.same and 0 < match.distance < 0.4
    two = np.concatenate([astronaut, astronaut], axis=1)
    pairs = [
        (astronaut, np.zeros((100, 100, 3), np.uint8)),
        ("missing.jpg", astronaut),
        (astronaut, two),
        (astronaut, mirrored),
        "no pair",
    ]
    results = real.predict(pairs)
    told = [one.message for one in results if isinstance(one, Failure)]
    assert told[0].startswith("b: no face of at least 40 pixels")
    assert told[1].startswith("missing.jpg: no such file")
    assert "2 faces were found" in told[2]
    assert told[3] == "a pair must be two images" and len(told) == 4
    assert results[3].to_dict() == match.to_dict()
    assert real.predict(pairs[1]) == results[1] and real.predict("no pair") == results[4]


# === Many pairs ===

PAIRS = [
    FacePair("1.0", "1.5", True),
    FacePair("1.0", "9.0", False),
    FacePair("bad", "1.0"),
    FacePair("9.0", "9.5"),
    FacePair("1.5", "1.0"),
]


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(path: Path, pairs=PAIRS, made: FaceVerifier | None = None, **changes) -> tuple:
    made = made or verifier()
    emitted: list[dict] = []
    outputs = Outputs(rows=path, **changes)
    summary = verify_listed_pairs(
        made, pairs, outputs, options={"faces": "one"}, emit=emitted.append
    )
    return summary, made.embedder.read_names, emitted


def test_every_pair_is_a_row_and_every_image_is_read_once(tmp_path: Path) -> None:
    summary, read, _ = run(tmp_path / "rows.jsonl")
    assert (summary.ok, summary.failed) == (4, 1)
    assert read == {"1.0": 1, "1.5": 1, "9.0": 1, "bad": 1, "9.5": 1}
    rows = rows_of(tmp_path / "rows.jsonl")
    assert [(row["a"], row["b"]) for row in rows] == [(pair.a, pair.b) for pair in PAIRS]
    assert [row.get("same") for row in rows] == [True, False, None, True, True]
    assert [row.get("expected") for row in rows] == [True, False, None, None, None]
    assert rows[2]["error"] == {"kind": "corrupt", "message": "bad: the JPEG data is broken"}
    first = {k: v for k, v in rows[0].items() if k not in ("faces", "expected")}
    assert first == {
        "a": "1.0",
        "b": "1.5",
        "status": "ok",
        "distance": 0.5,
        "threshold": 0.6,
        "probability": round(float(Verification(0.6, 20.0).probability(0.5)), 6),
        "same": True,
    }


@pytest.mark.parametrize("stop", [0, 1, 2, 4])
def test_a_killed_run_is_resumed(tmp_path: Path, stop: int) -> None:
    whole = tmp_path / "whole.jsonl"
    run(whole)
    target = tmp_path / "rows.jsonl"
    header = {"cnnkit_journal": 2, "command": "verify-face", "model": "numbers"}
    lines = [json.dumps(header | {"options": {"faces": "one"}})]
    lines += whole.read_text().splitlines()[:stop]
    torn = whole.read_text().splitlines()[stop][:20]
    (tmp_path / "rows.jsonl.part").write_text("\n".join([*lines, torn]))
    summary, read, emitted = run(target, resume=True)
    assert summary.resumed == stop and len(emitted) == len(PAIRS) - stop
    assert target.read_text() == whole.read_text()
    assert max(read.values()) == 1


def test_failed_pairs_are_tried_again_in_their_place(tmp_path: Path) -> None:
    target = tmp_path / "rows.jsonl"
    run(target)
    header = {"cnnkit_journal": 2, "command": "verify-face", "model": "numbers"}
    text = json.dumps(header | {"options": {"faces": "one"}}) + "\n" + target.read_text()
    target.unlink()
    (tmp_path / "rows.jsonl.part").write_text(text)
    summary, _, emitted = run(target, resume=True, retry_errors=True)
    assert [row["a"] for row in emitted] == ["bad"]
    assert (summary.ok, summary.failed) == (4, 1)
    assert len(rows_of(target)) == len(PAIRS)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    target = tmp_path / f"rows{suffix}"
    run(target)
    before = target.read_bytes()
    summary, read, emitted = run(target, resume=True)
    assert (summary.resumed, emitted, read) == (len(PAIRS), [], {})
    assert target.read_bytes() == before
    with pytest.raises(UsageError, match="is complete and has no row for"):
        run(target, pairs=[*PAIRS, FacePair("7.0", "8.0")], resume=True)


def test_csv_has_a_column_for_each_field(tmp_path: Path) -> None:
    run(tmp_path / "rows.csv")
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    columns = "a,b,status,same,distance,threshold,probability,expected,error_kind,error_message"
    assert lines[0] == columns
    assert lines[1].startswith("1.0,1.5,ok,1,0.500000,0.600000,0.8807")
    assert lines[3] == "bad,1.0,error,,,,,,corrupt,bad: the JPEG data is broken"


def test_a_pair_that_comes_again_is_compared_once(tmp_path: Path) -> None:
    _, _, emitted = run(tmp_path / "rows.jsonl", pairs=[PAIRS[0], PAIRS[0], PAIRS[1]])
    assert len(emitted) == 2
