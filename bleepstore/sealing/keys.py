"""Master keys, which wrap the data keys of objects: in memory, in a file, or kept by a service of others.

A master key has a name, and several keys can have the same: the last one wraps from then on, the older ones are kept to
unwrap what they wrapped. So a key is rotated without a look at any object.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bleepstore.encryption import DEFAULT_KEY, STORE_KEY
from bleepstore.errors import EncryptionKeyNotFound, StoreError
from bleepstore.posix import fcntl

_log = logging.getLogger("bleepstore.store")

KEY_SIZE = 32
_NONCE = 12
_NAME = re.compile(r"[A-Za-z0-9_/.-]{1,128}")


class KeyService(Protocol):
    """What wraps data keys. An application can give its own, which asks a key management service."""

    def wrap(self, name: str, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """(which key it was, what it made of `data_key`). The first is what `unwrap` is given: the name and what else
        tells the keys of this name. Raises EncryptionKeyNotFound."""

    def unwrap(self, master_key: str, wrapped: bytes, context: bytes) -> bytes:
        """The data key. Raises EncryptionKeyNotFound if there is no such key, or if it did not wrap this with the same
        `context`."""


def wrap_with(key: bytes, data_key: bytes, context: bytes) -> bytes:
    """A data key, encrypted by AES-256-GCM under a random nonce, which comes first. `context` is proved with it."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, data_key, context)


def unwrap_with(key: bytes, wrapped: bytes, context: bytes) -> bytes | None:
    """What `wrap_with` wrapped; None if it was another key, or another context."""
    try:
        return AESGCM(key).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], context)
    except (InvalidTag, ValueError):
        return None


class MasterKeys:
    """Master keys in memory: for each name its keys, the newest last. With `makes_any` a name that is asked for and has
    none gets one, which ends with the process: for tests."""

    def __init__(self, keys: Mapping[str, Sequence[bytes]] | None = None, *, makes_any: bool = False) -> None:
        self._keys: dict[str, list[bytes]] = {}
        self._makes_any = makes_any
        self._lock = threading.Lock()
        for name, known in (keys or {}).items():
            for key in known:
                self._add(name, key)

    @classmethod
    def parse(cls, text: str, origin: str = "the encryption keys") -> MasterKeys:
        """Of lines, or items between commas, of a name and 32 bytes as base64; `#` begins a comment. Raises StoreError,
        which shows no key."""
        return cls(_parse(text, origin))

    def _add(self, name: str, key: bytes) -> None:
        if not _NAME.fullmatch(name):
            raise StoreError(f"{name!r} is no name of a key: letters, digits, '_', '-', '.' and '/', 1 to 128 of them")
        if len(key) != KEY_SIZE:
            raise StoreError(f"the key {name!r} has {len(key)} bytes instead of {KEY_SIZE}")
        known = self._keys.setdefault(name, [])
        if key not in known:
            known.append(key)

    def _may_make(self, name: str) -> bool:
        return self._makes_any and _NAME.fullmatch(name) is not None

    def _make(self, name: str) -> None:
        self._add(name, os.urandom(KEY_SIZE))

    def _reload(self) -> None:
        """Look whether there are more keys by now."""

    def wrap(self, name: str, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        if name not in self._keys:
            with self._lock:
                self._reload()
                if name not in self._keys:
                    if not self._may_make(name):
                        raise EncryptionKeyNotFound(name)
                    self._make(name)
        key = self._keys[name][-1]
        return f"{name}:{_fingerprint(key)}", wrap_with(key, data_key, context)

    def unwrap(self, master_key: str, wrapped: bytes, context: bytes) -> bytes:
        key = self._find(master_key)
        if key is None:
            with self._lock:
                self._reload()
            key = self._find(master_key)
        data_key = None if key is None else unwrap_with(key, wrapped, context)
        if data_key is None:
            raise EncryptionKeyNotFound(master_key)
        return data_key

    def _find(self, master_key: str) -> bytes | None:
        name, _, fingerprint = master_key.rpartition(":")
        return next((key for key in self._keys.get(name, ()) if _fingerprint(key) == fingerprint), None)


class KeyFile(MasterKeys):
    """Master keys in a file of lines (see `MasterKeys.parse`), which is read when it is needed first.

    With `makes` the keys STORE_KEY and DEFAULT_KEY are made when they are needed first, and the file with them, which
    its owner alone may read. Several processes may use the file at once."""

    def __init__(self, path: Path, *, makes: bool = False) -> None:
        super().__init__()
        self.path = path
        self._makes = makes

    def load(self) -> None:
        """Read the file, which must be there. Raises StoreError."""
        if not self.path.is_file():
            raise StoreError(f"the encryption keys: there is no file {self.path}")
        self._reload()

    def _may_make(self, name: str) -> bool:
        return self._makes and name in (STORE_KEY, DEFAULT_KEY)

    def _reload(self) -> None:
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"the encryption keys in {self.path} cannot be read: {error}") from error
        for name, keys in _parse(text, str(self.path)).items():
            for key in keys:
                self._add(name, key)

    def _make(self, name: str) -> None:
        """Under a lock, so that of several processes one makes it. It is durable before anything is encrypted by it."""
        with self._locked() as fd:
            self._reload()
            if name in self._keys:
                return
            key = os.urandom(KEY_SIZE)
            os.lseek(fd, 0, os.SEEK_END)
            os.write(fd, f"{name} {base64.b64encode(key).decode()}\n".encode())
            os.fsync(fd)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self._add(name, key)
        _log.warning(
            "the encryption key %r was made in %s: what it encrypts cannot be read without that file, which is in no "
            "backup of the store. Keep a copy of it",
            name,
            self.path,
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)


def _fingerprint(key: bytes) -> str:
    """Tells the keys of one name apart, and tells nothing of the key."""
    return hashlib.sha256(b"bleepstore master key " + key).hexdigest()[:16]


def _parse(text: str, origin: str) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for number, line in enumerate(re.split(r"[\n,]", text), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            name, encoded = words
            found.setdefault(name, []).append(base64.b64decode(encoded, validate=True))
        except (ValueError, binascii.Error):
            raise StoreError(f"{origin}: item {number} is not a name and a key in base64") from None
    return found
