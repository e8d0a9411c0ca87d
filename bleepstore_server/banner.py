"""What `bleepstore serve` prints once it listens: where, the keys, and lines to paste."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import attrs

import bleepstore
from bleepstore.store.settings import KEY_FILE
from bleepstore_server.app_config import WELL_KNOWN
from bleepstore_server.config import ServerConfig

_ASKED = "input('secret key: ')"


@attrs.frozen
class ShownKeys:
    """The access key of the lines to paste, and its secret or ways to it."""

    access_key: str
    #: What stands behind the keys, for people.
    key_note: str
    secret: str
    #: The secret as an expression of Python, and as a word of the shell.
    in_python: str
    in_shell: str
    #: How the secrets that the store has are stored.
    storage_note: str = ""


def _plain(pair: tuple[str, str], note: str) -> ShownKeys:
    access_key, secret = pair
    return ShownKeys(access_key, "", f"{secret} ({note})", repr(secret), shlex.quote(secret))


def _program() -> str:
    """How the command line of this program begins, as words of the shell."""
    if Path(sys.argv[0]).name == "bleepstore":
        return "bleepstore" if shutil.which("bleepstore") else shlex.quote(str(Path(sys.argv[0]).absolute()))
    return f"{shlex.quote(sys.executable)} -m bleepstore_server"


def _folder(config: ServerConfig) -> str:
    return f"--data {shlex.quote(str(Path(config.data).absolute()))}"


def keys_made(config: ServerConfig, pair: tuple[str, str]) -> ShownKeys:
    """Of a pair that this start made."""
    if config.in_memory:
        return _plain(pair, "made now, until the server ends")
    command = f"{_program()} keys show-secret --access-key {pair[0]} {_folder(config)}"
    return _plain(pair, f"made now; `{command}` shows it again")


def keys_configured(config: ServerConfig) -> ShownKeys:
    """Of the pair in the configuration, whose secret is not shown."""
    access_key = str(config.access_key)
    if config.secret_key_file is not None:
        in_shell = f'"$(cat {shlex.quote(str(Path(config.secret_key_file).absolute()))})"'
    else:
        in_shell = '"${BLEEPSTORE_SECRET_KEY:?the secret of the configuration}"'
    return ShownKeys(access_key, " (as configured)", "as configured", _ASKED, in_shell)


def keys_well_known() -> ShownKeys:
    return _plain(WELL_KNOWN, "well known: for tests only")


def keys_stored(config: ServerConfig, enabled: list[str]) -> ShownKeys:
    """Of the keys that the store has from earlier; their secrets are not shown."""
    folder = _folder(config)
    access_key = enabled[0] if enabled else "ADMIN"
    named = f"--access-key {shlex.quote(access_key)} {folder}"
    show, add = f"{_program()} keys show-secret {named}", f"{_program()} keys add {named}"
    if not enabled:
        note = f" (none is enabled yet: `{add}` makes this one)"
    elif len(enabled) > 1:
        note = f" (and {len(enabled) - 1} more: `{_program()} keys list {folder}`)"
    else:
        note = ""
    return ShownKeys(access_key, note, f"`{show}` shows it, `{add}` makes a new one", _ASKED, f'"$({show})"')


def _encryption(config: ServerConfig) -> str:
    """Where the keys are without which what is encrypted is lost."""
    if config.encryption_keys is not None:
        return "  encryption  with the keys of the configuration\n"
    if config.encryption_key_file is not None:
        return f"  encryption  with the keys in {Path(config.encryption_key_file).absolute()}\n"
    made = Path(config.data).absolute() / KEY_FILE
    return f"  encryption  with the keys in {made}: keep a copy\n" if made.exists() else ""


def storage_note(sealed: int, plain: int) -> str:
    """How the secrets of so many access keys are stored."""
    if plain:
        return f"{plain} stored as they are, in a file that its owner alone may read (`bleepstore keys seal` encrypts)"
    return "stored encrypted" if sealed else ""


def url_of(config: ServerConfig, host: str, port: int) -> str:
    """Of what listens there, as this machine reaches it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{'https' if config.tls_cert else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def render_banner(config: ServerConfig, url: str, keys: ShownKeys) -> str:
    """`config` has the admin port that was found; None: there is none."""
    admin = (
        "" if config.admin_port is None else f"  admin       {url_of(config, config.admin_host, config.admin_port)}\n"
    )
    if config.console_url is not None:
        admin += f"  console     {config.console_url}\n"
    verify = bundle = ""
    if config.tls_cert and not config.public_endpoint:
        # Most probably made for this machine, so that no client knows who signed it.
        certificate = str(Path(config.tls_cert).absolute())
        verify, bundle = f", verify={certificate!r}", f"--ca-bundle {shlex.quote(certificate)} "
    storage = f"  secrets     {keys.storage_note}\n" if keys.storage_note else ""
    warning = f"  FAULTS      on purpose: {', '.join(config.faults)}\n" if config.faults else ""
    return (
        f"BleepStore {bleepstore.__version__} serves {config.data} at {url}\n{warning}{admin}{_encryption(config)}"
        f"  access key  {keys.access_key}{keys.key_note}\n"
        f"  secret key  {keys.secret}\n{storage}"
        f"  boto3       boto3.client('s3', endpoint_url={url!r}, aws_access_key_id={keys.access_key!r}, "
        f"aws_secret_access_key={keys.in_python}, region_name={config.region!r}{verify})\n"
        f"  AWS CLI     AWS_ACCESS_KEY_ID={shlex.quote(keys.access_key)} AWS_SECRET_ACCESS_KEY={keys.in_shell} "
        f"AWS_REGION={shlex.quote(config.region)} aws --endpoint-url {shlex.quote(url)} {bundle}s3 ls\n"
    )
