"""Writes the reference pages that follow from the code: `python docs/generate.py`. A test compares them."""

from __future__ import annotations

from pathlib import Path

from bleepstore_server.config import PREFIX, SETTINGS
from bleepstore_server.operations import configuration as configuration_operations
from bleepstore_server.operations.archived import get_object_torrent
from bleepstore_server.router import ROUTES

_DONE, _EMPTY, _REFUSED = "yes", "as for a bucket without it", "501 NotImplemented"
_ENDED = "405 MethodNotAllowed, as S3"
HERE = Path(__file__).parent / "reference"


def configuration() -> str:
    """The page about settings."""
    rows = []
    for setting in SETTINGS:
        flag = "`--" + setting.name.replace("_", "-") + "`" if setting.metadata["flag"] else ""
        default = setting.default
        shown = "" if default in (None, ()) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        if setting.name == "workers":
            shown = "one for each core, up to 4"
        rows.append(f"| `{setting.name}` | {flag} | {shown} | {setting.metadata['help']} |")
    table = "\n".join(rows)
    return f"""# Configuration

Flags win over the environment, the environment over the TOML file, and that over the defaults. A setting `tls_cert` is
the key `tls_cert` of the file, the variable `{PREFIX}TLS_CERT`, and the flag `--tls-cert`. Lists are TOML lists, or
comma-separated; the flag of one may be repeated. An unknown key or variable is an error. `--config FILE` or
`{PREFIX}CONFIG` names the file.

| setting | flag | default | |
| --- | --- | --- | --- |
{table}
"""


def operations() -> str:
    """The matrix of S3 operations, out of the router."""
    groups: dict[str, set[str]] = {_DONE: set(), _EMPTY: set(), _ENDED: set(), _REFUSED: set()}
    for route in ROUTES:
        if route.function is None:
            groups[_REFUSED].add(route.operation)
        elif route.function is get_object_torrent:
            groups[_ENDED].add(route.operation)
        else:
            empty = route.function.__module__ == configuration_operations.__name__
            groups[_EMPTY if empty else _DONE].add(route.operation)
    groups[_REFUSED] -= groups[_DONE] | groups[_EMPTY]
    rows = "\n".join(f"| {name} | {group} |" for group, names in groups.items() for name in sorted(names))
    return f"""# S3 operations

Drawn from the router's table. {len(groups[_DONE])} operations are implemented. {len(groups[_EMPTY])} more concern
configurations that no bucket can have here: reading one answers as S3 does for a bucket without it, and deleting it
succeeds. Every other operation ({len(groups[_REFUSED])}) is refused with 501 NotImplemented.

| operation | |
| --- | --- |
{rows}
"""


PAGES = {"configuration.md": configuration, "operations.md": operations}


def main() -> None:
    for name, render in PAGES.items():
        (HERE / name).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
