"""What is installed: the packages, the data that goes with them, and the wheel itself."""

from __future__ import annotations

import ast
import configparser
import json
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What lies beside a model for the tests and stays out of the wheel.
CHECKOUT_ONLY = ("golden.*", "*.py", "*.pyc")

# What the repository's top level has besides folders.
TOP_LEVEL_FILES = {
    ".gitattributes",
    ".gitignore",
    "CHANGES.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "mkdocs.yml",
    "pyproject.toml",
    "setup.cfg",
}


def configuration() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def lines(section: str, option: str) -> list[str]:
    found = configuration()[section][option].strip().splitlines()
    return [line.strip() for line in found if not line.strip().startswith("#")]


def model_folders() -> list[Path]:
    return sorted(p.parent for p in (ROOT / "models").glob("*/card.json"))


def embedded_files() -> list[Path]:
    """Return every file of the embedded models that a user needs."""
    files = [p for folder in model_folders() for p in folder.rglob("*") if p.is_file()]
    return [p for p in files if not any(fnmatch(p.name, pattern) for pattern in CHECKOUT_ONLY)]


def package_data_files() -> list[Path]:
    """Return every data file inside the package cnnkit."""
    files = [p for p in (ROOT / "cnnkit").rglob("*") if p.is_file()]
    return sorted(p for p in files if p.suffix not in (".py", ".pyc"))


def test_the_list_of_packages_is_the_tree() -> None:
    folders = {p.parent for p in (ROOT / "cnnkit").rglob("*.py")}
    tree = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(lines("options", "packages")) == tree | {"cnnkit_models"}
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_the_top_level_holds_what_it_should_and_nothing_else() -> None:
    """What a program wrote where it was tried has been committed by mistake."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is not a checkout")
    names = listed.stdout.splitlines()
    assert {name for name in names if "/" not in name} == TOP_LEVEL_FILES
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert folders == {".ci", "benchmarks", "cnnkit", "docs", "examples", "models", "tests"}


def test_the_models_are_a_package_of_their_own() -> None:
    assert lines("options", "package_dir") == ["cnnkit_models = models"]
    # Without it, an editable install cannot find the data through importlib.resources.
    assert (ROOT / "models" / "__init__.py").is_file()


def test_every_embedded_file_is_package_data() -> None:
    patterns = lines("options.package_data", "cnnkit_models")
    assert {f.name for f in model_folders()} >= {"efficientnet-lite0", "squeezenet-1.1"}
    for file in embedded_files():
        relative = file.relative_to(ROOT / "models")
        depth = [p for p in patterns if p.count("/") == len(relative.parts) - 1]
        assert any(fnmatch(relative.as_posix(), p) for p in depth), relative
    for folder in model_folders():
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        for pattern in patterns:
            if pattern == "*/labels.txt" and not card.get("classes"):
                continue  # a network without classes has no labels
            if pattern == "*/int8.safetensors" and "int8" not in card:
                continue
            assert list(folder.glob(pattern.removeprefix("*/"))), (folder.name, pattern)


def test_every_data_file_of_the_package_is_package_data() -> None:
    covered = set()
    for package in configuration()["options.package_data"]:
        folder = ROOT.joinpath(*package.split("."))
        if package != "cnnkit_models":
            patterns = lines("options.package_data", package)
            assert all(list(folder.glob(p)) for p in patterns), package
            covered |= {f for p in patterns for f in folder.glob(p)}
    assert [f for f in package_data_files() if f not in covered] == []
    assert ROOT / "cnnkit" / "py.typed" in covered  # type checkers look for it


def test_the_version_can_be_read_without_an_import() -> None:
    tree = ast.parse((ROOT / "cnnkit" / "version.py").read_text(encoding="utf-8"))
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    ]
    assert len(values) == 1
    assert isinstance(ast.literal_eval(values[0]), str)
    assert configuration()["metadata"]["version"] == "attr: cnnkit.version.__version__"


def test_every_library_that_is_imported_is_required() -> None:
    modules = {"opencv-python-headless": "cv2", "pillow": "PIL", "scikit-learn": "sklearn"}
    modules |= {
        "ai-edge-litert": "ai_edge_litert",
        "cykooz-resizer": "cykooz_resizer",
        "pi-heif": "pi_heif",
        "pyyaml": "yaml",
        "prometheus-client": "prometheus_client",
    }
    required = lines("options", "install_requires")
    for extra in ("parquet", "export", "encryption", "remote", "serve", "video", "ray", "heic"):
        required += lines("options.extras_require", extra)
    names = {re.split(r"[ <>=!~]", line)[0].lower() for line in required}
    # JAX is the other backend that Keras may have, instead of TensorFlow; who converts detections
    # to or from supervision has it.
    optional = {"jax", "supervision"}
    known = {modules.get(name, name) for name in names} | optional | {"cnnkit", "cnnkit_models"}
    assert imported_libraries() - set(sys.stdlib_module_names) - known == set()


def imported_libraries() -> set[str]:
    """Return the first names of all imports in the package, those inside functions included."""
    found = set()
    for path in (ROOT / "cnnkit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add((node.module or "").partition(".")[0])
    return found


def copy_of_the_sources(folder: Path) -> Path:
    """Copy what the distributions are made of, so that no earlier build can leak into them."""
    copy = folder / "sources"
    leave_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=leave_out)
    return copy


def build(kind: str, folder: Path, with_weights: bool = True) -> Path:
    """Build a distribution with this environment's setuptools and return its path.

    Without the weights, which take long to compress, their files are there and empty.
    """
    sources = copy_of_the_sources(folder)
    if not with_weights:
        for file in (sources / "models").glob("*/*.safetensors"):
            file.write_bytes(b"")
    program = f"import setuptools.build_meta as backend, sys; backend.build_{kind}(sys.argv[1])"
    target = folder / kind
    target.mkdir()
    subprocess.run(
        [sys.executable, "-c", program, str(target)],
        cwd=sources,
        check=True,
        capture_output=True,
    )
    return next(target.iterdir())


def test_the_wheel_holds_the_packages_and_the_models_and_nothing_else(tmp_path: Path) -> None:
    wheel = build("wheel", tmp_path, with_weights=False)
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if ".dist-info/" not in n}
    code = {p.relative_to(ROOT).as_posix() for p in (ROOT / "cnnkit").rglob("*.py")}
    data = {p.relative_to(ROOT).as_posix() for p in package_data_files()}
    models = {f"cnnkit_{p.relative_to(ROOT).as_posix()}" for p in embedded_files()}
    assert names == code | data | models | {"cnnkit_models/__init__.py"}


@pytest.mark.slow
def test_the_source_distribution_holds_the_converters(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    converters = {p.relative_to(ROOT).as_posix() for p in (ROOT / "models/convert").glob("*.py")}
    wanted = {"setup.cfg", "pyproject.toml", "Makefile", "LICENSE", "tests/test_packaging.py"}
    assert converters
    assert names >= converters | wanted | {p.relative_to(ROOT).as_posix() for p in embedded_files()}
    assert not [n for n in names if n.endswith(".pyc")]


@pytest.mark.slow
def test_the_wheel_classifies_in_an_empty_environment(
    tmp_path: Path, examples: Path, clean_environment: dict[str, str]
) -> None:
    """Installed away from the checkout, with no network for the run: the images get names."""
    place = tmp_path / "environment"
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, str(build("wheel", tmp_path))], check=True, cwd=tmp_path)
    images = shutil.copytree(examples, tmp_path / "pictures")
    done = subprocess.run(
        [place / "bin" / "cnnkit", "classify", images.name, "--format", "jsonl"],
        cwd=tmp_path,
        env=clean_environment | offline() | {"CNNKIT_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    labels = {Path(row["path"]).name: row["label"] for row in rows if "path" in row}
    assert sorted(labels) == sorted(p.name for p in examples.glob("*.jpg"))
    assert "cat" in labels["cat.jpg"].lower()
    assert labels["coffee.jpg"] == labels["coffee-rotated.jpg"]


def offline() -> dict[str, str]:
    """Return variables that send every polite download into a closed door."""
    door = "http://127.0.0.1:9"
    return {name: door for name in ("http_proxy", "https_proxy", "all_proxy")}
