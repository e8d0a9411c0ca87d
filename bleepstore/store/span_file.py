"""A span of bytes as a binary file: what zipfile, io.TextIOWrapper, tarfile, pandas and their like read from."""

from __future__ import annotations

import io
import operator
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Never, Self

from bleepstore.backends.base import CHUNK
from bleepstore.errors import BlobNotFound

_LINE_CHUNK = 8192

# To make and drop an instance of a real subclass costs a microsecond, a tenth of what a small read does; so this is a
# registered one, which `isinstance` cannot tell from it.
if TYPE_CHECKING:
    _Base = io.BufferedIOBase
else:
    _Base = object


class SpanFile(_Base):
    """Bytes `start` to `stop` of something: whole in `data`, or read from `file`, which ends where they do.

    Positions count from `start`. A seek in `file` opens the rest of the span anew, by `open_span(start, stop)`, unless
    the file can seek by itself; nothing is opened before the next read. Iteration gives lines, as of any binary file,
    and `chunks()` gives the bytes as they come.
    """

    start: int
    stop: int
    data: bytes | None
    file: BinaryIO | None
    open_span: Callable[[int, int], BinaryIO] | None = None

    _position = 0
    #: Bytes of the file that were looked at and not read; they are in front of `_position`.
    _ahead = b""
    #: Where the file is.
    _file_position = 0
    _is_closed = False

    @property
    def length(self) -> int:
        """Bytes in the span."""
        return self.stop - self.start

    # -- reading

    def read(self, size: int | None = -1) -> bytes:
        """`size` further bytes, or all that are left; fewer only at the end."""
        data, position = self.data, self._position
        if self._is_closed:
            raise self._is_shut()
        if data is not None:
            taken = data[position:] if size is None or size < 0 else data[position : position + size]
        elif self.file is not None:
            taken = self._read_file(-1 if size is None else size)
        else:
            return b""
        self._position = position + len(taken)
        return taken

    def _read_file(self, wanted: int) -> bytes:
        left = self.stop - self.start - self._position
        if wanted < 0 or wanted > left:
            wanted = left or 1  # a read at the end lets the file say that it is right
        pieces: list[bytes] = []
        if not self._ahead and self._file_position == self._position and wanted and self.file is not None:
            piece = self.file.read(wanted)  # nearly always all that is wanted
            self._file_position += len(piece)
            if not piece or len(piece) == wanted:
                return piece
            pieces.append(piece)
            wanted -= len(piece)
        elif self._ahead:
            pieces.append(self._ahead[:wanted])
            self._ahead = self._ahead[wanted:]
            wanted -= len(pieces[0])
        position = self._position + len(pieces[0]) if pieces else self._position
        file = None
        if wanted:
            file = self.file if position == self._file_position else self._file_at(position)
        while file is not None and wanted and (piece := file.read(wanted)):  # a stream gives what has come
            self._file_position += len(piece)
            wanted -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _file_at(self, position: int) -> BinaryIO | None:
        """The file, at a position where it is not yet; None behind the end."""
        file = self.file
        assert file is not None
        if position >= self.length:
            return None
        if _can_seek(file):
            file.seek(position)
        else:
            assert self.open_span is not None, "a file that cannot seek comes with a way to open it anew"
            try:
                self.file = self.open_span(self.start + position, self.stop)
            except BlobNotFound as error:
                raise self._replaced() from error
            file.close()
        self._file_position = position
        return self.file

    def _replaced(self) -> Exception:
        return OSError("what was read has been replaced or deleted since it was opened")

    def read1(self, size: int = -1) -> bytes:
        """Up to `size` further bytes, of a moderate number if it is negative."""
        return self.read(CHUNK if size < 0 else size)

    def peek(self, size: int = 0) -> bytes:
        """Some bytes from here on, without moving on."""
        self._check_open()
        position = self._position
        if self.data is not None:
            return self.data[position : position + max(size, _LINE_CHUNK)]
        if not self._ahead:
            self._ahead = self.read(max(size, _LINE_CHUNK))
            self._position = position
        return self._ahead

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; how many bytes there were."""
        with memoryview(buffer).cast("B") as view:
            data = self.read(len(view))
            view[: len(data)] = data
        return len(data)

    readinto1 = readinto

    def readline(self, size: int | None = -1) -> bytes:
        """Up to the end of the line, or `size` bytes."""
        left = self.length if size is None or size < 0 else size
        line = b""
        while left and not line.endswith(b"\n") and (ahead := self.peek()):
            piece = self.read(min(left, ahead.find(b"\n") + 1 or len(ahead)))
            left -= len(piece)
            line += piece
        return line

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """The lines that are left, or the next ones until they have more than `hint` bytes."""
        lines, size = [], 0
        for line in self:
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint < size:
                break
        return lines

    def __iter__(self) -> Self:
        self._check_open()
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def chunks(self) -> Chunks:
        """The rest of the bytes as an iterable of chunks of a moderate size, as a web framework streams them. It is
        closed with the object when it ends or is closed."""
        return Chunks(self)

    # -- the position

    def readable(self) -> bool:
        self._check_open()
        return True

    def writable(self) -> bool:
        self._check_open()
        return False

    def seekable(self) -> bool:
        self._check_open()
        return True

    def isatty(self) -> bool:
        self._check_open()
        return False

    def tell(self) -> int:
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to `offset` from the beginning, from here or from the end; the position from the beginning."""
        self._check_open()
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.length}
        if whence not in origins:
            raise ValueError(f"whence is io.SEEK_SET, SEEK_CUR or SEEK_END, not {whence!r}")
        position = origins[whence] + operator.index(offset)
        if position < 0:
            raise ValueError(f"there is no position {position}")
        skipped = position - self._position
        self._ahead = self._ahead[skipped:] if skipped >= 0 else b""
        self._position = position
        return position

    # -- the end

    @property
    def closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            if self.file is not None:
                self.file.close()

    def flush(self) -> None:
        """There is nothing to write."""
        self._check_open()

    def _check_open(self) -> None:
        if self._is_closed:
            raise self._is_shut()

    def _is_shut(self) -> ValueError:
        return ValueError(f"{type(self).__name__} is closed")

    def _refuse(self, *_args: object) -> Never:
        raise io.UnsupportedOperation(f"{type(self).__name__} is for reading, and has no descriptor of its own")

    write = writelines = truncate = detach = fileno = _refuse

    def __enter__(self) -> Self:
        if self._is_closed:
            raise self._is_shut()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


io.BufferedIOBase.register(SpanFile)


def _can_seek(file: BinaryIO) -> bool:
    seekable = getattr(file, "seekable", None)
    return seekable is not None and seekable()


class Chunks:
    """The bytes of a file in chunks; closing it, and its end, close the file."""

    def __init__(self, file: SpanFile) -> None:
        self._file = file
        self._is_begun = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        file, chunk = self._file, b""
        # One without bytes is read too: it says then whether it is right.
        if not file._is_closed and (not self._is_begun or file._position < file.stop - file.start):
            chunk = file.read(CHUNK)
        self._is_begun = True
        if not chunk:
            file.close()
            raise StopIteration
        return chunk

    def close(self) -> None:
        self._file.close()
