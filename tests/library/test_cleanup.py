"""What a failure takes back never hides it."""

from __future__ import annotations

from typing import NoReturn

import pytest

from bleepstore.cleanup import on_error


def _fail() -> NoReturn:
    raise OSError("the file cannot be removed")


def test_the_first_error_is_raised_and_all_is_taken_back(caplog: pytest.LogCaptureFixture) -> None:
    called: list[int] = []
    with pytest.raises(ValueError, match="first"), on_error(_fail, lambda: called.append(1)):
        raise ValueError("first")
    assert called == [1]
    (line,) = caplog.messages
    assert "ValueError('first')" in line
    assert "OSError('the file cannot be removed')" in line


def test_a_block_that_ends_well_takes_nothing_back() -> None:
    with on_error(_fail):
        pass


def test_an_interrupt_of_the_block_takes_back_and_one_of_that_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    called: list[int] = []
    with pytest.raises(KeyboardInterrupt), on_error(lambda: called.append(1)):
        raise KeyboardInterrupt
    assert called == [1]

    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), on_error(interrupted):
        raise ValueError
    assert caplog.messages == []
