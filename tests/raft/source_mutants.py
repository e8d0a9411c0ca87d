"""Mutants that are one change of the source each: what is replaced, by what, and what catches it."""

from __future__ import annotations

import importlib
import inspect
import types
from types import ModuleType
from typing import Any

import attrs
import pytest


@attrs.frozen
class SourceMutant:
    """In `module`, below `bleepstore`, `new` stands for `old`, which is there once."""

    module: str
    old: str
    new: str
    #: "scenario NAME", "seed NUMBER [MIX]" (of core nodes), "node seed NUMBER [MIX]" (of real nodes), "check NAME",
    #: "test MODULE NAME" (one of tests/raft that takes no fixture);
    #: or "harmless: REASON".
    caught_by: str


def put_in_place(patch: pytest.MonkeyPatch, mutant: SourceMutant) -> None:
    """Give the classes of the module the functions that the changed source defines. What reads the module later, and
    what has imported its classes, sees them.
    """
    module = importlib.import_module(f"bleepstore.{mutant.module}")
    source = inspect.getsource(module)
    assert source.count(mutant.old) == 1, f"{mutant.old!r} is {source.count(mutant.old)} times in {mutant.module}"
    changed = ModuleType(module.__name__)
    changed.__file__ = module.__file__
    with pytest.MonkeyPatch.context() as during:
        during.setitem(importlib.import_module("sys").modules, module.__name__, changed)
        exec(compile(source.replace(mutant.old, mutant.new), str(module.__file__), "exec"), changed.__dict__)
    count = 0
    for name, value in list(vars(module).items()):
        other = vars(changed).get(name)
        if isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
            if other is not None and _differ(value, other):
                patch.setattr(value, "__code__", other.__code__)
                count += 1
        elif isinstance(value, type) and value.__module__ == module.__name__:
            count += _change_class(patch, value, other)
    assert count, f"{mutant.new!r} changes no function of {mutant.module}"


def _change_class(patch: pytest.MonkeyPatch, right: type, wrong: Any) -> int:
    count = 0
    for name, value in list(vars(right).items()):
        one, other = (_function(found) for found in (value, vars(wrong).get(name)))
        if one is not None and other is not None and _differ(one, other):
            # Its code in the right function: so `super()` and the names of the module are what they were.
            patch.setattr(one, "__code__", other.__code__)
            count += 1
    return count


def _function(value: Any) -> types.FunctionType | None:
    if isinstance(value, property):
        value = value.fget
    elif isinstance(value, staticmethod):
        value = value.__func__
    return value if isinstance(value, types.FunctionType) else None


def _differ(one: types.FunctionType, other: Any) -> bool:
    return bool(one.__code__ != other.__code__ and one.__code__.co_freevars == other.__code__.co_freevars)
