"""Options that could only be ignored are refused in one line, before any work."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

MATRIX = "--matrix '1 2 3; 4 5 6; 7 8 9'"

# A command line with options in the wrong company, and what is said.
REFUSED = [
    ("classify photos --shard-size 5", "--shard-size requires --engine."),
    ("detect photos --shard-size 5", "--shard-size requires --engine."),
    ("explain photos --shard-size 5", "--shard-size requires --engine."),
    ("transfer-learn photos -o b --shard-size 5", "--shard-size requires --engine."),
    ("verify-face --pairs pairs.csv --shard-size 5", "--shard-size requires --engine."),
    ("verify-face cat.jpg cat.jpg --shard-size 1000", "--shard-size requires --pairs."),
    ("classify cat.jpg --every 2s", "--every requires a video among the inputs."),
    ("detect cat.jpg --from 1", "--from requires a video among the inputs."),
    ("explain cat.jpg --to 1:30", "--to requires a video among the inputs."),
    ("detect cat.jpg --track", "--track requires a video among the inputs."),
    ("detect photos --track", "Those in folders are found with --every."),
    ("classify photos --column image", "--column requires a Parquet file among the inputs."),
    ("detect photos.tar --column image", "--column requires a Parquet file among the inputs."),
    ("detect photos --classes dog --confidence cat=0.5", "must name classes of --classes"),
    ("detect photos --classes dog --agnostic=cat+dog", "must name classes of --classes"),
    ("detect photos --classes dog --where 'dog and not cat'", "must name classes of --classes"),
    ("explain cat.jpg --size 100", "--size requires --overlays."),
    ("stylize cat.jpg --style cat.jpg --contact-sheet s.png --resume", "--resume requires -o."),
    ("stylize cat.jpg --style cat.jpg --contact-sheet s.png --preview 2", "--preview requires -o."),
    ("network --list --classes 5", "--classes requires NAME."),
    ("network --list --diagram d.svg", "--diagram requires NAME."),
    ("shapes --input 9x9x3 'conv 1 3x3' --brief --json", "--brief and --json are mutually"),
    ("convolve cat.jpg --kernel blur -o x.png --report r.html", "--report requires --learn-from."),
    ("convolve cat.jpg --kernel blur -o x.png --kernel-size 5x5", "requires --learn-from."),
    ("convolve cat.jpg --kernel blur -o x.npy --show clip", "--show requires an image."),
    ("convolve cat.jpg --pool 'max 2x2' -o x.png --stride 2", "--stride and --pool are mutually"),
    ("convolve cat.jpg --pool 'max 2x2' -o x.png --flip", "--flip and --pool are mutually"),
    (f"convolve {MATRIX} --kernel blur --report r.html", "--report and --matrix are mutually"),
    (f"convolve {MATRIX} --against 1 --stride 2", "--stride and --against are mutually"),
    ("convolve --learn-from cat.jpg cat.jpg --kernel blur", "--kernel and --learn-from are"),
    ("convolve --learn-from cat.jpg cat.jpg -o k.npy", "-o and --learn-from are mutually"),
    ("convolve --learn-from cat.jpg cat.jpg --padding same", "--padding and --learn-from are"),
    ("transfer-learn photos -o b --from-scratch resnet-18 --backbone squeezenet-1.1", "--backbone"),
    ("transfer-learn photos -o b --from-scratch lenet-5 --runtime openvino", "--runtime are mut"),
    ("transfer-learn photos -o b --from-scratch lenet-5 --precision int8", "--precision are mut"),
    (
        "train-detector voc:photos -o b --architecture localizer-lite0 --multi-scale",
        "--multi-scale requires an --architecture for any size. localizer-lite0 takes 224x224 only",
    ),
    ("transfer-learn photos -o b --split-file pairs.csv --test 0.3", "--test and --split-file are"),
    ("train-detector voc:photos -o b --anchors kmeans", "--anchors requires an --architecture of"),
    ("train-detector voc:photos -o b --box-loss ciou", "--box-loss requires an --architecture of"),
    ("train-detector voc:photos -o b --from-scratch --frozen-epochs 3", "--frozen-epochs requires"),
    ("train-detector voc:a -o b --validation-data voc:c --validation 0.3", "--validation and"),
    ("train-face photos -o b --dimensions 64", "--dimensions requires --network embedding-small."),
    ("train-face photos -o b --loss head --people 3", "--people requires a --loss that trains"),
    ("train-face photos -o b --loss head --epochs 3", "--epochs requires a --loss that trains"),
    ("train-face photos -o b --loss logistic --margin 0.3", "--margin requires a --loss of"),
    (
        "train-face photos -o b --network embedding-small --crop none --detector mtcnn",
        "--detector requires --crop face.",
    ),
    # Names of files where folders are meant, and of no image where one image is.
    ("stylize cat.jpg --style cat.jpg --fast -o slow.txt", "Give slow.png, or a folder: slow.txt/"),
    ("stylize cat.jpg --style cat.jpg --fast -o a.jpgg", "Did you mean '.jpg'"),
    (
        "stylize photos --style cat.jpg --fast -o out.csv",
        "-o must name a folder. Received: out.csv.",
    ),
    ("detect photos --annotate drawn.jpg", "--annotate must name a folder. Received: drawn.jpg."),
    ("detect photos --crops cut.png", "--crops must name a folder. Received: cut.png."),
    ("detect photos -o yolo:labels.txt", "yolo: must name a folder. Received: labels.txt."),
    ("explain photos --overlays heat.jpg", "--overlays must name a folder. Received: heat.jpg."),
    ("explain photos --maps heat.npy", "--maps must name a folder. Received: heat.npy."),
    ("classify photos --sort-into s.csv", "--sort-into must name a folder. Received: s.csv."),
    ("transfer-learn photos -o m.keras", "-o must name a folder. Received: m.keras."),
]


@pytest.fixture
def here(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "photos").mkdir()
    shutil.copy(examples / "cat.jpg", tmp_path)
    shutil.copy(examples / "cat.jpg", tmp_path / "photos")
    (tmp_path / "pairs.csv").write_text("a,b\ncat.jpg,cat.jpg\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("line", "said"), REFUSED, ids=[line for line, _ in REFUSED])
def test_an_option_that_would_be_ignored_is_refused(
    here: Path, run_cnnkit_here, line, said
) -> None:
    before = sorted(here.rglob("*"))
    done = run_cnnkit_here(*shlex.split(line))
    assert done.returncode == 2, done.stdout
    assert said in done.stderr.splitlines()[-1]
    assert done.stdout == ""
    assert sorted(here.rglob("*")) == before


def test_the_same_options_in_the_right_company_run(here: Path, run_cnnkit) -> None:
    for line in (
        "stylize cat.jpg --style cat.jpg --fast --size 64 -o slow.txt/",
        "detect photos --classes dog,cat --confidence cat=0.5 --where cat>=1 -o r.jsonl",
        "detect photos --annotate drawn.v2",
        "network --list -v",
        "convolve --learn-from cat.jpg cat.jpg --kernel-size 1x1 --steps 2",
    ):
        done = run_cnnkit(*line.split())
        assert done.returncode == 0, (line, done.stderr)
    assert (here / "slow.txt" / "cat.png").is_file()
    assert (here / "drawn.v2" / "cat.jpg").is_file()
