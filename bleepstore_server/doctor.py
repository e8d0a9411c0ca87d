"""Whether a store, and the machine that it is on, are as a server needs them, and what to do if not."""

from __future__ import annotations

import datetime as dt
import os
import platform
import resource
import socket
import ssl
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

import bleepstore
from bleepstore import Store
from bleepstore.catalog.sqlite import Catalog
from bleepstore.errors import BleepStoreError
from bleepstore.posix import file_system_of
from bleepstore_server.admin.checks import LOW_SPACE, State
from bleepstore_server.config import AUDIT_URL, ServerConfig
from bleepstore_server.master_keys import configured_keys
from bleepstore_server.serving import check_backend

#: Less than this, and a write of one large object may fill the disk.
_NO_SPACE = 100 * 1024 * 1024
_MIN_DESCRIPTORS = 4096
_EXPIRY_WARNING = dt.timedelta(days=14)
#: A clock that is before this is wrong: nothing of this program is older.
_EARLIEST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_CLOCK_MS = 2000
#: SQLite: "All processes using a database must be on the same host computer; WAL does not work over a network
#: filesystem" (wal.html), and the locks of many of these are not reliable.
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ncpfs"})
_NETWORK_FUSE = ("fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.glusterfs", "fuse.mount-s3")
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


@attrs.frozen(kw_only=True)
class Finding:
    """What one check found; `advice` says what to do."""

    check: str
    state: State
    detail: str
    advice: str = ""


def _ok(check: str, detail: str) -> Finding:
    return Finding(check=check, state=State.OK, detail=detail)


def _warning(check: str, detail: str, advice: str) -> Finding:
    return Finding(check=check, state=State.WARNING, detail=detail, advice=advice)


def _failure(check: str, detail: str, advice: str) -> Finding:
    return Finding(check=check, state=State.FAILURE, detail=detail, advice=advice)


def examine(config: ServerConfig) -> Iterator[Finding]:
    """All checks of what a server with this configuration would use. Nothing is changed."""
    yield from _versions(config)
    yield from _limits(config)
    yield from _tls(config)
    yield from _ports(config)
    yield from _secret_files(config)
    yield from _audit_logs(config)
    if config.in_memory:
        yield _ok("folder", "the store is in memory, and ends with the server")
    else:
        yield from _folder(Path(config.data), config)
    if config.backend_url is not None:
        yield _provider(config)


def _versions(config: ServerConfig) -> Iterator[Finding]:
    yield _ok("versions", f"BleepStore {bleepstore.__version__}, Python {platform.python_version()}, {sys.platform}")
    if os.geteuid() == 0:
        yield _warning(
            "user", "this is root", "run the server as a user of its own: docs/howto/serve.md has a unit for systemd"
        )
    if config.allow_well_known_key and config.host not in ("127.0.0.1", "::1", "localhost"):
        yield _failure(
            "keys", f"the well-known key is accepted at {config.host}", "leave allow_well_known_key to tests"
        )


def _limits(config: ServerConfig) -> Iterator[Finding]:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = f"{hard} files may be open in a process"
    if hard != resource.RLIM_INFINITY and hard < _MIN_DESCRIPTORS:
        yield _warning(
            "descriptors",
            f"only {detail}, of which connections get three quarters",
            f"raise it (ulimit -Hn, LimitNOFILE= of systemd) to what {config.max_connections} connections need",
        )
    else:
        yield _ok("descriptors", detail if hard != resource.RLIM_INFINITY else "any number of files may be open")


# -- TLS


def _tls(config: ServerConfig) -> Iterator[Finding]:
    if config.tls_cert is None or config.tls_key is None:
        if config.host not in ("127.0.0.1", "::1", "localhost"):
            yield _warning(
                "tls",
                f"requests to {config.host} are not encrypted",
                "set tls_cert and tls_key, or have a proxy in front that encrypts",
            )
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(config.tls_cert, config.tls_key)
    except OSError as error:  # of which SSLError is one
        yield _failure("tls", f"{config.tls_cert} and {config.tls_key}: {error}", "they have to be PEM, and a pair")
        return
    yield _expiry(Path(config.tls_cert))
    yield from _private("tls", Path(config.tls_key))


def _expiry(path: Path) -> Finding:
    from cryptography import x509

    until = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    left, day = until - dt.datetime.now(dt.UTC), f"{until:%Y-%m-%d}"
    if left <= dt.timedelta():
        return _failure("tls", f"the certificate in {path} has expired on {day}", "renew it, and send SIGHUP")
    if left < _EXPIRY_WARNING:
        return _warning("tls", f"the certificate in {path} expires on {day}", "renew it, and send SIGHUP")
    return _ok("tls", f"the certificate is valid until {day}")


def _private(check: str, path: Path) -> Iterator[Finding]:
    """Whether others than its owner can read a file."""
    found = path.stat()
    if stat.S_IMODE(found.st_mode) & 0o077:
        yield _warning(check, f"others may read {path}, which has secrets", f"chmod 600 {path}")
    else:
        yield _ok(check, f"only its owner may read {path}")


def _ports(config: ServerConfig) -> Iterator[Finding]:
    yield _port("port", config.host, config.port, "host and port")
    if config.admin and config.admin_port is not None:  # without one, a server takes any that is free
        yield _port("admin port", config.admin_host, config.admin_port, "admin_host and admin_port")


def _port(check: str, host: str, port: int, settings: str) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return _warning(
            check,
            f"{host} port {port}: {error.strerror}",
            f"it is a server that runs already, or else name another by {settings}",
        )
    return _ok(check, f"{host} port {port} is free")


def _secret_files(config: ServerConfig) -> Iterator[Finding]:
    for name in (config.secret_key_file, config.admin_token_file, config.encryption_key_file):
        if name is not None and Path(name).exists():
            yield from _private("secrets", Path(name))


def _audit_logs(config: ServerConfig) -> Iterator[Finding]:
    """What the audit log goes to that is a file: to move it on needs its folder, too."""
    for path in (Path(text).absolute() for text in config.audit_log if not AUDIT_URL.match(text)):
        moves = config.audit_max_bytes and path.is_file()
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            advice = "chown it: while it cannot be written lines are lost, or changes refused (audit_full)"
            yield _failure("audit log", f"this user may not write {path}", advice)
        elif moves and not os.access(path.parent, os.W_OK | os.X_OK):
            advice = "let it write to that folder, or set audit_max_bytes = 0 and rotate the log by other means"
            yield _warning("audit log", f"this user may not rename {path.name} in {path.parent}", advice)
        else:
            yield _ok("audit log", f"this user may write {path}")


# -- the folder


def _folder(folder: Path, config: ServerConfig) -> Iterator[Finding]:
    if not folder.exists():
        yield _ok("folder", f"there is no {folder} yet: a server makes it")
        folder = next(parent for parent in folder.absolute().parents if parent.exists())
    elif not folder.is_dir():
        yield _failure("folder", f"{folder} is no directory", "name one by --data")
        return
    if not config.read_only and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield _failure("permissions", f"this user may not write to {folder}", f"chown it, or run as {_owner(folder)}")
        return
    yield _ok("permissions", f"this user may write to {folder}")
    yield _file_system(folder)
    yield from _space(folder)
    if (Path(config.data) / "catalog.db").exists():
        for name in ("catalog.db", "encryption.keys"):
            if (Path(config.data) / name).exists():
                yield from _private("secrets", Path(config.data) / name)
        yield from _store(config)


def _owner(folder: Path) -> str:
    try:
        return folder.owner()
    except KeyError:
        return str(folder.stat().st_uid)


def _file_system(folder: Path) -> Finding:
    kind = file_system_of(folder)
    if kind in _NETWORK or kind.startswith(_NETWORK_FUSE):
        return _failure(
            "file system",
            f"{folder} is on a network file system ({kind}), on which the catalog is not safe",
            "keep the folder on a disk of this machine; the objects alone can be elsewhere (backend_url)",
        )
    if kind in _IN_MEMORY:
        return _warning("file system", f"{folder} is in memory ({kind})", "it is lost when the machine restarts")
    return _ok("file system", kind or "unknown")


def _space(folder: Path) -> Iterator[Finding]:
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    detail = f"{free // (1024 * 1024):,} MiB are free"
    advice = "free some, or move the folder: a full disk refuses what is written (507), and serves what is there"
    if free < _NO_SPACE:
        yield _failure("space", detail, advice)
    elif free < LOW_SPACE:
        yield _warning("space", detail, advice)
    else:
        yield _ok("space", detail)
    if found.f_files and found.f_favail < found.f_files // 100:
        yield _warning("files", f"{found.f_favail:,} more files can be made", "each larger object is a file")


def _store(config: ServerConfig) -> Iterator[Finding]:
    try:
        keys = configured_keys(config.encryption_key_file, config.encryption_keys)
        with bleepstore.open(config.data, read_only=True, encryption_keys=keys) as store:
            yield _catalog(store)
            yield _access_keys(store, config)
            yield _clock(store)
    except (BleepStoreError, OSError) as error:
        yield _failure("catalog", str(error), "`bleepstore fsck` says more; `bleepstore restore` brings back a backup")


def _catalog(store: Store) -> Finding:
    catalog = store.engine.catalog
    assert isinstance(catalog, Catalog)
    with catalog.read() as reader:
        found = reader.soundness()
    if found != "ok":
        return _failure("catalog", found, "`bleepstore restore` brings back a backup")
    return _ok("catalog", "it is sound")


def _access_keys(store: Store, config: ServerConfig) -> Finding:
    """Those of the store. A server accepts one of its configuration without keeping it there."""
    enabled = [key for key in store.list_credentials() if key.enabled]
    sealed, plain = store.accounts.count_secrets()
    if not enabled:
        if config.access_key is not None or config.allow_well_known_key:
            return _ok("keys", "the configured one is the only access key")
        return _warning("keys", "no access key is enabled", "`bleepstore keys add` makes one")
    detail = f"{len(enabled)} access keys are enabled"
    if plain:
        return _ok("keys", f"{detail}; {plain} secrets are stored as they are (`bleepstore keys seal` encrypts)")
    return _ok("keys", f"{detail}; {sealed} secrets are encrypted")


def _clock(store: Store) -> Finding:
    now = dt.datetime.now(dt.UTC)
    behind = store.engine.clock() - store.wall_time_ms()
    advice = "set it by NTP (timedatectl set-ntp true): signatures of clients are refused after 15 minutes"
    if now < _EARLIEST:
        return _failure("clock", f"it is {now:%Y-%m-%d}, which cannot be", advice)
    if behind > _CLOCK_MS:
        return _failure("clock", f"it is {behind / 1000:,.0f} s behind what the store has seen", advice)
    return _ok("clock", f"{now:%Y-%m-%dT%H:%M:%SZ}")


def _provider(config: ServerConfig) -> Finding:
    try:
        check_backend(str(config.backend_url), config.backend_endpoint_url)
    except Exception as error:  # noqa: BLE001  # each provider's SDK has errors of its own
        return _failure("provider", f"{config.backend_url}: {error}", "check its address, bucket and credentials")
    return _ok("provider", f"{config.backend_url} answers")
