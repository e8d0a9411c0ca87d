"""Writes the reference pages that follow from the code: `python docs/generate.py`. A test compares them."""

from __future__ import annotations

from pathlib import Path

import attrs

from bleepstore.configurations import ACTED_UPON
from bleepstore_server.admin.rows import Who
from bleepstore_server.admin.table import ROWS
from bleepstore_server.cli import make_parser
from bleepstore_server.completion import commands_of
from bleepstore_server.config import PREFIX, SETTINGS
from bleepstore_server.operations import metadata_tables, stored
from bleepstore_server.operations.archived import get_object_torrent
from bleepstore_server.router import ROUTES, SHARED_ROWS

_DONE, _STORED, _REFUSED = "yes", "stored", "501 NotImplemented"
_STORING = {stored.__name__, metadata_tables.__name__}
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
`{PREFIX}CONFIG` names the file. [Observe a server](../howto/observe.md#audit-log) tells what the
audit log has.

| setting | flag | default | |
| --- | --- | --- | --- |
{table}
"""


#: Why an operation is refused, by what its name has in it.
_REASONS = {
    "Annotation": "annotations of objects are not built yet",
    "CreateSession": "only directory buckets (S3 Express) have sessions",
    "RenameObject": "only directory buckets (S3 Express) rename",
    "SelectObjectContent": "Amazon has closed it to new customers",
}


#: Operations that are not refused by a row of the router's table, and not there either -> why.
_ABSENT = {
    "ListDirectoryBuckets": "there are no directory buckets (S3 Express); it is answered as ListBuckets",
    "WriteGetObjectResponse": "functions of Object Lambda alone call it, at a host of their own",
}


def _reason(operation: str) -> str:
    return next(reason for part, reason in _REASONS.items() if part in operation)


def operations() -> str:
    """The matrix of S3 operations, out of the router."""
    groups: dict[str, set[str]] = {_DONE: set(), _STORED: set(), _ENDED: set(), _REFUSED: set()}
    for route in ROUTES:
        if route.function is None:
            groups[_REFUSED].add(route.operation)
        elif route.function is get_object_torrent:
            groups[_ENDED].add(route.operation)
        else:
            is_stored = route.function.__module__ in _STORING and route.sub_resource not in ACTED_UPON
            groups[_STORED if is_stored else _DONE].add(route.operation)
    groups[_REFUSED] -= groups[_DONE] | groups[_STORED]
    for names in groups.values():
        names |= {name for name, row in SHARED_ROWS.items() if row in names and name not in _ABSENT}
    rows = "\n".join(
        f"| {name} | {group}{f': {_reason(name)}' if group == _REFUSED else ''} |"
        for group, names in groups.items()
        for name in sorted(names)
    )
    rows += "".join(f"\n| {name} | no: {reason} |" for name, reason in _ABSENT.items())
    return f"""# S3 operations

Drawn from the router's table. {len(groups[_DONE])} operations are implemented. {len(groups[_STORED])} more are on
configurations that are `stored`: checked as S3 checks them, kept, shown as they were given and removed, but nothing
acts upon them. Every other operation ({len(groups[_REFUSED])}) is refused with 501 NotImplemented.

The tables of a metadata configuration are in S3 Tables, a service of its own, and not here: each is shown with the
status FAILED and an error that says so, whatever is stored.

The queues, topics and functions that a notification may name are those that the server was told of
([React to events](../howto/react-to-events.md)). One with another is refused as S3 refuses what it cannot reach
("Unable to validate the following destination configurations"); with `SkipDestinationValidation=True` it is stored,
and nothing is delivered. Amazon EventBridge is not there: that a bucket sends to it is stored, and nothing is sent.

| operation | |
| --- | --- |
{rows}
"""


def _fields(shape: type | None) -> str:
    """The fields of a shape, those that must be given first."""
    if shape is None:
        return ""
    fields = attrs.fields(shape)
    return ", ".join(f"`{field.name}`" + ("" if field.default is attrs.NOTHING else "?") for field in fields)


def admin_api() -> str:
    """The rows of the admin address."""
    rows = "\n".join(
        f"| `{row.method} {row.path}` | {row.summary} "
        f"| {_fields(row.query)} | {_fields(row.body)} | {_fields(row.answer)} |"
        for row in ROWS
        if row.who is Who.ADMIN
    )
    return f"""# Admin API

At the [admin address](../howto/admin-api.md), for administrators. What has a `?` may be left out.

| | | query | body | answer |
| --- | --- | --- | --- | --- |
{rows}
"""


def command_line() -> str:
    """Each command with its flags."""
    parts = []
    for command in commands_of(make_parser()):
        flags = "\n".join(f"| `{flag}` | {said} |" for flag, said in command.flags.items() if flag != "--help")
        if command.words and flags and command.words != ("serve",):
            said = f"{command.help[0].upper()}{command.help[1:]}." if command.help else ""
            parts.append(f"## bleepstore {' '.join(command.words)}\n\n{said}\n\n| | |\n| --- | --- |\n{flags}\n")
    return f"""# Command line

Each command says more with `--help`. The flags of `bleepstore serve` are [its settings](configuration.md). `bleepstore
completion` makes scripts for bash, zsh and fish.

{chr(10).join(parts)}"""


PAGES = {
    "configuration.md": configuration,
    "command-line.md": command_line,
    "admin-api.md": admin_api,
    "operations.md": operations,
}


def main() -> None:
    for name, render in PAGES.items():
        (HERE / name).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
