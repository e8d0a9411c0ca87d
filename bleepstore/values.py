"""How classes of values are made that a request makes anew, and that nobody else has; and mappings that are shared."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

if TYPE_CHECKING:
    from attrs import frozen as statically_frozen
else:
    # attrs looks the name of each field up to get past its own ban, which takes three times as long as all else that
    # makes the object. Type checkers keep the ban. Values that are shared (owners, settings, attributes) are
    # `attrs.frozen`, for a program without a type checker could change them for everybody.
    statically_frozen = functools.partial(attrs.define, unsafe_hash=True)

__all__ = ["NO_TEXTS", "FrozenTexts", "statically_frozen"]


class FrozenTexts(dict[str, str]):
    """Texts by their names that are not changed, for many values may have them: TypeError says so. `dict(...)`, `copy`
    and `deepcopy` make a dict of it that may be changed, and `attrs.asdict` does of what it is in.

    It is a dict, since programs write what they got as JSON, or pickle it. PyYAML's `safe_dump` takes no subclass of a
    dict: give it `dict(...)`.
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # who has a type checker knows it as a Mapping

        def _refuse(self, *_: Any, **__: Any) -> NoReturn:
            raise TypeError("what a store returned cannot be changed, for others may have it too: change a copy of it")

        __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> dict[str, str]:
        return dict(self)

    def __deepcopy__(self, _memo: object) -> dict[str, str]:
        return dict(self)

    def __reduce__(self) -> tuple[type[FrozenTexts], tuple[dict[str, str]]]:
        return FrozenTexts, (dict(self),)


NO_TEXTS = FrozenTexts()
