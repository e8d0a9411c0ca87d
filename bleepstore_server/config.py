"""Configuration: one declaration per setting serves the TOML file, the environment and the command line.

    flags  >  BLEEPSTORE_* environment  >  TOML file  >  defaults

A setting `client_timeout` is the key `client_timeout` of the file, the variable `BLEEPSTORE_CLIENT_TIMEOUT` and the
flag `--client-timeout`. In the file the settings `backend_...` may be a table, `[backend]`. Lists are comma-separated
in the environment and on the command line, where the flag may also be repeated.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import attrs
from attrs import validators
from cattrs import Converter

from bleepstore.backends.gateway.settings import is_gateway_url
from bleepstore.errors import S3Error, StoreError
from bleepstore.names import check_bucket_name
from bleepstore.ownership import BLOCK_ALL, PublicAccessBlock
from bleepstore.remotes import open_remote
from bleepstore.senders import open_sender
from bleepstore.store.settings import ACL_DEFAULTS
from bleepstore_server.app_config import AppConfig, ConfigError, setting

PREFIX = "BLEEPSTORE_"
#: Settings that workers, which gunicorn starts, find in the environment alone.
OF_WORKERS = ("client_timeout", "header_timeout", "min_rate")
_MAX_SECRET = 4096
_MIN_TOKEN = 20
#: How the destination of events begins: its name, and the scheme of its URL.
_DESTINATION = re.compile(r"([A-Za-z0-9_.-]+)=(?=[a-z0-9+-]+:)")

#: How an entry of `audit_log` begins that is no path.
AUDIT_URL = re.compile(r"[a-z0-9+]+:")


def _check_faults(_: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    if value:
        from bleepstore_server.faults import FaultError, parse_rule

        for text in value:
            try:
                parse_rule(text)
            except FaultError as error:
                raise ConfigError(f"{attribute.name}: {error}") from None


def _check_block(_: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    for name in value:
        if name not in (*attrs.asdict(BLOCK_ALL), "all"):
            raise ConfigError(f"{attribute.name}: {name!r} is not one of {', '.join(attrs.asdict(BLOCK_ALL))}, all")


def _destinations(items: tuple[str, ...], option: str = "event_destinations") -> dict[str, str]:
    """By their names. A URL may have commas, as a list has: what does not begin with a name is the rest of a URL."""
    found: dict[str, str] = {}
    name = ""
    for item in items:
        match = _DESTINATION.match(item)
        if match is not None:
            name = match[1]
            if name in found:
                raise ConfigError(f"{option}: there are two of the name {name}")
            found[name] = item[match.end() :]
        elif not name:
            raise ConfigError(f"{option}: name=URL, such as orders=https://example.com/hook")
        else:
            found[name] += f",{item}"
    return found


def _check_destinations(_: object, __: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    for name, url in _destinations(value).items():
        try:
            open_sender(url).close()
        except StoreError as error:
            raise ConfigError(f"event_destinations: {name}: {error}") from None


def _check_token(_: object, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and not (len(value) >= _MIN_TOKEN and value.isascii() and value.isprintable()):
        raise ConfigError(f"{attribute.name}: it has {_MIN_TOKEN} characters of ASCII at least")


def _check_replication_destinations(_: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    for name, url in _destinations(value, attribute.name).items():
        try:
            check_bucket_name(name)
            open_remote(url)
        except (StoreError, S3Error) as error:
            raise ConfigError(f"{attribute.name}: {name}: {error}") from None


def _one_of(*words: str) -> Callable[[object, attrs.Attribute[Any], str], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: str) -> None:
        if value not in words:
            raise ConfigError(f"{attribute.name}: {value!r} is not one of {', '.join(words)}")

    return check


def _at_least(least: int, most: int | None = None) -> Callable[[object, attrs.Attribute[Any], int], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: int) -> None:
        if value < least or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"between {least} and {most}"
            raise ConfigError(f"{attribute.name}: {value} is not {bounds}")

    return check


def _check_audit(_: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    for text in value:
        if not AUDIT_URL.match(text):
            if not Path(text).absolute().parent.is_dir():
                raise ConfigError(f"{attribute.name}: there is no folder {Path(text).absolute().parent}")
            if Path(text).is_dir():
                raise ConfigError(f"{attribute.name}: {text} is a folder: name a file in it")
        elif not text.startswith("syslog:"):
            try:
                open_sender(text).close()
            except StoreError as error:
                raise ConfigError(f"{attribute.name}: {error}") from None


@attrs.frozen(kw_only=True)
class ServerConfig(AppConfig):
    """What `bleepstore serve` and `app_from_env` can be told."""

    data: str = setting("bleepstore-data", 'the folder of the store; ":memory:" keeps nothing, with one worker')
    read_only: bool = setting(
        False, "change nothing: serve a folder as it is, also on a disk that is mounted read-only"
    )
    host: str = setting("127.0.0.1", "the address to listen on; 0.0.0.0 is every IPv4 interface")
    port: int = setting(9000, "the port to listen on; 0 picks a free one", validator=_at_least(0, 65535))
    admin: bool = setting(
        True, "listen at a second address for health, metrics and administration; only `bleepstore serve` does"
    )
    admin_host: str = setting("127.0.0.1", "the address to listen on for these; whoever reaches it reads the metrics")
    admin_port: int | None = setting(
        None,
        "the port for these; 0 picks a free one; without, the one after `port`, or a free one",
        validator=validators.optional(_at_least(0, 65535)),
    )
    console: bool = setting(True, "show the console at the admin address: /console/ there")
    admin_on_s3_port: bool = setting(
        False, "answer GETs of /health, /metrics, /docs and /openapi.json at the S3 port too, to anybody"
    )
    workers: int = setting(
        min(os.cpu_count() or 1, 4),
        "worker processes; they share the store, and one in memory has one",
        validator=_at_least(1),
    )
    threads: int = setting(
        8, "threads of a worker that run at a time, for what takes longer than a commit", validator=_at_least(1)
    )
    tls_cert: str | None = setting(None, "a certificate chain in PEM; serves HTTPS")
    tls_key: str | None = setting(None, "the certificate's private key in PEM")
    client_timeout: int = setting(30, "seconds that a client may stall while it sends or reads", validator=_at_least(1))
    header_timeout: int = setting(
        5, "seconds for a TLS handshake, and for the header of a request from its first byte on", validator=_at_least(1)
    )
    min_rate: int = setting(
        1024,
        "bytes a second that a client has to send or read, once it was waited for as long as it may stall; 0: any",
        validator=_at_least(0),
    )
    max_connections: int = setting(
        10_000, "connections of each worker; fewer if the system allows less open files", validator=_at_least(1)
    )
    backend_url: str | None = setting(
        None,
        "where objects are stored: s3://, gs:// or az://, a bucket or container, a prefix; the catalog stays in `data`",
    )
    backend_layout: str = setting(
        "keys", 'there: "keys", each under its own key, or "blobs"', validator=_one_of("keys", "blobs")
    )
    backend_endpoint_url: str | None = setting(None, "there: the provider's address, where it is another")
    inline_limit: int | None = setting(
        None,
        "objects of up to this many bytes are kept in the catalog; 65536, 1024 in memory, none elsewhere",
        validator=validators.optional(_at_least(0, 1 << 20)),
    )
    acl_defaults: str = setting(
        "s3",
        'new buckets: "s3", ACLs are disabled and public access is blocked; "legacy", ACLs count, nothing is blocked',
        validator=_one_of(*ACL_DEFAULTS),
    )
    public_access_block: tuple[str, ...] = setting(
        (),
        "what is blocked in all buckets, whatever they are set to: block_public_acls, ignore_public_acls, "
        "block_public_policy, restrict_public_buckets, or all",
        validator=_check_block,
    )
    encryption_key_file: str | None = setting(
        None, "the master keys of encryption; without, `encryption.keys` in `data`, which is made when one is needed"
    )
    encryption_keys: str | None = setting(
        None,
        "the same as a text: names and keys in base64, with commas between; only by file or environment",
        flag=False,
        repr=False,
    )
    upload_expiry_days: int = setting(7, "unfinished multipart uploads are removed after this", validator=_at_least(1))
    restore_delay: int = setting(
        0, "seconds from RestoreObject until an archived object can be read", validator=_at_least(0)
    )
    scrub_interval_days: int = setting(
        0,
        "read everything and log what is damaged, so many days after the last time; 0 is never",
        validator=_at_least(0),
    )
    scrub_rate: int = setting(20_000_000, "bytes a second that such a scrub reads at the most", validator=_at_least(1))
    replication_destinations: tuple[str, ...] = setting(
        (),
        "buckets at other endpoints of S3 that the replication of buckets may name: name=s3+https://KEY@HOST/BUCKET",
        validator=_check_replication_destinations,
        repr=False,
    )
    event_destinations: tuple[str, ...] = setting(
        (),
        "the queues, topics and functions that notifications may name: name=URL; https:// is a webhook",
        validator=_check_destinations,
        repr=False,
    )
    create_bucket: tuple[str, ...] = setting((), "a bucket that there is to be, made at the start unless it is there")
    seed: str | None = setting(
        None, "a directory whose folders are buckets: what of it the store does not have is stored at the start"
    )
    init: str | None = setting(
        None, "a file, TOML or JSON, that declares accounts, users, keys, roles and buckets that there are to be"
    )
    admin_token: str | None = setting(
        None,
        "whoever brings it at the admin address is an administrator; only by file or environment",
        flag=False,
        repr=False,
        validator=_check_token,
    )
    admin_token_file: str | None = setting(None, "a file whose one line is the admin_token")
    faults: tuple[str, ...] = setting(
        (), "for tests: what to do wrong on purpose, such as PutObject=slowdown;times=1", validator=_check_faults
    )
    fault_seed: int | None = setting(None, "makes the faults of a probability repeatable, in each worker")
    secret_key_file: str | None = setting(None, "a file whose one line is the secret of `access_key`")
    log_format: str = setting(
        "text",
        'what the server logs to standard error: "text", or "json", a line for each',
        validator=_one_of("text", "json"),
    )
    access_log: bool = setting(False, "log each request to standard output")
    traces: bool = setting(
        False, "follow requests by OpenTelemetry, and send that to the collector that the variables OTEL_... name"
    )
    traces_keys: bool = setting(False, "with the keys of objects; without, with their lengths")
    audit_log: tuple[str, ...] = setting(
        (),
        "where it is written who did what: a file, syslog:, syslog://HOST:PORT, or a URL as in event_destinations",
        validator=_check_audit,
        repr=False,
    )
    audit_reads: bool = setting(False, "write what only reads too")
    audit_full: str = setting(
        "go-on",
        'what to do while the audit log cannot be written: "go-on", and count what is lost, or "refuse" requests',
        validator=_one_of("go-on", "refuse"),
    )
    audit_max_bytes: int = setting(
        100_000_000, "a file of the audit log of this size is moved to FILE.1; 0 is never", validator=_at_least(0)
    )
    audit_keep: int = setting(10, "how many such files are kept", validator=_at_least(0))
    #: Where each setting comes from that is not a default, for people.
    sources: Mapping[str, str] = attrs.field(factory=dict, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("tls_cert and tls_key: set both or neither")
        if self.backend_url is None and self.backend_endpoint_url is not None:
            raise ConfigError("backend_endpoint_url: set backend_url too")
        if self.encryption_key_file is not None and self.encryption_keys is not None:
            raise ConfigError("encryption_key_file and encryption_keys: set one of them")
        if self.scrub_interval_days and (self.in_memory or self.backend_url is not None):
            raise ConfigError("scrub_interval_days: only a folder is scrubbed")
        if self.backend_url is not None and not is_gateway_url(self.backend_url):
            raise ConfigError(f"backend_url: {self.backend_url!r} does not begin with s3://, gs:// or az://")
        if self.read_only and (self.in_memory or self.backend_url is not None):
            raise ConfigError("read_only: it is for a store in a folder")
        if self.read_only and (self.create_bucket or self.seed or self.init):
            raise ConfigError("read_only: create_bucket, seed and init would change the store")
        for name in ("tls_cert", "tls_key"):
            path = getattr(self, name)
            if path is not None and not Path(path).is_file():
                raise ConfigError(f"{name}: there is no file {path}")

    @property
    def blocked_everywhere(self) -> PublicAccessBlock | None:
        names = self.public_access_block
        if "all" in names:
            return BLOCK_ALL
        return PublicAccessBlock(**dict.fromkeys(names, True)) if names else None

    @property
    def destinations(self) -> dict[str, str]:
        """Where events go: name -> URL."""
        return _destinations(self.event_destinations)

    @property
    def remotes(self) -> dict[str, str]:
        """The URLs of `replication_destinations` by their names."""
        return _destinations(self.replication_destinations, "replication_destinations")

    @property
    def in_memory(self) -> bool:
        return self.data == ":memory:"


SETTINGS: tuple[attrs.Attribute[Any], ...] = tuple(
    field for field in attrs.fields(attrs.resolve_types(ServerConfig)) if "help" in field.metadata
)


# -- secrets


def is_text(text: str) -> bool:
    """Whether it came of UTF-8: Python shows bytes that did not as lone surrogates."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def clean_secret(text: str, origin: str) -> str:
    """A secret as given, which is one line of text. Raises ConfigError, which does not show it."""
    if not text:
        raise ConfigError(f"{origin}: the secret is empty")
    if not is_text(text):
        raise ConfigError(f"{origin}: the secret is not UTF-8")
    if not text.isprintable():
        raise ConfigError(f"{origin}: the secret must be one line without control characters")
    return text


def read_secret_file(name: str, origin: str) -> str:
    """The secret in a file of one line; "-" is standard input. Raises ConfigError, which does not show it."""
    try:
        data = sys.stdin.buffer.read(_MAX_SECRET) if name == "-" else _read_start(Path(name))
    except OSError as error:
        raise ConfigError(f"{origin}: {name} cannot be read: {error.strerror}") from None
    if len(data) == _MAX_SECRET:
        raise ConfigError(f"{origin}: {name} is too long for a secret")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{origin}: the secret is not UTF-8") from None
    return clean_secret(text.removesuffix("\n").removesuffix("\r"), origin)


def _read_start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_SECRET)


# -- from text and TOML to values


def _read_int(value: object, _: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    raise ValueError(f"{value!r} is not a whole number")


_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


def _read_bool(value: object, _: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _TRUE | _FALSE:
        return value.strip().lower() in _TRUE
    raise ValueError(f"{value!r} is not true or false")


def _read_str(value: object, _: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise ValueError(f"{value!r} is not a text")


def _read_list(value: object, _: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ValueError(f"{value!r} is not a list of texts")


_converter = Converter()
_converter.register_structure_hook(int, _read_int)
_converter.register_structure_hook(bool, _read_bool)
_converter.register_structure_hook(str, _read_str)
_converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _read_list)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the configuration file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration file {path} is not TOML: {error}") from None


def load_config(
    *, file: Path | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> ServerConfig:
    """The configuration out of `file` (or the file that BLEEPSTORE_CONFIG names), `environ` and `flags`.

    An unknown key is an error in each of them. Raises ConfigError, which names the key and where it came from.
    """
    environ = {} if environ is None else environ
    given: dict[str, tuple[str, object]] = {}
    path = file or (Path(environ["BLEEPSTORE_CONFIG"]) if "BLEEPSTORE_CONFIG" in environ else None)
    if path is not None:
        for name, value in _read_file(path).items():
            if name == "backend" and isinstance(value, dict):
                for part, text in value.items():
                    given[f"backend_{part}"] = (f"{part} in [backend] in {path}", text)
            else:
                given[name] = (f"{name} in {path}", value)
    for variable, text in environ.items():
        if variable.startswith(PREFIX) and not is_text(text):
            raise ConfigError(f"{variable} is not UTF-8")
        if variable.startswith(PREFIX) and variable != "BLEEPSTORE_CONFIG":
            given[variable.removeprefix(PREFIX).lower()] = (variable, text)
    for name, value in (flags or {}).items():
        given[name] = ("--" + name.replace("_", "-"), value)
    known = {setting.name: setting for setting in SETTINGS}
    values: dict[str, object] = {}
    for name, (origin, value) in given.items():
        if name not in known:
            raise ConfigError(f"{origin}: there is no such setting; known are {', '.join(sorted(known))}")
        try:
            values[name] = _converter.structure(value, cast("Any", known[name].type))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{origin}: {error}") from None
    for name in ("secret_key", "admin_token"):
        if (file_name := values.get(f"{name}_file")) is not None:
            if name in values:
                raise ConfigError(f"{name} and {name}_file: set one of them")
            values[name] = read_secret_file(str(file_name), given[f"{name}_file"][0])
    sources = {name: origin for name, (origin, _value) in given.items()}
    config = ServerConfig(**cast("dict[str, Any]", values), sources=sources)
    return attrs.evolve(config, workers=1) if config.in_memory and "workers" not in values else config
