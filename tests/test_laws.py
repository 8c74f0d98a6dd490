"""The laws of the house, read off the source: floors, builders, start-up, printing, process state.

Every checker is a function from sources to the list of what breaks its law, so that it is
tested here on small bad sources as well as run on the package.
"""

from __future__ import annotations

import ast
import graphlib
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest

K = TypeVar("K")
T = TypeVar("T")

PACKAGE = Path(__file__).resolve().parents[1] / "cnnkit"

# The floor of every module; a package counts as one. A module imports from lower floors only.
FLOORS = {
    **dict.fromkeys(
        (
            "errors",
            "argument_types",
            "results",
            "boxes",
            "metrics",
            "calibration",
            "version",
            "names",
            "neighbors",
            "last_read",
        ),
        0,
    ),
    **dict.fromkeys(("images", "architectures", "runtime", "storage", "writers"), 1),
    **dict.fromkeys(("sorting", "formats"), 1),
    **dict.fromkeys(
        (
            "bundles",
            "cluster",
            "pipeline",
            "folder_job",
            "isolation",
            "sorting_plan",
            "embedding_index",
            "losses",
            "data",
            "video",
        ),
        2,
    ),
    **dict.fromkeys(("reports", "exporting"), 2),
    **dict.fromkeys(("training", "diagnosis", "lab"), 3),
    **dict.fromkeys(("classification", "detection", "faces", "style"), 4),
    **dict.fromkeys(("explanation", "serving"), 4),
    "commands": 5,
    **dict.fromkeys(("cli", "__init__", "__main__"), 6),
}
CAPABILITIES = 4

# The libraries of the modules that promise to need little; no entry: no promise.
LIBRARIES: dict[str, set[str]] = {
    "errors": set(),
    "argument_types": set(),
    "version": set(),
    "names": set(),
    "results": {"numpy", "supervision"},  # the latter where a user has it
    "boxes": {"numpy"},
    "neighbors": {"numpy"},
    "metrics": {"numpy"},
    "images": {"numpy", "cv2", "PIL", "cykooz_resizer", "simplejpeg", "pi_heif"},
    "architectures": {"keras"},
}

# What a builder may take from Keras: layers, operations, and what describes a model.
KERAS_FOR_BUILDERS = {"layers", "ops", "Input", "KerasTensor", "Model", "initializers"}

HEAVY = (
    "tensorflow keras jax jaxlib torch openvino numpy scipy sklearn pandas pyarrow cv2 PIL "
    "matplotlib rich albumentations safetensors jinja2 simplejpeg pi_heif cykooz_resizer"
).split()
NEVER_AT_HELP = "tensorflow keras numpy cv2 openvino matplotlib PIL rich".split()

BACKEND_NAMES = {"GradientTape", "value_and_grad", "jax.grad", "jax.jit", "tensorflow.function"}
PRINTING_NAMES = {"print", "sys.stdout", "sys.__stdout__", "sys.stderr.write", "rich.print"}
# Libraries that would write into the home folder, or send, if nobody kept them from it.
TALKATIVE = {"onnxruntime", "openvino", "openvino_telemetry", "ray"}
# What starts a process; multiprocessing and its like are none of ours at all.
STARTING_NAMES = {
    *"subprocess multiprocessing ProcessPoolExecutor pty os.system os.popen os.fork".split(),
    *"os.forkpty os.posix_spawn os.posix_spawnp os.startfile".split(),
    *(f"os.{how}{form}" for how in ("exec", "spawn") for form in "l le lp lpe v ve vp vpe".split()),
}
ENVIRONMENT_NAMES = {"os.environ", "os.environb", "os.getenv", "os.putenv", "os.unsetenv"}


@dataclass(frozen=True)
class Source:
    """One file of the package.

    Attributes:
        name: Dotted, such as ``cnnkit.images.decode``; a package's own name for its __init__.
        tree: Its syntax tree.
        is_package: It is an __init__.py.
    """

    name: str
    tree: ast.Module
    is_package: bool = False

    @property
    def module(self) -> str:
        """The module of the floors' table that the file belongs to."""
        return top(self.name)


@dataclass(frozen=True)
class Import:
    """A dotted name that a file imports, or names as a string to be imported later."""

    line: int
    target: str
    at_start: bool
    in_own_process: bool = False


def once_for_all(generate: Callable[[K], Iterator[T]]) -> Callable[[K], tuple[T, ...]]:
    """Keep what a generator gives: each file is looked at by many laws."""
    return cache(lambda one: tuple(generate(one)))


@cache
def read_sources() -> list[Source]:
    sources = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["cnnkit", *path.relative_to(PACKAGE).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        sources.append(Source(name, ast.parse(path.read_text(encoding="utf-8")), is_package))
    return sources


def top(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@once_for_all
def nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """Yield every node below `tree`, and whether it runs when the file is imported."""
    yield from nodes_below(tree, True)


def nodes_below(tree: ast.AST, at_start: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(tree):
        runs = at_start and not (isinstance(child, ast.If) and is_type_checking(child.test))
        yield child, runs
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from nodes_below(child, runs and not function)


def is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test).endswith("TYPE_CHECKING")


@once_for_all
def imports(source: Source) -> Iterator[Import]:
    """Yield the file's imports, those inside functions and in tables of names included."""
    programs = set(programs_started(source.tree))
    for node, at_start in nodes(source.tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(line, alias.name, at_start)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Import(line, f"{origin(source, node)}.{alias.name}", at_start)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.fullmatch(r"cnnkit(\.\w+)+(:\w+)?", node.value):
                yield Import(line, node.value.replace(":", "."), False, node in programs)


def programs_started(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield the names of modules that run in a process of their own.

    They stand after ``"-m"`` in a list, first in a list that is passed as ``conversion``, or first
    in a call of ``run_module``.
    """
    for node, _ in nodes(tree):
        if isinstance(node, ast.keyword) and node.arg == "conversion":
            yield from node.value.elts[:1] if isinstance(node.value, ast.List) else ()
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "run_module":
            yield from node.args[:1]
        if isinstance(node, ast.List | ast.Tuple):
            for option, name in itertools.pairwise(node.elts):
                if isinstance(option, ast.Constant) and option.value == "-m":
                    yield name


def origin(source: Source, node: ast.ImportFrom) -> str:
    """Return the absolute name of the module that a ``from`` import names."""
    if not node.level:
        return node.module or ""
    parts = source.name.split(".") + (["__init__"] if source.is_package else [])
    return ".".join(parts[: -node.level] + ([node.module] if node.module else []))


def own_imports(source: Source, known: set[str]) -> Iterator[tuple[Import, str]]:
    """Yield the imports from cnnkit itself, each with the file it leads to."""
    for found in imports(source):
        if found.target.split(".")[0] != "cnnkit" or found.target == "cnnkit.__version__":
            continue
        target = found.target
        while target not in known and target.count(".") > 1:
            target = target.rpartition(".")[0]
        if target not in known and found.target.count(".") == 1 and top(target) not in FLOORS:
            target = "cnnkit"  # one of the lazy public names
        yield found, target


def place(source: Source, line: int) -> str:
    return f"{source.name}:{line}"


def without_a_floor(sources: list[Source]) -> list[str]:
    return [s.name for s in sources if s.module not in FLOORS]


def upward_imports(sources: list[Source]) -> list[str]:
    """Law 1: only from lower floors; capabilities never import each other."""
    known, broken = {s.name for s in sources}, []
    for source in sources:
        floor = FLOORS.get(source.module, -1)
        for found, target in own_imports(source, known):
            there = FLOORS.get(top(target), 99)
            if source.module == top(target) or there < floor:
                continue
            if there > floor or floor == CAPABILITIES:
                broken.append(f"{place(source, found.line)} imports {found.target}")
    return broken


def circles(sources: list[Source]) -> list[str]:
    """Law 1: no circle between the modules of a floor, nor between the files of a package."""
    known = {s.name for s in sources}
    modules: dict[str, set[str]] = {}
    files: dict[str, set[str]] = {}
    for source in sources:
        for found, target in own_imports(source, known):
            if found.in_own_process:
                continue
            if top(target) != source.module:
                modules.setdefault(source.module, set()).add(top(target))
            elif target != source.name:
                files.setdefault(source.name, set()).add(target)
    return [" -> ".join(c) for graph in (modules, files) if (c := circle(graph))]


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def foreign_libraries(sources: list[Source]) -> list[str]:
    """Law 1: the modules that promise to need little import only what they promise."""
    broken = []
    for source in sources:
        allowed = LIBRARIES.get(source.module)
        for found in imports(source):
            library = found.target.split(".")[0]
            known = library in sys.stdlib_module_names or library == "cnnkit"
            if allowed is not None and not known and library not in allowed:
                broken.append(f"{place(source, found.line)} imports {library}")
    return broken


@once_for_all
def dotted_names(source: Source) -> Iterator[tuple[int, str]]:
    """Yield every name and attribute as the module that it comes from spells it.

    ``import tensorflow as tf; tf.function`` and ``from tensorflow import function`` both give
    ``tensorflow.function``.
    """
    aliases: dict[str, str] = {}
    for node, _ in nodes(source.tree):
        if isinstance(node, ast.Import):
            aliases |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom):
            full = {a.asname or a.name: f"{origin(source, node)}.{a.name}" for a in node.names}
            aliases |= full
            yield from ((node.lineno, name) for name in full.values())
    for node, _ in nodes(source.tree):
        if isinstance(node, ast.Name | ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            yield node.lineno, aliases.get(first, first) + (f".{rest}" if rest else "")


def used_names(sources: list[Source], forbidden: set[str], except_in: set[str]) -> list[str]:
    """Return where a forbidden name, or an attribute of it, is used outside some modules."""
    broken, words = [], "|".join(map(re.escape, sorted(forbidden)))
    hit = re.compile(rf"(?:^|\.)(?:{words})(?:\.|$)").search
    for source in sources:
        if source.module in except_in:
            continue
        for line, name in dotted_names(source):
            if hit(name):
                broken.append(f"{place(source, line)} uses {name}")
    return sorted(set(broken))


def framework_in_builders(sources: list[Source]) -> list[str]:
    """Law 2: builders take layers and operations from Keras, and nothing else."""
    broken = []
    for source in sources:
        for line, name in dotted_names(source):
            parts = name.split(".")
            if source.module != "architectures" or parts[0] != "keras" or len(parts) < 2:
                continue
            if parts[1] not in KERAS_FOR_BUILDERS:
                broken.append(f"{place(source, line)} uses {name}")
    return sorted(set(broken))


def backend_outside_runtime(sources: list[Source]) -> list[str]:
    """Law 2: gradients and compilation belong to runtime."""
    return used_names(sources, BACKEND_NAMES, {"runtime"})


def weights_in_builders(sources: list[Source]) -> list[str]:
    """Law 2: a builder never loads a weight."""
    builders = [s for s in sources if s.module == "architectures"]
    return used_names(builders, {"load_weights", "set_weights", "load_model", "get_file"}, set())


def heavy_at_start(sources: list[Source]) -> list[str]:
    """Law 4: what the command line and `import cnnkit` import at module level is light.

    What a command's --help loads is followed through cnnkit: from the doorways and from the
    modules that the table of commands names. A file of cli that a command imports when it runs
    may import more of cnnkit, but no heavy library itself.
    """
    by_name = {s.name: s for s in sources}
    waiting = [n for n in ("cnnkit", "cnnkit.__main__", "cnnkit.cli") if n in by_name]
    if "cnnkit.cli" in by_name:
        named = {i.target for i in imports(by_name["cnnkit.cli"]) if not i.at_start}
        waiting += sorted(named & set(by_name))
    seen = set(waiting)
    while waiting:
        source = by_name[waiting.pop()]
        reached = {t for i, t in own_imports(source, set(by_name)) if i.at_start}
        reached |= {".".join(t.split(".")[:n]) for t in reached for n in range(1, t.count(".") + 1)}
        waiting += sorted((reached & set(by_name)) - seen)
        seen |= reached
    return [
        f"{place(source, found.line)} imports {found.target}"
        for source in sources
        for found in imports(source)
        if found.at_start and (source.name in seen or source.module == "cli")
        if found.target.split(".")[0] in HEAVY
    ]


def printing(sources: list[Source]) -> list[str]:
    """Law 5: only the command line prints."""
    broken = used_names(sources, PRINTING_NAMES, {"cli"})
    for source in sources:
        for found in imports(source):
            if found.target.split(".")[0] == "click" and source.module != "cli":
                broken.append(f"{place(source, found.line)} imports click")
    return broken


def environment_outside_runtime(sources: list[Source]) -> list[str]:
    """Law 6: environment variables are read and set in runtime only."""
    return used_names(sources, ENVIRONMENT_NAMES, {"runtime"})


def talkative_by_another_door(sources: list[Source]) -> list[str]:
    """Law 6: what must be silenced before its import has one door, `runtime.process`."""
    return [
        f"{place(source, found.line)} imports {found.target}"
        for source in sources
        for found in imports(source)
        if source.name != "cnnkit.runtime.process" and found.target.split(".")[0] in TALKATIVE
    ]


def processes_outside_children(sources: list[Source]) -> list[str]:
    """Law 3: one module starts processes, all of them isolated; one forks this one."""
    others = [source for source in sources if source.name != "cnnkit.runtime.children"]
    forking = [source for source in others if source.name == "cnnkit.cli.last_words"]
    others = [source for source in others if source not in forking]
    return used_names(others, STARTING_NAMES, set()) + used_names(
        forking, STARTING_NAMES - {"os.fork"}, set()
    )


def flags_outside_cli(sources: list[Source]) -> list[str]:
    """Law 5: messages name parameters; only the command line writes them as its flags."""
    flag = re.compile(r"(?<![\w-])--[a-z]|(?<![\w-])-o(?![\w-])")
    broken = []
    for source in sources:
        documented = {id(text) for text in docstrings(source.tree)}
        for node, _ in nodes(source.tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if source.module == "cli" or id(node) in documented or not isinstance(text, str):
                continue
            if flag.search(text):
                broken.append(f"{place(source, node.lineno)} says {text!r}")
    return broken


def class_names_for_two_things(sources: list[Source]) -> list[str]:
    """No class name stands for two things, those of nested and private classes included."""
    defined: dict[str, list[str]] = {}
    for source in sources:
        for node, _ in nodes(source.tree):
            if isinstance(node, ast.ClassDef):
                defined.setdefault(node.name, []).append(place(source, node.lineno))
    return [
        f"{name}: {', '.join(places)}"
        for name, places in sorted(defined.items())
        if len(places) > 1
    ]


def commands_importing_commands(sources: list[Source]) -> list[str]:
    """No command imports another: what several share lies beside them."""
    known = {s.name for s in sources}
    tables = [s for s in sources if s.module == "cli" and s.is_package]
    named = {i.target for s in tables for i in imports(s) if not i.at_start} & known
    return [
        f"{place(source, found.line)} imports {target}"
        for source in sources
        if source.name in named and not source.is_package
        for found, target in own_imports(source, known)
        if target in named - {source.name}
    ]


def docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield the texts that stand by themselves, such as docstrings."""
    for node, _ in nodes(tree):
        if isinstance(node, ast.Expr):
            yield node.value


Checker = Callable[[list[Source]], list[str]]
CHECKERS: list[Checker] = [
    without_a_floor,
    upward_imports,
    circles,
    foreign_libraries,
    framework_in_builders,
    backend_outside_runtime,
    weights_in_builders,
    heavy_at_start,
    printing,
    environment_outside_runtime,
    processes_outside_children,
    talkative_by_another_door,
    flags_outside_cli,
    commands_importing_commands,
    class_names_for_two_things,
]


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda c: c.__name__)
def test_the_package_keeps_the_law(checker: Checker) -> None:
    assert checker(read_sources()) == []


def test_the_sources_are_all_read() -> None:
    names = {s.name for s in read_sources()}
    assert {"cnnkit", "cnnkit.errors", "cnnkit.architectures", "cnnkit.runtime"} <= names
    assert len(names) == len(list(PACKAGE.rglob("*.py")))


# Files of a small package, as NAME: SOURCE, and the law that they break.
BROKEN: list[tuple[Checker, dict[str, str]]] = [
    (without_a_floor, {"cnnkit.helpers": ""}),
    (upward_imports, {"cnnkit.images.decode": "from cnnkit.classification import Classifier"}),
    (upward_imports, {"cnnkit.images.decode": "from cnnkit import classification"}),
    (upward_imports, {"cnnkit.images.decode": "from cnnkit import Classifier"}),
    (upward_imports, {"cnnkit.images.decode": "def f():\n    import cnnkit.pipeline"}),
    (upward_imports, {"cnnkit.images.decode": "from .. import pipeline"}),
    (upward_imports, {"cnnkit.results": "from ..cnnkit.writers import a\nfrom .writers import b"}),
    (upward_imports, {"cnnkit.architectures": "TABLE = {'a': 'cnnkit.training:fit'}"}),
    (upward_imports, {"cnnkit.runtime": "run(['python', '-m', 'cnnkit.bundles.convert'])"}),
    (upward_imports, {"cnnkit.classification": "from cnnkit import style"}),
    (upward_imports, {"cnnkit.faces.embed": "from cnnkit.detection import boxes"}),
    (upward_imports, {"cnnkit.classification": "import cnnkit.cli"}),
    (circles, {"cnnkit.images": "import cnnkit.writers", "cnnkit.writers": "import cnnkit.images"}),
    (circles, {"cnnkit.data.a": "from .b import x", "cnnkit.data.b": "from cnnkit.data import a"}),
    (
        circles,
        {"cnnkit.data": "T = {'a': 'cnnkit.data.a:f'}", "cnnkit.data.a": "import cnnkit.data"},
    ),
    (foreign_libraries, {"cnnkit.errors": "import numpy"}),
    (foreign_libraries, {"cnnkit.architectures.vgg": "import tensorflow as tf"}),
    (foreign_libraries, {"cnnkit.architectures.vgg": "def f():\n    from jax import numpy"}),
    (framework_in_builders, {"cnnkit.architectures.vgg": "from keras import applications"}),
    (framework_in_builders, {"cnnkit.architectures.vgg": "import keras\nkeras.backend.backend()"}),
    (backend_outside_runtime, {"cnnkit.style": "import tensorflow as tf\ntf.GradientTape()"}),
    (backend_outside_runtime, {"cnnkit.style": "from jax import grad as g"}),
    (backend_outside_runtime, {"cnnkit.training": "import jax\nf = jax.value_and_grad(g)"}),
    (
        backend_outside_runtime,
        {"cnnkit.training": "import tensorflow as tf\n@tf.function\ndef f(): 0"},
    ),
    (weights_in_builders, {"cnnkit.architectures.vgg": "def f(m):\n    m.load_weights('a')"}),
    (heavy_at_start, {"cnnkit.cli.classify": "import numpy as np"}),
    (heavy_at_start, {"cnnkit": "try:\n    from PIL import Image\nexcept ImportError: 0"}),
    (
        heavy_at_start,
        {"cnnkit.cli": "from cnnkit.results import a", "cnnkit.results": "import numpy"},
    ),
    (
        heavy_at_start,
        {"cnnkit.cli": "import cnnkit.data.a", "cnnkit.data": "import cv2", "cnnkit.data.a": ""},
    ),
    (
        heavy_at_start,
        {
            "cnnkit.cli": "COMMANDS = {'style': 'cnnkit.cli.style'}",
            "cnnkit.cli.style": "from cnnkit.style import f",
            "cnnkit.style": "import keras",
        },
    ),
    (printing, {"cnnkit.classification": "def f():\n    print('a')"}),
    (printing, {"cnnkit.classification": "import click\nclick.echo('a')"}),
    (printing, {"cnnkit.writers": "import sys\nsys.stdout.write('a')"}),
    (printing, {"cnnkit.writers": "from sys import stdout as out"}),
    (printing, {"cnnkit.writers": "from rich import print"}),
    (environment_outside_runtime, {"cnnkit.cli.classify": "import os\nos.environ['A'] = 'b'"}),
    (environment_outside_runtime, {"cnnkit.images": "from os import getenv"}),
    (processes_outside_children, {"cnnkit.runtime.compile": "import subprocess as s\ns.run([])"}),
    (
        processes_outside_children,
        {"cnnkit.data": "from multiprocessing import Pool"},
    ),
    (talkative_by_another_door, {"cnnkit.exporting": "def f():\n    import onnxruntime as ort"}),
    (talkative_by_another_door, {"cnnkit.runtime.compile": "from openvino import preprocess"}),
    (processes_outside_children, {"cnnkit.data": "import os\nos.execv('a', [])"}),
    (processes_outside_children, {"cnnkit.data": "import os\nos.fork()"}),
    (processes_outside_children, {"cnnkit.cli.last_words": "import os\nos.posix_spawn('a')"}),
    (
        class_names_for_two_things,
        {"cnnkit.style": "class Settings: 0", "cnnkit.lab": "def f():\n    class Settings: 0"},
    ),
    (
        commands_importing_commands,
        {
            "cnnkit.cli": "T = {'a': 'cnnkit.cli.a', 'b': 'cnnkit.cli.b'}",
            "cnnkit.cli.a": "",
            "cnnkit.cli.b": "def f():\n    from cnnkit.cli.a import g",
        },
    ),
    (flags_outside_cli, {"cnnkit.data": "raise UsageError('--top-k must be at least 1')"}),
    (flags_outside_cli, {"cnnkit.commands.detect": "def f(a):\n    return f'Choose {a} with -o.'"}),
]

KEPT = {
    "cnnkit": "from cnnkit.errors import E\nHOMES = {'a': 'cnnkit.classification'}",
    "cnnkit.errors": "import re\nclass E(Exception): 0",
    "cnnkit.results": "import numpy as np\nfrom cnnkit import __version__",
    "cnnkit.architectures": "TABLE = {'a': 'cnnkit.architectures.vgg:vgg16'}",
    "cnnkit.architectures.vgg": "import keras\nfrom keras import layers, ops\nkeras.Input(1)",
    "cnnkit.runtime.process": "import os\nos.environ['A'] = 'b'",
    "cnnkit.runtime.compile": "import tensorflow as tf\nf = tf.function(g)",
    "cnnkit.runtime.children": "import subprocess\nsubprocess.run(['-I'])",
    "cnnkit.bundles.open": "source(conversion=['cnnkit.bundles.convert', 'a'])",
    "cnnkit.bundles.convert": "from cnnkit.bundles.open import a",
    "cnnkit.writers": "'''See cnnkit.cli, --a.'''\nfrom cnnkit.results import a\nfile.write('a')",
    "cnnkit.classification": "from cnnkit import images, pipeline\nimport numpy\nblueprint(1)",
    "cnnkit.commands.classify": "import cnnkit.results",
    "cnnkit.cli": "import click\nTABLE = {'classify': 'cnnkit.cli.classify'}",
    "cnnkit.cli.classify": "def f():\n    from cnnkit.classification import C\n    print('--a')",
}


def parse_all(texts: dict[str, str]) -> list[Source]:
    """Parse small sources; a name that has others below it is a package."""
    return [
        Source(name, ast.parse(text), any(other.startswith(f"{name}.") for other in texts))
        for name, text in texts.items()
    ]


@pytest.mark.parametrize(("checker", "texts"), BROKEN)
def test_a_checker_finds_what_breaks_its_law(checker: Checker, texts: dict[str, str]) -> None:
    assert checker(parse_all(texts)) != []


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda c: c.__name__)
def test_a_checker_leaves_good_sources_alone(checker: Checker) -> None:
    assert checker(parse_all(KEPT)) == []


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda c: c.__name__)
def test_every_checker_has_a_source_that_breaks_its_law(checker: Checker) -> None:
    assert checker in {c for c, _ in BROKEN}


def imported_by(*arguments: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """Run Python in a process of its own and return it with the modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done, {line.rpartition("|")[2].strip() for line in lines[1:]}  # below the heading


def command_lines() -> list[tuple[str, ...]]:
    """Return the words of every command and group, the empty tuple first."""
    import click

    from cnnkit.cli import group

    def below(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                yield from below(command.get_command(context, name), (*words, name))

    return list(below(group, ()))


# Shows every command's help one after the other, and says what each has loaded by its end.
HELP = """
import json, sys
from cnnkit.cli import group
for words in json.loads(sys.argv[1]):
    group.main([*words, "--help"], prog_name="cnnkit", standalone_mode=False)
    print("LOADED", json.dumps([words, sorted(set(sys.argv[2:]) & set(sys.modules))]))
"""


def test_help_loads_nothing_heavy() -> None:
    words = command_lines()
    assert ("classify",) in words
    done = subprocess.run(
        [sys.executable, "-c", HELP, json.dumps(words), "click", *NEVER_AT_HELP],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") == len(words)
    told = [line.removeprefix("LOADED ") for line in done.stdout.splitlines() if "LOADED " in line]
    assert [json.loads(line) for line in told] == [[[*command], ["click"]] for command in words]


def test_the_program_itself_loads_nothing_heavy() -> None:
    done, modules = imported_by("-m", "cnnkit", "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout
    assert "click" in modules and not modules & set(NEVER_AT_HELP)
