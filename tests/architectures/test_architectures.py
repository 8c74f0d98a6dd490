from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import keras
import pytest

from cnnkit import architectures
from cnnkit.errors import UsageError
from cnnkit.runtime import variables_without_memory

FOLDER = Path(architectures.__file__).parent
FAMILIES = sorted(
    p.stem for p in FOLDER.glob("*.py") if p.stem not in ("__init__", "blocks", "feature_roots")
)


def slow_if_deep(name: str) -> object:
    """Mark the networks whose building takes seconds."""
    deep = name.endswith(("-101", "-152", "plain-34", "plain-50", "-56", "-lite4"))
    return pytest.param(name, marks=pytest.mark.slow) if deep else name


@pytest.mark.parametrize("name", map(slow_if_deep, architectures.BUILDERS))
def test_every_name_resolves_to_the_builder_of_that_name(name: str) -> None:
    build = architectures.builder(name)
    assert build.__name__ == name.replace("-", "_").replace(".", "_")
    takes = inspect.signature(build).parameters
    given = {"input_shape": (96, 96, 3), "classes": 3}
    classifies = "arguments" in takes or "classes" in takes
    with variables_without_memory():
        model = build(**(given if classifies else {}))
    assert isinstance(model, keras.Model)
    assert model.name == build.__name__


@pytest.mark.parametrize("family", FAMILIES)
def test_every_builder_of_a_family_has_a_name(family: str) -> None:
    module = import_module(f"cnnkit.architectures.{family}")
    in_table = {target for target in architectures.BUILDERS.values() if f".{family}:" in target}
    made = {
        f"{module.__name__}:{name}"
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if is_builder(module, function)
    }
    assert made and made == in_table


def is_builder(module: object, function: object) -> bool:
    """A function of the module that returns a model and can be called without arguments."""
    signature = inspect.signature(function)
    needs = [p for p in signature.parameters.values() if p.default is p.empty and p.kind < 2]
    returns_model = signature.return_annotation == "keras.Model"
    return function.__module__ == module.__name__ and returns_model and not needs


@pytest.mark.parametrize(
    ("name", "told"),
    [("efficientnet-lite9", "Did you mean 'efficientnet-lite"), ("x", "Known: alexnet")],
)
def test_unknown_name_is_refused_with_advice(name: str, told: str) -> None:
    with pytest.raises(UsageError, match="architecture must be a known name") as refused:
        architectures.builder(name)
    assert told in str(refused.value)


def test_the_table_imports_no_framework() -> None:
    code = (
        "import sys, cnnkit.architectures\n"
        "sys.exit(', '.join({'keras', 'tensorflow', 'jax', 'numpy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("typed", ["vgg16", "VGG-16", "Vgg_16"])
def test_a_builder_is_found_in_any_spelling(typed: str) -> None:
    assert architectures.builder_name(typed) == "vgg-16"
    assert architectures.builder(typed) is architectures.builder("vgg-16")
