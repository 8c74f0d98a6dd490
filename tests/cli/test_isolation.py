"""Every command in an empty home, in a folder of planted modules: it runs, and leaves no trace.

The tracer sees what no audit hook does: files and sockets of native libraries.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cnnkit.images import decode, read_bytes
from tests.classification.training.drawings import draw
from tests.faces.astronauts import write_astronauts
from tests.faces.gallery.portraits import write_people
from tests.faces.training.digits import write_digits
from tests.formats.drawn_boxes import draw_boxes
from tests.runtime.planted import plant_modules

# One group is run in its order, with a cold cache of its own.
GROUPS = {
    "classify": ["classify photos -o c.jsonl --report c.html", "classify . -o d.csv"],
    "detect": ["detect photos -o d.jsonl -o coco:d.json --annotate drawn"],
    "explain": ["explain cat.jpg --overlays heat", "explain cat.jpg --class tabby"],
    "visualize": ["visualize patches photos --model squeezenet-1.1 --units 0-3 -o p.csv"],
    "verify-face": ["verify-face passport.jpg selfie.jpg --annotate why.png"],
    "gallery": [
        "gallery enroll g people",
        "gallery identify g photos -o i.jsonl",
        "gallery list g",
        "gallery audit g",
        "gallery calibrate g people --far 0.25",
        "gallery cluster people --sort-into sorted",
        "gallery forget g Eva",
    ],
    "stylize": [
        "stylize cat.jpg --style painting.jpg -o fast.png --fast",
        "stylize cat.jpg --style painting.jpg -o slow.png --size 64 --steps 2",
    ],
    "transfer-learn": [
        "transfer-learn classes -o own --backbone squeezenet-1.1",
        "evaluate --model own classes",
        "classify --model own photos",
    ],
    "train-detector": [
        "train-detector voc:shapes/annotations -o own --size 96 --frozen-epochs 1 --epochs 1",
        "evaluate --model own voc:shapes/annotations --report figures.html",
    ],
    "train-face": [
        "train-face digits -o own --network embedding-small --crop none --size 16 --epochs 1"
    ],
    "train-style": ["train-style photos --style cat.jpg -o own --steps 2 --size 64"],
    "export": ["export squeezenet-1.1 -o a.xml", "export mtcnn --format keras -o finder"],
    "export-onnx": ["export squeezenet-1.1 -o a.onnx"],
    "export-litert": ["export squeezenet-1.1 -o a.tflite"],
    "export-saved-model": ["export squeezenet-1.1 --format saved-model -o saved"],
    "data": [
        "doctor classes --report doctor.html",
        "augment cat.jpg -o sheet.png --recipe strong --count 4",
        "convert-boxes voc:shapes/annotations coco:s.json --pictures shapes/images",
        "doctor voc:shapes/annotations",
    ],
    "look": [
        "models list",
        "models verify",
        "network vgg-16 --diagram vgg.svg",
        "network squeezenet-1.1 --report n.html",
        "convolve cat.jpg --kernel sobel-x -o edges.png",
        'convolve --matrix "1 2; 3 0 | 0 1; 1 1" --against "1 0; 3 0 | 2 1; 1 1"',
        'shapes --input 6x6x3 "conv 2 3x3"',
    ],
}
LIBRARIES = {"export-onnx": "onnxruntime", "export-litert": "ai_edge_litert"}

OPENED = re.compile(r'^\d+ +(open|openat|creat)\(.*?"(?P<path>[^"]*)", [^)]*O_(CREAT|WRONLY|RDWR)')
MADE = re.compile(r'^\d+ +(mkdir|mkdirat|symlink|link|rename)\((?:AT_FDCWD, )?"(?P<path>[^"]*)"')
SOCKET = re.compile(r"^\d+ +(connect|sendto)\(.*AF_INET")
STARTED = re.compile(r'^\d+ +execve\("(?P<path>[^"]*)".*(= 0|<unfinished \.\.\.>)$')
ASKED = ("/bin/uname", "/bin/fc-list")
FAILED = re.compile(r"= -1 E")


@pytest.fixture
def work(tmp_path: Path, examples: Path) -> Path:
    """A folder with all that the commands need, and a module of every name beside it."""
    folder = tmp_path / "work"
    (folder / "photos").mkdir(parents=True)
    for name in ("cat.jpg", "coffee.jpg", "astronaut.jpg"):
        shutil.copy(examples / name, folder / "photos")
    shutil.copy(examples / "cat.jpg", folder)
    shutil.copy(examples / "coffee.jpg", folder / "painting.jpg")
    draw(folder / "classes", count=12)
    write_digits(folder / "digits", each=10)
    draw_boxes(folder / "shapes", count=12)
    write_astronauts(folder, examples)
    write_people(folder / "people", decode(read_bytes(str(examples / "astronaut.jpg"))), photos=4)
    for place in (folder, folder / "photos"):
        plant_modules(place, tmp_path / "mark")
    return folder


def traces(trace: Path, allowed: tuple[Path, ...]) -> list[str]:
    """Return the lines of a trace that write elsewhere, talk to anybody or start a stranger."""
    told = []
    started = 0
    for line in trace.read_text(errors="replace").splitlines():
        if FAILED.search(line):
            continue
        made = OPENED.match(line) or MADE.match(line)
        if made is not None and not _may_write(made["path"], allowed):
            told.append(line)
        if SOCKET.match(line):
            told.append(line)
        if program := STARTED.match(line):
            started += 1
            # The first is the command itself; the others ask the system, see `child_environment`.
            if started > 1 and '"-I"' not in line and not program["path"].endswith(ASKED):
                told.append(line)
    assert started
    return told


def _may_write(path: str, allowed: tuple[Path, ...]) -> bool:
    absolute = path.startswith("/")
    return (
        not absolute
        or "/__pycache__/" in path
        or path.endswith("/__pycache__")
        or path.startswith(("/dev/", "/proc/"))
        or any(path.startswith(str(folder)) for folder in allowed)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPS)
def test_a_command_runs_no_planted_module_and_leaves_no_trace(
    name: str, work: Path, tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    if (tracer := shutil.which("strace")) is None:
        pytest.skip("strace must be installed.")
    if name in LIBRARIES and find_spec(LIBRARIES[name]) is None:
        pytest.skip(f"{LIBRARIES[name]} is not installed.")
    (tmp_path / "temporary").mkdir()
    environment = clean_environment | {
        "TMPDIR": str(tmp_path / "temporary"),
        "CNNKIT_CACHE": str(tmp_path / "cold-cache"),
    }
    assert "CI" not in environment
    for line in GROUPS[name]:
        trace = tmp_path / "trace"
        calls = ["-f", "-qq", "-e", "trace=%file,%network", "-o", str(trace)]
        done = subprocess.run(
            [tracer, *calls, sys.executable, "-m", "cnnkit", *shlex.split(line)],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), f"{line}\n{done.stderr}"
        assert "instead" not in done.stderr, f"{line}\n{done.stderr}"  # of another runtime
        allowed = (work, tmp_path / "temporary", tmp_path / "cold-cache")
        assert traces(trace, allowed) == [], line
        assert list((tmp_path / "home").iterdir()) == [], line
        assert list((tmp_path / "temporary").iterdir()) == [], line
        assert not (tmp_path / "mark").exists(), line


def test_the_trace_of_a_careless_program_is_told(tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    lines = [
        '7 execve("/usr/bin/python", ["python", "-m", "cnnkit"], 0x1 /* 3 vars */) = 0',
        f'7 openat(AT_FDCWD, "{tmp_path}/home/.id", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3',
        f'7 mkdir("{tmp_path}/home/.cache", 0700) = 0',
        "7 connect(4, {sa_family=AF_INET, sin_port=htons(443)}, 16) = 0",
        '8 execve("/usr/bin/python", ["python", "-m", "convert"], 0x1 /* 3 vars */) = 0',
    ]
    harmless = [
        f'7 openat(AT_FDCWD, "{tmp_path}/home/.id", O_WRONLY|O_CREAT) = -1 ENOENT (No such file)',
        f'7 openat(AT_FDCWD, "{tmp_path}/home/.id", O_RDONLY|O_CLOEXEC) = 3',
        f'7 openat(AT_FDCWD, "{tmp_path}/work/rows.jsonl", O_WRONLY|O_CREAT, 0666) = 3',
        '8 execve("/usr/bin/python", ["python", "-I", "-c", "convert"], 0x1 /* 3 vars */) = 0',
        '9 execve("/usr/bin/uname", ["uname", "-p"], 0x1 /* 50 vars */ <unfinished ...>',
        '7 execve("/home/me/bin/python", ["python"], 0x1 /* 3 vars */) = -1 ENOENT (No such file)',
    ]
    (tmp_path / "trace").write_text("\n".join(lines + harmless))
    assert traces(tmp_path / "trace", (tmp_path / "work",)) == lines[1:]
