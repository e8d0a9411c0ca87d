"""The file system: paths are `bucket/key`, directories are buckets and the prefixes of keys up to a slash."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import mimetypes
import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.spec import AbstractFileSystem
from fsspec.utils import isfilelike, stringify_path, tokenize

from bleepstore.cleanup import on_error
from bleepstore.commands import DeleteEntry
from bleepstore.errors import BucketAlreadyOwnedByYou, InvalidRange, NoSuchBucket, NotFound
from bleepstore.filesystem.entries import (
    Entry,
    directory,
    file,
    listed_file,
    name_of_entry,
    parents,
    split_version,
    versions_of,
)
from bleepstore.filesystem.files import BleepStoreFile, copy_parts, counted, pour
from bleepstore.filesystem.instances import Instances
from bleepstore.filesystem.refusals import as_os_error, told_as_os_errors
from bleepstore.filesystem.stores import OpenFolder, name_of, named_store, open_folder, shared_store
from bleepstore.model import MAX_PAGE, MAX_SINGLE_PUT, ByteRange, ObjectVersion
from bleepstore.pages import ListedObject
from bleepstore.preconditions import ReadCondition, WriteCondition
from bleepstore.store import DeleteFailure, Store
from bleepstore.store.new_objects import copied_attributes

_CHUNK = 1024 * 1024
_PRESENT = WriteCondition(if_match="*")


class BleepStoreFileSystem(AbstractFileSystem, metaclass=Instances):  # type: ignore[misc]  # as above
    """A store as a file system.

    `path` is the folder of a store, which is opened and closed as needed; `store` is an open store, which is left open.
    With neither it is a store in memory that the whole process shares, as fsspec's `memory://` is.

    With `version_aware` a path that is read, looked at or removed may end in `?version_id=` and the id of a version,
    and a file that is opened stays the version that it was.

    Listings are not cached, for the catalog is at hand: what others write is seen at once. Pickled, it opens the same
    folder in the other process; one of a store in memory can be loaded in its own process only. Errors are
    FileNotFoundError, FileExistsError, PermissionError and other OSErrors that carry the text of S3.
    """

    protocol = "bleepstore"
    root_marker = ""
    sep = "/"

    def __init__(
        self,
        *,
        store: Store | None = None,
        path: str | os.PathLike[str] | None = None,
        version_aware: bool = False,
        **options: Any,
    ) -> None:
        if self._cached:
            return  # fsspec found this instance again
        if store is not None and path is not None:
            raise ValueError("store= and path= exclude each other")
        super().__init__(**options)
        self._given = store
        self._path = None if path is None else os.path.realpath(path)
        self._folder: OpenFolder | None = None
        self.version_aware = version_aware

    @property
    def store(self) -> Store:
        """The store itself. Raises StoreClosed if it was given and is closed."""
        if self._given is not None:
            self._given.check_open()
            return self._given
        if self._path is None:
            return shared_store()
        folder = self._folder
        if folder is None or folder.pid != os.getpid() or not folder.close.alive:
            folder = self._folder = open_folder(self._path)
        return folder.store

    def close(self) -> None:
        """Close the store if file systems opened it, for all of them; whoever uses one again opens it again."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.close()

    @property
    def fsid(self) -> str:
        where = self._path or (self._given and self._given.path) or name_of(self._given)
        return f"bleepstore-{where}"

    def __reduce__(self) -> tuple[Any, ...]:
        options = {name: value for name, value in self.storage_options.items() if name not in ("store", "path")}
        path = self._path or (self._given and self._given.path)
        return _restore, (
            type(self),
            None if path else name_of(self._given),
            {"path": str(path)} if path else {},
            options,
        )

    # -- paths

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        stripped = super()._strip_protocol(path)
        return [one.lstrip("/") for one in stripped] if isinstance(stripped, list) else stripped.lstrip("/")

    def split_path(self, path: str) -> tuple[str, str]:
        """(bucket, key); the key is "" for a bucket, and so is the bucket for the root."""
        bucket, _, key = self._strip_protocol(stringify_path(path)).partition("/")
        return bucket, key

    def split_version(self, path: str) -> tuple[str, str, str | None]:
        """(bucket, key, version id); the id is None if the path names no version."""
        path, version_id = split_version(stringify_path(path)) if self.version_aware else (path, None)
        return *self.split_path(path), version_id

    # -- looking

    def _pages(self, bucket: str, prefix: str, delimiter: str) -> Iterator[tuple[list[ListedObject], list[str]]]:
        after: str | None = ""
        while after is not None:
            page = self.store.list_objects(bucket, prefix=prefix, delimiter=delimiter, after=after)
            yield page.objects, page.common_prefixes
            after = page.next_key

    def _is_prefix(self, bucket: str, prefix: str) -> bool:
        page = self.store.list_objects(bucket, prefix=prefix, limit=1)
        return bool(page.objects)

    def ls(self, path: str, detail: bool = True, *, versions: bool = False, **options: Any) -> list[Any]:
        """The entries of a directory, or the one of a file; with `versions` those of all versions, but for delete
        markers. Raises FileNotFoundError."""
        bucket, key = self.split_path(path)
        with told_as_os_errors(path):
            if versions:
                entries = list(versions_of(self.store, bucket, key)) or None
            else:
                entries = self._list_directory(bucket, key) if bucket else self._list_buckets()
        if entries is None:
            entries = [self.info(path)]
        return entries if detail else [entry["name"] for entry in entries]

    def _list_buckets(self) -> list[Entry]:
        entries: list[Entry] = []
        after: str | None = ""
        while after is not None:
            page = self.store.list_buckets(after=after)
            entries += [directory(bucket.name, bucket.created) for bucket in page.buckets]
            after = page.next_name
        return entries

    def _list_directory(self, bucket: str, key: str) -> list[Entry] | None:
        """None if there is no such directory. A key that ends in a slash marks a directory and is no entry of it."""
        prefix = f"{key}/" if key else ""
        entries = []
        exists = not key
        for objects, prefixes in self._pages(bucket, prefix, "/"):
            exists = exists or bool(objects or prefixes)
            entries += [listed_file(bucket, listed) for listed in objects if listed.key != prefix]
            # An empty name between two slashes would be the directory itself once more.
            entries += [directory(f"{bucket}/{one[:-1]}") for one in prefixes if one != f"{prefix}/"]
        return sorted(entries, key=name_of_entry) if exists else None

    def object_version_info(self, path: str, **options: Any) -> list[Entry]:
        """The entries of all versions of a file, the newest first. Delete markers have none."""
        bucket, key = self.split_path(path)
        return [entry for entry in self.ls(path, versions=True) if entry["name"].partition("?")[0] == f"{bucket}/{key}"]

    def info(self, path: str, **options: Any) -> Entry:
        """An entry as in a listing; that of a file has its content type and metadata too."""
        bucket, key, version_id = self.split_version(path)
        if not bucket:
            return directory("")
        with told_as_os_errors(path):
            if not key:
                return directory(bucket, self.store.head_bucket(bucket).created)
            try:
                version = self.store.head_object(bucket, key, version_id=version_id).version
            except NotFound:
                if version_id is None and self._is_prefix(bucket, f"{key}/"):
                    return directory(f"{bucket}/{key}")
                raise
        entry = file(version)
        return entry | {"VersionId": version.version_id} if self.version_aware else entry

    def exists(self, path: str, **options: Any) -> bool:
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def isfile(self, path: str) -> bool:
        try:
            return bool(self.info(path)["type"] == "file")
        except FileNotFoundError:
            return False

    def isdir(self, path: str) -> bool:
        bucket, key = self.split_path(path)
        if not bucket:
            return True
        try:
            with told_as_os_errors(path):
                return self._is_prefix(bucket, f"{key}/") if key else bool(self.store.head_bucket(bucket))
        except FileNotFoundError:
            return False

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **options: Any
    ) -> Any:
        """All files below a directory, from as few pages of the catalog as there are."""
        bucket, key = self.split_path(path)
        if maxdepth is not None or not bucket:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **options)
        found: dict[str, Entry] = {}
        prefix = f"{key}/" if key else ""
        with contextlib.suppress(NoSuchBucket):
            for objects, _ in self._pages(bucket, prefix, ""):
                for listed in objects:
                    if not listed.key.endswith("/"):
                        found[f"{bucket}/{listed.key}"] = listed_file(bucket, listed)
                    if withdirs:
                        found |= {name: directory(name) for name in parents(bucket, listed.key, len(prefix))}
        if withdirs and self.isdir(path):
            name = f"{bucket}/{key}".rstrip("/")
            found[name] = directory(name)
        if not found and self.isfile(path):
            found[f"{bucket}/{key}"] = self.info(path)
        names = sorted(found)
        return {name: found[name] for name in names} if detail else names

    def created(self, path: str) -> dt.datetime:
        """When the present bytes were written: an object is never changed, only replaced."""
        return self.modified(path)

    def modified(self, path: str) -> dt.datetime:
        entry = self.info(path)
        if entry.get("LastModified") is None:
            raise IsADirectoryError(errno.EISDIR, "a prefix has no time of its own", path)
        return cast("dt.datetime", entry["LastModified"])

    def checksum(self, path: str) -> int:
        """A number that is another one when the bytes are others."""
        entry = self.info(path)
        return int(tokenize(entry.get("ETag"), entry["size"]), 16)

    def ukey(self, path: str) -> str:
        """A text that is another one when the object was written again."""
        entry = self.info(path)
        return sha256(repr((entry["name"], entry.get("ETag"), entry.get("LastModified"))).encode()).hexdigest()

    def sign(self, path: str, expiration: int = 100, **options: Any) -> str:
        raise NotImplementedError(
            "A URL needs a server: sign one by boto3's generate_presigned_url for `bleepstore serve`."
        )

    # -- reading

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> BleepStoreFile:
        return BleepStoreFile(self, path, mode, block_size, autocommit, cache_options=cache_options, **options)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        """The bytes of a file, or a slice of them as Python slices bytes."""
        bucket, key, version_id = self.split_version(path)
        with told_as_os_errors(path):
            if (start is not None and start < 0) or (end is not None and end < 0):
                start, end, _ = slice(start, end).indices(self.info(path)["size"])
            first = start or 0
            if end is not None and end <= first:
                self.store.head_object(bucket, key, version_id=version_id)
                return b""
            span = None if first == 0 and end is None else ByteRange(first, None if end is None else end - 1)
            try:
                with self.store.get_object(bucket, key, version_id=version_id, range=span) as stored:
                    return stored.read()
            except InvalidRange:
                return b""  # all of it is behind the end

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **options: Any,
    ) -> list[Any]:
        """As fsspec says; gaps need not be read over where no request goes over a network."""
        return cast("list[Any]", super().cat_ranges(paths, starts, ends, None, on_error, **options))

    def get_file(
        self, rpath: str, lpath: Any = None, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **options: Any
    ) -> None:
        """Stream a file to a local one, or to an open one. A local one that could not be written whole is removed."""
        bucket, key, version_id = self.split_version(rpath)
        if outfile is None and isfilelike(lpath):
            outfile = lpath
        if outfile is None and not self.isfile(rpath) and self.isdir(rpath):
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        with told_as_os_errors(rpath), self.store.get_object(bucket, key, version_id=version_id) as stored:
            callback.set_size(stored.length)
            if outfile is not None:
                pour(iter(lambda: stored.read(_CHUNK), b""), outfile.write, callback)
                return
            target = Path(lpath)
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("wb")
            with on_error(lambda: target.unlink() if target.is_file() else None), file:
                pour(iter(lambda: stored.read(_CHUNK), b""), file.write, callback)

    # -- writing

    def pipe_file(
        self,
        path: str,
        value: bytes,
        mode: str = "overwrite",
        *,
        content_type: str | None = None,
        metadata: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        """Write a file at once. `mode` "create" raises FileExistsError, atomically, if there is one."""
        how = _check_mode(mode)
        if self._intrans:
            with self.open(path, how, content_type=content_type, metadata=metadata) as file:
                file.write(value)
            return
        bucket, key = self.split_path(path)
        with told_as_os_errors(path):
            self.store.put_object(
                bucket,
                key,
                value,
                content_type=content_type,
                metadata=metadata,
                condition=WriteCondition(if_none_match=how == "xb"),
            )

    def put_file(
        self,
        lpath: str | os.PathLike[str],
        rpath: str,
        callback: Any = DEFAULT_CALLBACK,
        mode: str = "overwrite",
        *,
        content_type: str | None = None,
        metadata: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        """Stream a local file into one, with the content type that its name suggests. For `mode` see `pipe_file`."""
        how = _check_mode(mode)
        source = Path(lpath)
        if source.is_dir():
            self.makedirs(rpath, exist_ok=True)
            return
        content_type = content_type or mimetypes.guess_type(source.name)[0]
        bucket, key = self.split_path(rpath)
        with source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            callback.set_size(size)
            chunks = iter(lambda: file.read(_CHUNK), b"")
            if self._intrans or size > MAX_SINGLE_PUT:
                with self.open(rpath, how, content_type=content_type, metadata=metadata) as target:
                    pour(chunks, target.write, callback)
                return
            with told_as_os_errors(rpath):
                self.store.put_object(
                    bucket,
                    key,
                    counted(chunks, callback),
                    content_type=content_type,
                    metadata=metadata,
                    condition=WriteCondition(if_none_match=how == "xb"),
                )

    def touch(self, path: str, truncate: bool = True, **options: Any) -> None:
        """Make an empty file; or, unless `truncate`, give one that exists the present time."""
        if truncate or not self.exists(path):
            self.pipe_file(path, b"", **options)
            return
        bucket, key = self.split_path(path)
        with told_as_os_errors(path):
            version = self.store.head_object(bucket, key).version
            self.store.copy_object(
                bucket,
                key,
                bucket,
                key,
                source_condition=ReadCondition(if_match=(version.etag,)),
                condition=WriteCondition(if_match=version.etag),
                replace_metadata=True,
                attributes=version.attributes,
            )

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:
        """Copy a file with its metadata; its bytes do not come through this process."""
        source_bucket, source_key, version_id = self.split_version(path1)
        bucket, key = self.split_path(path2)
        if version_id is None and (source_bucket, source_key) == (bucket, key):
            self.info(path1)
            return
        with told_as_os_errors(path1):
            try:
                version = self.store.head_object(source_bucket, source_key, version_id=version_id).version
            except NotFound:
                if self.isdir(path1):
                    self.makedirs(path2, exist_ok=True)
                    return
                raise
        with told_as_os_errors(path2):
            if version.size <= MAX_SINGLE_PUT:
                self.store.copy_object(source_bucket, source_key, bucket, key, source_version_id=version_id)
            else:
                self._copy_large(version, bucket, key)

    def _copy_large(self, version: ObjectVersion, bucket: str, key: str) -> None:
        upload = self.store.create_upload(bucket, key, attributes=copied_attributes(version.attributes))
        with on_error(lambda: self.store.abort_upload(bucket, key, upload.upload_id)):
            self.store.complete_upload(bucket, key, upload.upload_id, copy_parts(self.store, version, upload))

    # -- removing

    def rm_file(self, path: str) -> None:
        self._delete([path])

    def _rm(self, path: str) -> None:
        self._delete([path])

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, a thousand at a time; with `recursive` directories and what is in them, and so buckets.

        Raises FileNotFoundError, IsADirectoryError.
        """
        named = [path] if isinstance(path, str | os.PathLike) else list(path)
        literal = [self._strip_protocol(one) for one in named if maxdepth is None and not self._is_pattern(one)]
        others = [one for one in named if maxdepth is not None or self._is_pattern(one)]
        for one in others:
            literal += self.expand_path(one, recursive=recursive, maxdepth=maxdepth)
        files = []
        for one in sorted(set(literal), reverse=True):
            if maxdepth is None and recursive and self.isdir(one):
                self._remove_directory(one)
                if self.isfile(one):
                    files.append(one)
            elif self.isfile(one):
                files.append(one)
            elif not self.isdir(one):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), one)
            elif not recursive:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), one)
        self._delete(files)

    def _is_pattern(self, path: str | os.PathLike[str]) -> bool:
        text = str(path)
        return _has_magic(split_version(text)[0] if self.version_aware else text)

    def _remove_directory(self, path: str) -> None:
        bucket, key = self.split_path(path)
        if not bucket:
            raise PermissionError(errno.EPERM, "all buckets at once are not removed: name them", path)
        with told_as_os_errors(path):
            while page := self.store.list_objects(bucket, prefix=f"{key}/" if key else "").objects:
                self._delete_entries(bucket, [DeleteEntry(key=listed.key) for listed in page])
            if not key:
                self.store.delete_bucket(bucket)

    def _delete(self, paths: Sequence[str]) -> None:
        groups: dict[str, list[DeleteEntry]] = {}
        for path in paths:
            bucket, key, version_id = self.split_version(path)
            if not key:
                raise IsADirectoryError(errno.EISDIR, "a bucket is a directory", path)
            if version_id is not None:
                self.info(path)  # a version that is not there could be removed, too
            # A condition is of the current version.
            condition = _PRESENT if version_id is None else WriteCondition()
            groups.setdefault(bucket, []).append(DeleteEntry(key=key, version_id=version_id, condition=condition))
        for bucket, entries in groups.items():
            with told_as_os_errors(bucket):
                for start in range(0, len(entries), MAX_PAGE):
                    self._delete_entries(bucket, entries[start : start + MAX_PAGE])

    def _delete_entries(self, bucket: str, entries: Sequence[DeleteEntry]) -> None:
        for outcome in self.store.delete_objects(bucket, entries):
            if isinstance(outcome, DeleteFailure):
                path = f"{bucket}/{outcome.key}"
                if not self.exists(path):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
                raise as_os_error(outcome.error, path)

    # -- directories

    def mkdir(self, path: str, create_parents: bool = True, **options: Any) -> None:
        """Make a bucket. Directories within one need no making: they are there as soon as something is in them."""
        bucket, key = self.split_path(path)
        if not bucket or (key and self.isfile(path)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        with told_as_os_errors(path):
            if not key:
                self.store.create_bucket(bucket)
            elif create_parents:
                self._make_bucket(bucket)
            else:
                self.store.head_bucket(bucket)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make the bucket of a directory, if there is none. Raises FileExistsError for a file, or unless `exist_ok`."""
        bucket, key = self.split_path(path)
        if not bucket:
            return
        if (key and self.isfile(path)) or (not exist_ok and self.isdir(path)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        with told_as_os_errors(path):
            self._make_bucket(bucket)

    def _make_bucket(self, bucket: str) -> None:
        try:
            self.store.head_bucket(bucket)
        except NoSuchBucket:
            with contextlib.suppress(BucketAlreadyOwnedByYou):
                self.store.create_bucket(bucket)

    def rmdir(self, path: str) -> None:
        """Remove an empty bucket, or the mark of an empty directory. Raises OSError (ENOTEMPTY)."""
        bucket, key = self.split_path(path)
        if not bucket:
            raise PermissionError(errno.EPERM, "the root cannot be removed", path)
        with told_as_os_errors(path):
            if not key:
                self.store.delete_bucket(bucket)
                return
            held = [listed.key for listed in self.store.list_objects(bucket, prefix=f"{key}/", limit=2).objects]
            if not held:
                number = errno.ENOTDIR if self.isfile(path) else errno.ENOENT
                raise OSError(number, os.strerror(number), path)
            if held != [f"{key}/"]:
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
            self.store.delete_object(bucket, f"{key}/")


def _restore(
    kind: type[BleepStoreFileSystem], name: str | None, location: dict[str, str], options: dict[str, Any]
) -> BleepStoreFileSystem:
    return kind(**(location if name is None else named_store(name)), **options)


def _has_magic(path: str) -> bool:
    return any(mark in path for mark in "*?[")


def _check_mode(mode: str) -> str:
    if mode not in ("overwrite", "create"):
        raise ValueError(f'the mode is "overwrite" or "create", not {mode!r}')
    return "xb" if mode == "create" else "wb"
