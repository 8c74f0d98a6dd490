"""``cnnkit gallery`` as a user meets it: what it prints, its files, its exit status."""

from __future__ import annotations

import base64
import json
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cnnkit
from cnnkit.cli.gallery import command
from cnnkit.errors import CnnkitError, GalleryError, OutputError, UsageError
from cnnkit.faces import FaceEmbedder
from cnnkit.faces.gallery import GalleryFile
from cnnkit.faces.gallery.enrolment import portraits_to_enrol
from cnnkit.images import decode, read_bytes
from tests.faces.gallery.portraits import eileen, eva, write, write_people


@pytest.fixture(scope="module")
def astronaut(examples: Path) -> np.ndarray:
    return decode(read_bytes(str(examples / "astronaut.jpg")))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Path:
    return write_people(tmp_path_factory.mktemp("people"), astronaut)


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory, people: Path) -> Path:
    path = tmp_path_factory.mktemp("enrolled") / "team.gallery"
    assert gallery("enroll", path, people).exit_code == 0
    return path


@pytest.fixture
def team(enrolled: Path, tmp_path: Path) -> Path:
    """A gallery of the two people for one test."""
    return Path(shutil.copy2(enrolled, tmp_path / "team.gallery"))


@pytest.fixture(scope="module", autouse=True)
def one_embedder():
    """Compile the networks once for all commands of this module."""
    compiled: dict[str, FaceEmbedder] = {}
    original = FaceEmbedder.load

    def loaded(*arguments, **options):
        key = repr((arguments, options))
        if key not in compiled:
            compiled[key] = original(*arguments, **options)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaceEmbedder, "load", loaded)
        yield


def gallery(*arguments: object, stdin: str | None = None) -> Result:
    """Run a command in this process; an error of ours comes as the exception it is."""
    result = CliRunner().invoke(command, [str(a) for a in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows_of(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_nothing_is_made_where_there_is_nobody_to_enrol(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="must hold a folder for each person"):
        gallery("enroll", tmp_path / "team.gallery", tmp_path / "empty")
    assert not (tmp_path / "team.gallery").exists()


def test_nothing_is_made_where_every_photo_fails(tmp_path, examples):
    done = gallery("enroll", tmp_path / "team.gallery", "--name", "Cup", examples / "coffee.jpg")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "0 added, 0 already enrolled, 1 failed",
        f"{tmp_path / 'team.gallery'} was not created: no photo could be enrolled.",
    ]
    assert not list(tmp_path.iterdir())


def test_enrolling_a_folder_then_again_then_more(tmp_path, people, astronaut):
    team = tmp_path / "team.gallery"
    first = gallery("enroll", team, people, "--json")
    assert [(r["person"], r["action"]) for r in rows_of(first.stdout)] == [
        *[("Eileen", "added")] * 2,
        *[("Eva", "added")] * 2,
    ]
    again = gallery("enroll", team, people)
    assert again.stdout.splitlines()[0] == "0 added, 4 already enrolled, 0 failed"
    write(tmp_path / "more" / "Eva" / "9.png", eva(astronaut, 3))
    more = gallery("enroll", team, tmp_path / "more")
    assert more.stdout.splitlines() == [
        "1 added, 0 already enrolled, 0 failed",
        f"{team}: 2 people, 5 photos",
    ]
    assert stat.S_IMODE(team.stat().st_mode) == 0o600
    with GalleryFile.open(team) as opened:
        assert opened.photos()[-1].path == "Eva/9.png"


def test_photos_that_cannot_be_enrolled_are_named_and_the_others_are_in(
    tmp_path, people, astronaut, examples
):
    bad = shutil.copytree(people, tmp_path / "people")
    shutil.copy(examples / "coffee.jpg", bad / "Eva" / "coffee.jpg")
    (bad / "Eva" / "broken.jpg").write_bytes(b"no image")
    write(bad / "Eva" / "two.png", np.concatenate([astronaut, astronaut], axis=1))
    write(bad / "unknown" / "1.png", eileen(astronaut))
    done = gallery("enroll", tmp_path / "g", bad)
    assert done.exit_code == 1
    assert "4 added, 0 already enrolled, 4 failed" in done.stdout
    for name, reason in [
        ("coffee.jpg", "no face"),
        ("broken.jpg", ""),
        ("two.png", "2 faces were found"),
        ("1.png", "not be 'unknown'"),
    ]:
        assert any(name in line and reason in line for line in done.stderr.splitlines())
    done = gallery("enroll", tmp_path / "g", bad, "--faces", "largest")
    assert "1 added, 4 already enrolled, 3 failed" in done.stdout


def test_a_photo_under_another_name_is_refused_until_it_is_to_move(team, people):
    photo = people / "Eva" / "0.png"
    refused = gallery("enroll", team, "--name", "Zoë", photo)
    assert refused.exit_code == 1
    assert "is enrolled as Eva already" in refused.stderr
    assert "1 moved" in gallery("enroll", team, "--name", "Zoë", photo, "--move").stdout
    assert json.loads(gallery("list", team, "--json").stdout)["people"] == {
        "Eileen": 2,
        "Eva": 1,
        "Zoë": 1,
    }


def test_no_paths(tmp_path, people):
    gallery("enroll", tmp_path / "g", people, "--no-paths")
    assert b"0.png" not in (tmp_path / "g").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["PHOTO"], "use `name`"),
        (["EMPTY"], "a folder for each person"),
        (["PEOPLE", "--encrypt"], "new gallery"),
        (["PEOPLE", "--passphrase-file", "PASS"], "encrypted gallery"),
        (["--name", "a\nb", "PHOTO"], "printable"),
        (
            ["--name", "Ann", "PEOPLE"],
            "folders of photos like 'Eileen' and 'Eva'.*Leave out `name`",
        ),
        (
            ["--name", "Ann", "EILEEN", "EVA"],
            "several folders.*Eileen' and .*Eva'.*one folder at a time",
        ),
        (["--name", "Ann", "EVA", "EMPTY", "EILEEN"], "several folders of photos like .*Eva'"),
        (["--name", "Ann", "PATTERN"], "several folders.*Eileen' and .*Eva'.*without `name`"),
    ],
)
def test_enrolments_that_are_refused(team, people, tmp_path, arguments, reason):
    (tmp_path / "empty").mkdir()
    (tmp_path / "pass").write_text("a passphrase\n")
    places = {
        "PHOTO": people / "Eva" / "0.png",
        "EMPTY": tmp_path / "empty",
        "PEOPLE": people,
        "EILEEN": people / "Eileen",
        "EVA": people / "Eva",
        "PATTERN": people / "*",
        "PASS": tmp_path / "pass",
    }
    with pytest.raises(CnnkitError, match=reason):
        gallery("enroll", team, *(places.get(a, a) for a in arguments))


def test_photos_and_folders_that_one_name_may_have(tmp_path, people):
    (tmp_path / "empty").mkdir()
    shutil.copytree(people, tmp_path / "people")
    people = tmp_path / "people"
    eva, eileen = people / "Eva", people / "Eileen"
    shutil.copytree(eva, eva / "2023")
    for given, count in (
        ([eva, eva, eva / "2023", eva / "0.png", tmp_path / "empty"], 4),
        ([people / "E*a", eva / "*.png"], 4),
        ([*eva.glob("*.png"), *eileen.glob("*.png")], 4),
        ([people / "*" / "0.png"], 2),
    ):
        found = list(portraits_to_enrol(given, "Ann"))
        assert [portrait.person for portrait in found if not portrait.failure] == ["Ann"] * count


def test_identifying(team, tmp_path, astronaut, examples):
    probes = tmp_path / "probes"
    write(probes / "a.png", eileen(astronaut, 3))
    write(probes / "b.png", eva(astronaut, 3))
    shutil.copy(examples / "coffee.jpg", probes / "c.jpg")
    (probes / "d.jpg").write_bytes(b"no image")
    done = gallery("identify", team, probes)
    assert done.exit_code == 1
    rows = rows_of(done.stdout)
    assert [row.get("names") for row in rows] == [["Eileen"], ["Eva"], [], None]
    face = rows[0]["faces"][0]
    assert face["distance"] < 0.6 < face["nearest"][1]["distance"]
    assert face["probability"] > 0.5
    assert rows[3]["error"]["kind"] == "not-an-image"
    strict = gallery("identify", team, probes / "a.png", "--threshold", "0.01")
    face = rows_of(strict.stdout)[0]["faces"][0]
    assert (face["name"], face["reason"]) == ("unknown", "too far")
    narrow = gallery("identify", team, probes / "a.png", "--margin", "1")
    assert rows_of(narrow.stdout)[0]["faces"][0]["reason"] == "two people too close"
    table = gallery("identify", team, probes, "--format", "table").stdout.splitlines()
    assert table[0].split() == ["IMAGE", "PEOPLE"]
    assert "Eileen (0." in table[1]
    assert table[3].endswith("no face")


def test_identify_keeps_the_protocol_of_folder_jobs(team, tmp_path, people):
    rows = tmp_path / "rows.csv"
    done = gallery("identify", team, people, "-o", rows)
    assert (done.exit_code, done.stdout) == (0, "")
    lines = rows.read_text().splitlines()
    assert lines[0] == "path,status,faces,names,name,distance,probability,error_kind,error_message"
    assert lines[1].split(",")[2:6] == ["1", "Eileen", "Eileen", "0.000000"]
    with pytest.raises(UsageError, match="exists already"):
        gallery("identify", team, people, "-o", rows)
    assert gallery("identify", team, people, "-o", rows, "--resume").exit_code == 0
    # A killed run: the journal with one row.
    header = {"cnnkit_journal": 2}
    part = tmp_path / "other.jsonl.part"
    part.write_text(json.dumps(header) + "\n")
    with pytest.raises(UsageError, match="`resume` requires the same"):
        gallery("identify", team, people, "-o", tmp_path / "other.jsonl", "--resume")


def test_the_function_writes_the_rows_of_identify(team, tmp_path, people, capfd):
    rows, counts = tmp_path / "rows.jsonl", []
    with cnnkit.Gallery.load(team) as opened:
        summary = cnnkit.identify(
            opened, people, output=rows, progress=lambda done, total: counts.append((done, total))
        )
        with pytest.raises(UsageError, match="exists already"):
            cnnkit.identify(opened, [people], output=rows)
    assert capfd.readouterr() == ("", "")
    assert (summary.failed, counts[0], counts[-1]) == (0, (0, summary.ok), (summary.ok, summary.ok))
    shown = gallery("identify", team, people, "-o", tmp_path / "command.jsonl")
    assert shown.exit_code == 0
    assert (tmp_path / "command.jsonl").read_bytes() == rows.read_bytes()
    assert {row["names"][0] for row in rows_of(rows.read_text())} == {"Eileen", "Eva"}


def test_a_killed_identify_goes_on(team, tmp_path, people):
    rows = tmp_path / "rows.jsonl"
    gallery("identify", team, people, "-o", rows)
    whole = rows.read_text()
    from cnnkit.writers import journal

    written = []
    with pytest.MonkeyPatch.context() as patch:
        append = journal.Journal.append

        def dying(self, row):
            if len(written) == 2:
                raise KeyboardInterrupt
            written.append(row)
            append(self, row)

        patch.setattr(journal.Journal, "append", dying)
        rows.unlink()
        assert gallery("identify", team, people, "-o", rows).exit_code == 1  # click's Abort
    assert not rows.exists()
    assert gallery("identify", team, people, "-o", rows, "--resume").exit_code == 0
    assert rows.read_text() == whole


def test_listing(team):
    done = gallery("list", team)
    assert [line.split() for line in done.stdout.splitlines()] == [["Eileen", "2"], ["Eva", "2"]]
    assert "2 people, 4 photos, not encrypted" in done.stderr
    assert "threshold 0.6, margin 0.04 (default of the model)" in done.stderr


def test_forgetting(team):
    assert b"Eva" in team.read_bytes()
    assert gallery("forget", team, "Eva").stdout == "erased Eva, 2 photos\n"
    assert b"Eva" not in team.read_bytes()
    with pytest.raises(UsageError, match="Did you mean 'Eileen'"):
        gallery("forget", team, "Elieen")


def test_forgetting_one_photo(team, people, tmp_path):
    done = gallery("forget", team, "--photo", "Eva/1.png")
    assert done.stdout == "erased Eva/1.png, a photo of Eva\n"
    assert [line.split() for line in gallery("list", team).stdout.splitlines()] == [
        ["Eileen", "2"],
        ["Eva", "1"],
    ]
    with pytest.raises(UsageError, match=r"`photos` must name a photo in .*lists its photos"):
        gallery("forget", team, "--photo", "Eva/1.png")
    with pytest.raises(UsageError, match="must name a photo"):  # not hers
        gallery("forget", team, "Eva", "--photo", "Eileen/0.png")
    listed = gallery("list", team, "--photos").stdout.splitlines()
    assert [line.split() for line in listed] == [
        ["1", "Eileen", "Eileen/0.png"],
        ["2", "Eileen", "Eileen/1.png"],
        ["3", "Eva", "Eva/0.png"],
    ]
    moved = shutil.copy(people / "Eva" / "0.png", tmp_path / "elsewhere.png")
    assert gallery("forget", team, "--photo", moved).stdout.splitlines() == [
        "erased Eva/0.png, a photo of Eva",
        "erased Eva, who has no photo left",
    ]
    assert gallery("forget", team, "--photo", "photo 2", "--photo", "2").exit_code == 0
    assert list(json.loads(gallery("list", team, "--json").stdout)["people"].items()) == [
        ("Eileen", 1)
    ]
    with pytest.raises(UsageError, match="NAME or --photo is required"):
        gallery("forget", team)


def test_a_place_that_two_photos_have(tmp_path, people):
    team = tmp_path / "team.gallery"
    for name in ("Eileen", "Eva"):
        gallery("enroll", team, "--name", name, people / name / "0.png")
    with pytest.raises(UsageError, match=r"photos 1 \(Eileen\), 2 \(Eva\)\. Give its number"):
        gallery("forget", team, "--photo", "0.png")
    assert "a photo of Eva" in gallery("forget", team, "Eva", "--photo", "0.png").stdout


def test_renaming(team, people):
    assert gallery("rename", team, "Eva", "Eve").stdout == "Eva is now Eve, 2 photos\n"
    assert b"Eva" not in team.read_bytes()
    found = rows_of(gallery("identify", team, people / "Eva").stdout)
    assert [row["names"] for row in found] == [["Eve"]] * 2
    with pytest.raises(UsageError, match="`merge=True` makes"):
        gallery("rename", team, "Eve", "Eileen")
    assert gallery("rename", team, "Eve", "Eileen", "--merge").stdout.endswith("4 photos\n")


def test_photos_that_lie_beside_the_folders_are_named_by_their_files(tmp_path, people, astronaut):
    """As face_recognition taught it: people/ann.jpg."""
    loose = tmp_path / "loose"
    write(loose / "Zoe\u0308.png", eva(astronaut))  # as macOS writes it
    write(loose / "Eileen.png", eileen(astronaut, 3))
    shutil.copytree(people / "Eileen", loose / "Eileen")
    (loose / "notes.txt").write_text("no photo")
    (loose / ".hidden.jpg").write_text("no photo")
    (loose / "__MACOSX").mkdir()
    write(loose / "unknown.png", eva(astronaut, 1))
    done = gallery("enroll", tmp_path / "g", loose, "--json")
    assert [(Path(r["path"]).name, r.get("person")) for r in rows_of(done.stdout)] == [
        ("0.png", "Eileen"),
        ("1.png", "Eileen"),
        ("Eileen.png", "Eileen"),
        ("Zoe\u0308.png", "Zo\xeb"),
        ("unknown.png", None),
    ]
    assert done.exit_code == 1
    with GalleryFile.open(tmp_path / "g") as opened:
        assert opened.people() == {"Eileen": 3, "Zo\xeb": 1}
    calibrated = gallery("calibrate", tmp_path / "g", loose, "--far", "0.5", "--json", "--dry-run")
    found = json.loads(calibrated.stdout)
    assert (found["people"], found["photos"]) == (2, 4)


def test_the_drawing_of_a_claim_names_the_person(team, people, tmp_path, monkeypatch):
    from cnnkit.cli.verify_face import command as verify_face
    from cnnkit.reports import face_match

    said = []
    original = face_match.draw_faces

    def noted(images, same, verdict):
        said.append((len(images[0].faces), same, verdict.split(":")[0]))
        return original(images, same, verdict)

    monkeypatch.setattr(face_match, "draw_faces", noted)
    photo = people / "Eva" / "0.png"
    both = np.concatenate([decode(read_bytes(str(photo)))] * 2, axis=1)
    two = write(tmp_path / "two.png", both)
    for number, image in enumerate((photo, two)):
        drawing = tmp_path / f"{number}.png"
        claim = [image, "--gallery", team, "--as", "Eva", "--annotate", drawing]
        done = CliRunner().invoke(verify_face, [str(one) for one in claim])
        assert done.exit_code == (0, 2)[number], done.output
        assert drawing.exists()
    assert said == [(1, True, "Eva"), (2, None, "Eva")]


def test_an_encrypted_gallery(tmp_path, people, monkeypatch):
    secret, word = tmp_path / "secret.gallery", tmp_path / "word"
    word.write_text("correct horse\nsecond line\n")
    word.chmod(0o600)
    made = gallery("enroll", secret, people, "--encrypt", "--passphrase-file", word)
    assert made.exit_code == 0
    assert b"Eva" not in secret.read_bytes()
    assert len(gallery("list", secret, "--passphrase-file", word).stdout.splitlines()) == 2
    found = gallery("identify", secret, people / "Eva", "--passphrase-file", word)
    assert rows_of(found.stdout)[0]["names"] == ["Eva"]
    with pytest.raises(UsageError, match="no terminal"):
        gallery("list", secret)
    word.write_text("another one\n")
    with pytest.raises(GalleryError, match="not the one"):
        gallery("list", secret, "--passphrase-file", word)
    word.write_text("short\n")
    with pytest.raises(UsageError, match="at least 8"):
        gallery("enroll", tmp_path / "new", people, "--encrypt", "--passphrase-file", word)


def test_a_gallery_of_another_embedder(team, people):
    with pytest.raises(GalleryError, match="searched with dlib-face and the identity") as caught:
        gallery("identify", team, people, "--mirror")
    assert str(caught.value).endswith(
        "without mirrored faces. Received: dlib-face, with mirrored faces. "
        "Leave `mirror` out, or enroll the photos again."
    )


def test_calibrating_on_enough_and_on_too_few_pairs(team, tmp_path, astronaut):
    data = write_people(tmp_path / "data", astronaut, photos=4)
    few = gallery("calibrate", team, data, "--far", "0.01")
    assert few.exit_code == 1
    assert "Too few pairs: 16 different-person pairs cannot measure a rate below 0.19" in few.stdout
    dry = gallery("calibrate", team, data, "--far", "0.25", "--dry-run", "--json")
    found = json.loads(dry.stdout)
    assert (dry.exit_code, found["kept"], found["enough"]) == (0, False, True)
    assert json.loads(gallery("list", team, "--json").stdout)["settings"]["threshold"] == 0.6
    kept = gallery("calibrate", team, data, "--far", "0.25")
    assert kept.exit_code == 0
    settings = json.loads(gallery("list", team, "--json").stdout)["settings"]
    assert settings["threshold"] == pytest.approx(found["threshold"])
    assert settings["calibration"]["far"] == 0.25
    assert "calibrated for a false accept rate of 0.25" in gallery("list", team).stderr


def test_names_that_are_no_unicode_make_no_invalid_json(team, tmp_path, astronaut):
    """The undecodable byte itself stood in it, which no reader of JSON takes."""
    photo = write(tmp_path / "x.png", eileen(astronaut, 3))
    photo = photo.rename(tmp_path / "x\udcff.png")
    gallery("enroll", team, "--name", "Eva", photo)
    exact = base64.b64encode(b"x\xff.png").decode()
    for arguments in (("audit", team, "--json"), ("list", team, "--photos", "--json")):
        text = gallery(*arguments).stdout_bytes.decode("utf-8")
        assert r'"path": "x\udcff.png"' in text
        assert f'"path_base64": "{exact}"' in text


def test_auditing(team, people, tmp_path, astronaut):
    assert gallery("audit", team).exit_code == 0
    gallery("enroll", team, "--name", "Eva", write(tmp_path / "x.png", eileen(astronaut, 3)))
    done = gallery("audit", team)
    assert done.exit_code == 1
    assert "mislabelled:" in done.stdout
    assert "x.png is nearer to Eileen" in done.stdout
    kinds = {row["kind"] for row in rows_of(gallery("audit", team, "--json").stdout)}
    assert kinds == {"mislabelled", "too-alike"}


@pytest.fixture
def mixed(tmp_path, astronaut, examples):
    folder = tmp_path / "mixed"
    for number in range(3):
        write(folder / f"a{number}.png", eileen(astronaut, number))
        write(folder / f"b{number}.png", eva(astronaut, number))
    shutil.copy(examples / "coffee.jpg", folder)
    return folder


def test_clustering_is_a_dry_run_first(mixed):
    before = sorted(mixed.iterdir())
    done = gallery("cluster", mixed)
    assert done.exit_code == 0
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "person-001",
        "person-002",
        "no face",
    ]
    assert "No file was changed" in done.stderr
    assert sorted(mixed.iterdir()) == before


@pytest.mark.parametrize("how", ["copy", "link", "move"])
def test_clustering_into_folders(mixed, tmp_path, how):
    folder = tmp_path / "sorted"
    done = gallery("cluster", mixed, "--sort-into", folder, "--how", how, "--json")
    assert done.exit_code == 0
    found = {p.name: sorted(f.name for f in p.iterdir()) for p in folder.iterdir() if p.is_dir()}
    assert sorted(found.values()) == [[f"{k}{n}.png" for n in range(3)] for k in "ab"]
    left = sorted(p.name for p in mixed.iterdir())
    assert left == ["coffee.jpg"] if how == "move" else len(left) == 7
    rows = rows_of((folder / "plan.jsonl").read_text())
    assert rows == rows_of(done.stdout)
    with pytest.raises(UsageError, match="name a new or empty folder"):
        gallery("cluster", mixed, "--sort-into", folder)


def test_a_killed_move_is_finished_from_its_plan(mixed, tmp_path, monkeypatch):
    from cnnkit import sorting_plan

    folder, moved = tmp_path / "sorted", []

    def failing(source, place, how):
        if len(moved) == 2:
            raise OSError(28, "No space left on device")
        moved.append(source)
        from cnnkit.sorting import finish

        finish(source, place, how)

    with monkeypatch.context() as patch:
        patch.setattr(sorting_plan, "finish", failing)
        with pytest.raises(OutputError, match="No space"):
            gallery("cluster", mixed, "--sort-into", folder, "--how", "move")
    done = gallery("cluster", mixed, "--sort-into", folder, "--how", "move", "--resume")
    assert "6 images in place" in done.stderr
    assert sorted(len(list(p.iterdir())) for p in folder.iterdir() if p.is_dir()) == [3, 3]
    assert [p.name for p in mixed.iterdir()] == ["coffee.jpg"]


def test_the_function_groups_as_the_command_does(mixed, tmp_path, capfd):
    counts, rows = [], []
    found = cnnkit.cluster_faces(
        mixed, emit=rows.append, progress=lambda done, total: counts.append((done, total))
    )
    assert capfd.readouterr() == ("", "")
    assert (counts[0], counts[-1]) == ((0, 7), (7, 7))
    groups = [{Path(path).name for path in images} for images in found.people.values()]
    assert list(found.people) == ["person-001", "person-002"]
    assert groups == [{f"{letter}{n}.png" for n in range(3)} for letter in "ab"]
    assert (list(found.rows), found.placed, found.failed) == (rows, 0, 0)
    assert rows_of(gallery("cluster", mixed, "--json").stdout) == rows
    placed = cnnkit.cluster_faces([mixed], sort_into=tmp_path / "sorted", how="link", min_faces=4)
    assert placed.placed == 6 and set(placed.people) == {"_others"}
    with pytest.raises(UsageError, match="`threshold` must be a distance over 0"):
        cnnkit.cluster_faces(mixed, threshold=0)
    with pytest.raises(UsageError, match="`how` must be one of copy, link, move"):
        cnnkit.cluster_faces(mixed, how="throw")
    with pytest.raises(UsageError, match="`resume` requires `sort_into` with a plan"):
        cnnkit.cluster_faces(mixed, resume=True)


def test_a_plan_that_leads_elsewhere_is_refused(mixed, tmp_path):
    folder = tmp_path / "sorted"
    folder.mkdir()
    row = {"path": str(mixed / "a0.png"), "status": "ok", "sorted_to": [str(tmp_path / "x" / "y")]}
    (folder / "plan.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match="sorted_to must lie in"):
        gallery("cluster", mixed, "--sort-into", folder, "--resume", "--how", "move")
    other = tmp_path / "keys.png"
    other.write_text("nobody's to move")
    place = str(folder / "person-001" / "keys.png")
    row = {"path": str(other), "status": "ok", "people": ["person-001"], "sorted_to": [place]}
    (folder / "plan.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match="the plan must hold this run's inputs"):
        gallery("cluster", mixed, "--sort-into", folder, "--resume", "--how", "move")
    assert other.exists() and len(list(mixed.iterdir())) == 7
    (folder / "plan.jsonl").write_text("no json\n")
    with pytest.raises(UsageError, match="earlier gallery cluster"):
        gallery("cluster", mixed, "--sort-into", folder, "--resume")


def verify(*arguments: object) -> Result:
    from cnnkit.cli.verify_face import command as verify_face

    result = CliRunner().invoke(verify_face, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_an_image_and_a_claimed_name(team, people, tmp_path, examples):
    photo = people / "Eva" / "0.png"
    same = verify(photo, "--gallery", team, "--as", "Eva", "--json")
    row = rows_of(same.stdout)[0]
    assert (same.exit_code, row["same"], row["as"]) == (0, True, "Eva")
    assert row["distance"] == 0.0
    drawing = tmp_path / "why.png"
    different = verify(photo, "--gallery", team, "--as", "Eileen", "--annotate", drawing)
    assert different.exit_code == 1
    assert different.stdout.startswith("different people: distance 0.6")
    assert decode(drawing.read_bytes()).shape[2] == 3
    nothing = verify(examples / "coffee.jpg", "--gallery", team, "--as", "Eva")
    assert nothing.exit_code == 2
    assert "no face" in nothing.stdout
    with pytest.raises(UsageError, match="Did you mean 'Eva'"):
        verify(photo, "--gallery", team, "--as", "Evva")


def test_the_functions_verify_as_the_command_does(team, people, tmp_path, examples):
    photo, other = people / "Eva" / "0.png", people / "Eva" / "1.png"
    with cnnkit.Gallery.load(team, faces="one") as opened:
        claimed = cnnkit.verify_claim(photo, "Eileen", opened, annotate=tmp_path / "why.png")
        with pytest.raises(UsageError, match="Did you mean 'Eva'"):
            cnnkit.verify_claim(photo, "Evva", opened)
    shown = verify(photo, "--gallery", team, "--as", "Eileen", "--json")
    assert rows_of(shown.stdout) == [claimed.row] and not claimed.outcome.same
    assert decode((tmp_path / "why.png").read_bytes()).shape[2] == 3
    pair = cnnkit.verify_images((photo, other))
    assert pair.outcome.same and rows_of(verify(photo, other, "--json").stdout) == [pair.row]
    failed = cnnkit.verify_images((photo, examples / "coffee.jpg")).outcome
    assert failed.kind == "no-face"
    with pytest.raises(UsageError, match="`images` must be two paths"):
        cnnkit.verify_images((photo,))


def test_the_whole_command_line(run_cnnkit, team, people, tmp_path):
    done = run_cnnkit("gallery", "identify", team, people / "Eva", "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split(",")[3] == "Eva"
    done = run_cnnkit("gallery", "identfy", team)
    assert done.returncode == 2
    assert "Did you mean 'identify'" in done.stderr
    done = run_cnnkit("gallery", "list", tmp_path / "none")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_the_passphrase_is_asked_for_in_a_terminal(monkeypatch):
    from cnnkit.cli import galleries

    asked = []

    def prompt(text, **options):
        asked.append((text, options))
        return "long enough"

    monkeypatch.setattr(galleries.sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(galleries.click, "prompt", prompt)
    assert galleries.passphrase_source(None, new=True)() == b"long enough"
    hidden = {"hide_input": True, "confirmation_prompt": True, "err": True}
    assert asked == [("Passphrase", hidden)]


@pytest.mark.parametrize("content", [b"", b"\nsecond", b"\xff\xfe", b"x" * 5000])
def test_files_that_hold_no_passphrase(tmp_path, content):
    from cnnkit.cli.galleries import passphrase_source

    file = tmp_path / "word"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="--passphrase-file"):
        passphrase_source(str(file), new=False)()
    with pytest.raises(UsageError, match=r"--passphrase-file must be readable.*none: No such"):
        passphrase_source(str(tmp_path / "none"), new=False)()
