"""A bar on a terminal if tqdm is there, else a line now and then."""

from __future__ import annotations

import io
import sys

import pytest

from bleepstore_server.progress import shown_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("has_tqdm", [True, False])
@pytest.mark.parametrize("terminal", [True, False])
def test_what_the_work_raises_is_its_own(monkeypatch: pytest.MonkeyPatch, has_tqdm: bool, terminal: bool) -> None:
    """An ImportError too, which is how a missing extra is told."""
    monkeypatch.setattr(sys, "stderr", stderr := Terminal() if terminal else io.StringIO())
    if not has_tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)

    def work() -> None:
        with shown_progress("backup") as progress:
            progress(1, 2)
            progress(2, 2)
            raise ImportError("of the work")

    with pytest.raises(ImportError, match="of the work"):
        work()
    assert ("backup" in stderr.getvalue()) == (has_tqdm and terminal)
