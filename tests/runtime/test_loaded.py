"""Loaded models: what they say of themselves, and where they stay."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import warnings
from types import SimpleNamespace

import pytest

from cnnkit.errors import UsageError
from cnnkit.runtime.loaded import Loaded


class Reader(Loaded):
    """A model that was loaded."""

    def __init__(self) -> None:
        self.bundle = SimpleNamespace(card=SimpleNamespace(name="letters"))
        self.predictor = SimpleNamespace(runtime="openvino", precision="int8", device="cpu")
        self.more = [1, 2]

    def predict(self, letters: str) -> str:
        """Compute."""
        return letters.upper()


class Portable(Reader):
    """One that says itself what of it passes to another process."""

    def __getstate__(self) -> dict[str, str]:  # type: ignore[override]
        return {"name": self.bundle.card.name}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__init__()  # type: ignore[misc]
        self.bundle.card.name = state["name"] + ", loaded again"


def test_its_text_names_the_model_and_how_it_is_computed() -> None:
    assert repr(Reader()) == "<Reader: letters, openvino, int8, cpu>"


def test_it_is_copied_with_what_it_holds() -> None:
    reader = Reader()
    copied = copy.copy(reader)
    assert type(copied) is Reader and copied is not reader and copied.more is reader.more


@pytest.mark.parametrize("send", [pickle.dumps, copy.deepcopy])
def test_it_stays_in_its_process(send) -> None:
    with pytest.raises(UsageError, match=r"the Reader must stay in the process.*`Reader.load`"):
        send(Reader())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_class_may_say_what_passes_to_another_process(protocol: int) -> None:
    with pytest.raises(UsageError, match="must stay in the process"):
        pickle.dumps(Reader(), protocol)
    there = pickle.loads(pickle.dumps(Portable(), protocol))
    assert there.bundle.card.name == "letters, loaded again"


def test_one_that_is_not_made_yet_can_be_shown() -> None:
    assert "Reader object at" in repr(object.__new__(Reader))


def _asked(reader: Reader, answers) -> None:
    try:
        answers.put(reader.predict("a"))
    except UsageError as error:
        answers.put(str(error))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked")
def test_in_a_forked_process_it_says_so_instead_of_waiting_forever() -> None:
    """Its engine's threads are not there: the first call never came back."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    reader = Reader()
    with warnings.catch_warnings():  # of threads, which this child does not need
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=_asked, args=(reader, answers))
        child.start()
    said = answers.get()
    child.join()
    assert "Received: a call in a process that was forked from it. Call `Reader.load` in" in said
    assert reader.predict("a") == copy.copy(reader).predict("a") == "A"
