"""The encryption keys that a server is configured with, also for the commands that look into its store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bleepstore_server.config import PREFIX
from bleepstore_server.extras import needing

if TYPE_CHECKING:
    from bleepstore.sealing.keys import KeyService


def configured_keys(file: str | None, text: str | None) -> KeyService | None:
    """Those of a file or of a text, which are read now: what is wrong with them is told at the start. None: those in
    the folder of the store."""
    if file is None and text is None:
        return None
    with needing("encryption"):
        from bleepstore.sealing.keys import KeyFile, MasterKeys
    if file is None:
        return MasterKeys.parse(text or "", "encryption_keys")
    keys = KeyFile(Path(file).absolute())
    keys.load()
    return keys


def keys_of(environ: Mapping[str, str]) -> KeyService | None:
    """Those that a server has by this environment."""
    return configured_keys(environ.get(f"{PREFIX}ENCRYPTION_KEY_FILE"), environ.get(f"{PREFIX}ENCRYPTION_KEYS"))
