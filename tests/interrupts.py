"""Interrupts (KeyboardInterrupt) of the main thread at a moment when they did harm."""

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
