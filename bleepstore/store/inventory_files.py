"""The files of an inventory: CSV, compressed, and with the extra `inventory` Parquet and ORC."""

from __future__ import annotations

import abc
import csv
import gzip
import importlib.util
import io
import tempfile
from collections.abc import Sequence
from typing import IO, Any, cast
from urllib.parse import quote

from bleepstore.errors import NotSupported
from bleepstore.inventory import Column, Format, Kind
from bleepstore.model import to_datetime

#: Up to this many bytes of a file are in memory.
_MAX_IN_MEMORY = 8 * 1024 * 1024


def check_format(format: Format) -> None:
    """Raises NotSupported for a format whose package is missing."""
    if format is not Format.CSV and importlib.util.find_spec("pyarrow") is None:
        raise NotSupported(f"Inventories in {format} need the package pyarrow: pip install 'bleepstore[inventory]'")


class InventoryFile(abc.ABC):
    """One file. Close it, or use it in a `with` block. `file` has what was written, once it is finished."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self.rows = 0
        self.file = cast("IO[bytes]", tempfile.SpooledTemporaryFile(_MAX_IN_MEMORY))  # noqa: SIM115  # closed below

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows: the values of the columns."""
        self.rows += len(rows)
        self._write(rows)

    @abc.abstractmethod
    def _write(self, rows: Sequence[Sequence[Any]]) -> None: ...

    @abc.abstractmethod
    def finish(self) -> None:
        """Write what is left."""

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> InventoryFile:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class _CsvFile(InventoryFile):
    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__(columns)
        self._compressed = gzip.GzipFile(fileobj=self.file, mode="wb", mtime=0)
        self._text = io.TextIOWrapper(self._compressed, encoding="utf-8", newline="")
        self._writer = csv.writer(self._text, quoting=csv.QUOTE_ALL, lineterminator="\n")

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        for row in rows:
            self._writer.writerow(_as_text(column, value) for column, value in zip(self._columns, row, strict=True))

    def finish(self) -> None:
        self._text.close()  # and what is compressed, but not the file


def _as_text(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if column.kind is Kind.TRUTH:
        return "true" if value else "false"
    if column.kind is Kind.TIME:
        return to_datetime(value).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # "The object key name is URL-encoded and must be decoded before you can use it."
    return quote(value, safe="/-_.*~") if column.name == "Key" else str(value)


class _ArrowFile(InventoryFile):
    """With the types of its columns."""

    def __init__(self, columns: Sequence[Column], format: Format) -> None:
        super().__init__(columns)
        import pyarrow

        types = {
            Kind.TEXT: pyarrow.string(),
            Kind.NUMBER: pyarrow.int64(),
            Kind.TRUTH: pyarrow.bool_(),
            Kind.TIME: pyarrow.timestamp("ms", tz="UTC"),
        }
        self._pyarrow = pyarrow
        self._schema = pyarrow.schema(
            [pyarrow.field(one.field, types[one.kind], one.field not in ("bucket", "key")) for one in columns]
        )
        if format is Format.PARQUET:
            from pyarrow import parquet

            self._writer = parquet.ParquetWriter(self.file, self._schema)
        else:
            from pyarrow import orc

            self._writer = orc.ORCWriter(self.file)

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        values = zip(*rows, strict=True) if rows else ([] for _ in self._columns)
        arrays = [
            self._pyarrow.array(column, one.type) for column, one in zip(map(list, values), self._schema, strict=True)
        ]
        table = self._pyarrow.Table.from_arrays(arrays, schema=self._schema)
        self._writer.write_table(table) if hasattr(self._writer, "write_table") else self._writer.write(table)

    def finish(self) -> None:
        if not self.rows:
            self._write([])  # the schema alone
        self._writer.close()


def new_file(format: Format, columns: Sequence[Column]) -> InventoryFile:
    """Raises NotSupported."""
    check_format(format)
    return _CsvFile(columns) if format is Format.CSV else _ArrowFile(columns, format)


def schema_of(format: Format, columns: Sequence[Column]) -> str:
    """As a manifest has it: the names of the columns; of files that know their types, these too."""
    if format is Format.CSV:
        return ", ".join(column.name for column in columns)
    if format is Format.ORC:
        orc = {Kind.TEXT: "string", Kind.NUMBER: "bigint", Kind.TRUTH: "boolean", Kind.TIME: "timestamp"}
        return "struct<" + ",".join(f"{column.field}:{orc[column.kind]}" for column in columns) + ">"
    parquet = {
        Kind.TEXT: ("binary", " (STRING)"),
        Kind.NUMBER: ("int64", ""),
        Kind.TRUTH: ("boolean", ""),
        Kind.TIME: ("int64", " (TIMESTAMP(MILLIS,true))"),
    }
    fields = []
    for column in columns:
        name, note = parquet[column.kind]
        presence = "required" if column.field in ("bucket", "key") else "optional"
        fields.append(f" {presence} {name} {column.field}{note};")
    return f"message s3.inventory {{{''.join(fields)} }}"
