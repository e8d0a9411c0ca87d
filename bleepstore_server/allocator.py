"""What the C library does with memory that is freed."""

from __future__ import annotations

import contextlib
import ctypes

#: The parameters of glibc's `mallopt`, and their values in bytes.
_TRIM_THRESHOLD, _TRIM_BYTES = -1, 8 * 1024 * 1024
_MMAP_THRESHOLD, _MMAP_BYTES = -3, 2 * 1024 * 1024


def keep_freed_memory() -> None:
    """Have glibc keep up to 8 MiB of freed memory for each of its arenas, and map nothing below 2 MiB by itself.

    A listing of a thousand keys is 290 KB of text and as much of bytes. By default both went back to the system at the
    end of each request, and the next one faulted 140 pages in: a quarter of its processor time. So did the pieces of
    large bodies, of 1 MiB. Other C libraries have no `mallopt`, and stay as they are.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, _TRIM_BYTES)
        mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)
