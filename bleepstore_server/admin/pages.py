"""/openapi.json, and /docs: the same for people, as one page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape

import attrs

import bleepstore
from bleepstore_server.admin.openapi import describe, dump, path_of, s3_operations
from bleepstore_server.admin.rows import Call, Row, Who
from bleepstore_server.admin.schemas import fields_of
from bleepstore_server.banner import url_of
from bleepstore_server.response import Response

_STYLE = """
:root { color-scheme: light dark; --line: #8883; --soft: #8888; --code: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 2rem 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { margin: 0 0 1rem; }
ul { list-style: none; margin: 0; padding: 0; }
li { border-top: 1px solid var(--line); padding: .6rem 0; }
code, .path { font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere; }
.method { display: inline-block; min-width: 4.5em; font: 600 .8em ui-monospace, monospace; }
.who { color: GrayText; font-size: .85em; }
dl { margin: .4rem 0 0 4.5em; font-size: .9em; display: grid; grid-template-columns: max-content 1fr; gap: 0 1em; }
dt { color: GrayText; } dd { margin: 0; }
@media (max-width: 40rem) { dl { margin-left: 0; } }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    "Content-Security-Policy",
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
_WHO = {Who.ANYBODY: "", Who.ADMIN: "administrators"}


def _openapi(call: Call) -> Response:
    config = call.services.config
    document = describe(call.rows, config.public_endpoint or url_of(config, config.host, config.port))
    return Response(200, [("Content-Type", "application/json")], dump(document))


def _docs(call: Call) -> Response:
    rows = [(row, _of_row(row)) for row in call.rows]
    parts = [
        _section("Server", (item for row, item in rows if row.who is Who.ANYBODY)),
        _section("Administration", (item for row, item in rows if row.who is Who.ADMIN)),
        _section("S3", (_item(route.method, path_of(route), route.operation) for route in s3_operations())),
    ]
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>BleepStore</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><main>'
        f"<h1>BleepStore {escape(bleepstore.__version__)}</h1>"
        f'<p>What this server answers. For programs: <a href="openapi.json">openapi.json</a>. What is behind a # is a '
        f"parameter of the query, or a header.</p>{''.join(parts)}</main></body></html>"
    )
    return Response(200, [("Content-Type", "text/html; charset=utf-8"), _POLICY], page.encode())


def _section(title: str, items: Iterable[str]) -> str:
    found = "".join(items)
    return f"<section><h2>{escape(title)}</h2><ul>{found}</ul></section>" if found else ""


def _of_row(row: Row) -> str:
    shapes = (("Query", row.query), ("Body", row.body), ("Answer", row.answer))
    lists = "".join(f"<dt>{name}</dt><dd>{_fields(shape)}</dd>" for name, shape in shapes if shape is not None)
    return _item(row.method, row.path, row.summary, _WHO[row.who], f"<dl>{lists}</dl>" if lists else "")


def _item(method: str, path: str, text: str, who: str = "", details: str = "") -> str:
    return (
        f'<li><span class="method">{escape(method)}</span><span class="path">{escape(path)}</span> '
        f'<span class="who">{escape(who)}</span><br>{escape(text)}{details}</li>'
    )


def _fields(shape: type) -> str:
    names = (f"{field.name}?" if field.default is not attrs.NOTHING else field.name for field in fields_of(shape))
    return ", ".join(f"<code>{escape(name)}</code>" for name in names)


ROWS = (
    Row(
        method="GET",
        path="/openapi.json",
        who=Who.ANYBODY,
        summary="The description of both ports: OpenAPI 3.1",
        handler=_openapi,
        on_s3_port=True,
    ),
    Row(
        method="GET",
        path="/docs",
        who=Who.ANYBODY,
        summary="The same as a page",
        handler=_docs,
        media_type="text/html",
        on_s3_port=True,
    ),
)
