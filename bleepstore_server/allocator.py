"""What becomes of memory that a worker needs no more."""

from __future__ import annotations

import contextlib
import ctypes
import gc

#: The parameters of glibc's `mallopt`, and their values in bytes.
_TRIM_THRESHOLD, _TRIM_BYTES = -1, 8 * 1024 * 1024
_MMAP_THRESHOLD, _MMAP_BYTES = -3, 2 * 1024 * 1024
_ARENA_MAX, _ARENAS = -8, 2
#: So many more objects than were there may be made before the youngest are looked through for cycles.
_YOUNG_OBJECTS = 20_000


def keep_freed_memory() -> None:
    """Have glibc keep up to 8 MiB of freed memory for each of two arenas, and map nothing below 2 MiB by itself.

    A listing of a thousand keys is 290 KB of text and as much of bytes. By default both went back to the system at the
    end of each request, and the next one faulted 140 pages in: a quarter of its processor time. So did the pieces of
    large bodies, of 1 MiB. By default up to eight threads for each processor have an arena of their own, and each would
    keep as much. Other C libraries have no `mallopt`, and stay as they are.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, _TRIM_BYTES)
        mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)
        mallopt(_ARENA_MAX, _ARENAS)


def give_back_freed_memory() -> None:
    """Have glibc give the system back what is free between that which is used: a tenth of a millisecond for each MiB.

    By itself it gives back only what is free at the end of an arena. Large bodies come in pieces of any size, so what
    is between others adds up for hours. Another thread that asks for memory meanwhile waits.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def collect_seldom() -> None:
    """Have Python look for cycles after 20,000 new objects instead of 700.

    Requests leave few cycles behind. But those of 64 connections that wait for one commit are alive together, and each
    collection looks through all that they hold: a tenth of the processor time of a PUT.
    """
    gc.set_threshold(_YOUNG_OBJECTS)
