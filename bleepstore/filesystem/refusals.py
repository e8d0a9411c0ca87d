"""The store's errors as those that users of file systems expect."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from bleepstore.errors import (
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    Condition,
    ConditionalRequestConflict,
    Denied,
    Invalid,
    NotFound,
    ObjectDamaged,
    PreconditionFailed,
    S3Error,
    StorageFull,
)

#: OSError makes FileNotFoundError, FileExistsError and PermissionError of the numbers that stand for them.
_NUMBERS: tuple[tuple[type[S3Error], int], ...] = (
    (NotFound, errno.ENOENT),
    (Denied, errno.EACCES),
    (BucketAlreadyExists, errno.EEXIST),
    (BucketAlreadyOwnedByYou, errno.EEXIST),
    (BucketNotEmpty, errno.ENOTEMPTY),
    (StorageFull, errno.ENOSPC),
    (Invalid, errno.EINVAL),
)


def as_os_error(error: S3Error, path: str) -> OSError:
    """The OSError of a refusal, with S3's code and text. The refusal is its cause."""
    number = next((number for kind, number in _NUMBERS if isinstance(error, kind)), errno.EIO)
    if isinstance(error, PreconditionFailed | ConditionalRequestConflict):
        # Only an exclusive write asks that there be nothing; all else asks that a file be what it was.
        number = errno.EEXIST if error.condition is Condition.IF_NONE_MATCH else errno.ESTALE
    made = OSError(number, f"{error.code}: {error.message}", path)
    made.__cause__ = error
    return made


@contextlib.contextmanager
def told_as_os_errors(path: str) -> Iterator[None]:
    """A block whose S3Errors, and damaged bytes, are raised as OSErrors about `path`."""
    try:
        yield
    except S3Error as error:
        raise as_os_error(error, path) from error
    except ObjectDamaged as error:
        raise OSError(errno.EIO, str(error), path) from error
