"""Interrupts (KeyboardInterrupt) of the main thread at a moment when they did harm, and systems without threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest

#: The names of threads that a caller waits for.
_CALLING = ("bleepstore-call", "ThreadPoolExecutor")


class InterruptedStart:
    """From now on the main thread is interrupted as it waits for a thread to start that works already: once a method
    is under way, which takes a while. `under_way` has its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, method: str) -> None:
        self.under_way: list[int] = []
        self.is_over = threading.Event()
        self._began = threading.Event()
        start, function = threading.Thread.start, getattr(owner, method)

        def interrupted_start(thread: threading.Thread) -> None:
            start(thread)
            if threading.current_thread() is threading.main_thread() and thread.name.startswith(_CALLING):
                assert self._began.wait(10)
                raise KeyboardInterrupt

        def slow(*arguments: Any, **options: Any) -> Any:
            self.under_way.append(threading.get_ident())
            self._began.set()
            try:
                self.is_over.wait(0.1)
                return function(*arguments, **options)
            finally:
                self.under_way.remove(threading.get_ident())

        monkeypatch.setattr(threading.Thread, "start", interrupted_start)
        monkeypatch.setattr(owner, method, slow)


class NoThreads:
    """In this block the system gives no thread whose name begins with one of these (all, without any); `after` so many
    of them. Or the start of the thread is `interrupted` as it begins to run."""

    def __init__(self, *names: str, after: int = 0, interrupted: bool = False) -> None:
        self._names = names or ("",)
        self._left = after
        self._interrupted = interrupted
        self._patch = pytest.MonkeyPatch()
        #: Those whose start was interrupted.
        self.interrupted: list[threading.Thread] = []

    def __enter__(self) -> NoThreads:
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if not thread.name.startswith(self._names) or self._left:
                self._left -= thread.name.startswith(self._names)
                start(thread)
                return
            if self._interrupted:
                start(thread)
                self.interrupted.append(thread)
                raise KeyboardInterrupt
            raise RuntimeError("can't start new thread")

        self._patch.setattr(threading.Thread, "start", refuse)
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()
