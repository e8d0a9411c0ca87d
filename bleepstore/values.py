"""How classes of values are made that a request makes anew, and that nobody else has."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from attrs import frozen as statically_frozen
else:
    # attrs looks the name of each field up to get past its own ban, which takes three times as long as all else that
    # makes the object. Type checkers keep the ban. Values that are shared (owners, settings, attributes) are
    # `attrs.frozen`, for a program without a type checker could change them for everybody.
    statically_frozen = functools.partial(attrs.define, unsafe_hash=True)

__all__ = ["statically_frozen"]
