"""What the threads of a worker do, by looking again and again.

A sampling profile costs the same whatever runs, sees every thread (`sys._current_frames`), and needs no package.
cProfile sees one thread, and slows what it sees.
"""

from __future__ import annotations

import collections
import sys
import threading
import time
from types import FrameType

_SECONDS_BETWEEN = 0.01
_MAX_DEPTH = 200


def sample(seconds: float) -> str:
    """Look at all other threads of this process for so long. A line for each stack, the outermost function first, with
    how often it was seen: "folded" stacks, which flame graphs are drawn of."""
    counts: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + seconds
    own = threading.get_ident()
    while time.monotonic() < end:
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident != own:
                counts[";".join((names.get(ident, "thread"), *_stack(frame)))] += 1
        time.sleep(_SECONDS_BETWEEN)
    return "".join(f"{stack} {count}\n" for stack, count in counts.most_common())


def _stack(frame: FrameType | None) -> list[str]:
    found: list[str] = []
    while frame is not None and len(found) < _MAX_DEPTH:
        code = frame.f_code
        found.append(f"{frame.f_globals.get('__name__', '?')}.{code.co_qualname}".replace(";", ","))
        frame = frame.f_back
    return found[::-1]
