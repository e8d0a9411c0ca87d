"""Context managers as decorators of whatever runs: functions, coroutines, generators and classes of tests."""

from __future__ import annotations

import contextlib
import functools
import inspect
import unittest
from collections.abc import Callable
from typing import Any, TypeVar

_Target = TypeVar("_Target", bound=Callable[..., Any])
Blocks = Callable[[], contextlib.AbstractContextManager[Any]]


def decorate(target: _Target, new_block: Blocks) -> _Target:
    """`target`, each run of which is within a block of its own. Raises TypeError for a class without tests."""
    decorated: _Target = (_decorate_class if inspect.isclass(target) else _decorate_function)(target, new_block)
    return decorated


def _decorate_function(target: Any, new_block: Blocks) -> Any:
    made: Any
    if inspect.isasyncgenfunction(target):

        @functools.wraps(target)
        async def made(*args: Any, **options: Any) -> Any:
            with new_block():
                async with contextlib.aclosing(target(*args, **options)) as items:
                    async for item in items:
                        yield item

    elif inspect.iscoroutinefunction(target):

        @functools.wraps(target)
        async def made(*args: Any, **options: Any) -> Any:
            with new_block():
                return await target(*args, **options)

    elif inspect.isgeneratorfunction(target):

        @functools.wraps(target)
        def made(*args: Any, **options: Any) -> Any:
            with new_block():
                return (yield from target(*args, **options))

    else:

        @functools.wraps(target)
        def made(*args: Any, **options: Any) -> Any:
            with new_block():
                return target(*args, **options)

    return made


def _decorate_class(target: Any, new_block: Blocks) -> Any:
    """The class itself: unittest runs a test by `run`, pytest calls `setup_method` before it and `teardown_method`."""
    if issubclass(target, unittest.TestCase):
        target.run = decorate(target.run, new_block)
        return target
    tests = [name for name in dir(target) if name.startswith("test")]
    if not tests:
        raise TypeError(
            f"{target.__name__} has no tests: a class is decorated for its tests; decorate the functions of this one"
        )
    setup, teardown = getattr(target, "setup_method", None), getattr(target, "teardown_method", None)

    def setup_method(self: Any, method: Any) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(new_block())
            _call(setup, self, method)
            self._block_of_test = stack.pop_all()

    def teardown_method(self: Any, method: Any) -> None:
        with self._block_of_test:
            _call(teardown, self, method)

    target.setup_method, target.teardown_method = setup_method, teardown_method
    return target


def _call(function: Any, self: Any, method: Any) -> None:
    """Call one of pytest's functions, which may leave out the argument."""
    if function is not None:
        function(self, *[method][: len(inspect.signature(function).parameters) - 1])
