"""Every deliberate error states the fact and the remedy, and has its own exit code."""

from __future__ import annotations

import pickle

import pytest

from ljwx_pipeline import errors
from ljwx_pipeline.errors import BundleError, LjwxError, ModelError


def tree(base: type[LjwxError]) -> list[type[LjwxError]]:
    return [cls for child in base.__subclasses__() for cls in (child, *tree(child))]


@pytest.mark.parametrize("kind", [LjwxError, *tree(LjwxError)])
def test_an_error_says_the_fact_and_the_remedy(kind: type[LjwxError]) -> None:
    error = kind("tick is 74 s old, limit 60 s", "new orders are paused until the feed recovers")
    assert str(error) == "tick is 74 s old, limit 60 s: new orders are paused until the feed recovers"
    assert (error.fact, error.remedy) == (
        "tick is 74 s old, limit 60 s",
        "new orders are paused until the feed recovers",
    )
    assert error.exit_code > 1


@pytest.mark.parametrize("kind", [LjwxError, *tree(LjwxError)])
def test_an_error_reaches_another_process_whole(kind: type[LjwxError]) -> None:
    told = pickle.loads(pickle.dumps(kind("the disk is full", "free some space")))
    assert (type(told), told.fact, told.remedy) == (kind, "the disk is full", "free some space")


def test_exit_codes_tell_the_kinds_apart() -> None:
    codes = [kind.exit_code for kind in LjwxError.__subclasses__() if kind.__module__ == errors.__name__]
    # a configuration error and the base share the code of a user's mistake
    assert len(codes) == len(set(codes))
    assert BundleError.exit_code == ModelError.exit_code


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = errors.__doc__ or ""
    for kind in tree(LjwxError):
        if kind.__module__ == errors.__name__:
            assert kind.__name__ in drawn
