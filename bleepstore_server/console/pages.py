"""Pages: templates, texts, and how values are shown."""

from __future__ import annotations

import datetime as dt
import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup, escape
from werkzeug.wrappers import Request, Response

import bleepstore
from bleepstore_server.console.assets import asset_version

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "bleepstore_theme"
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


class Texts:
    """A table of texts, and of tables: `texts["nav"]["buckets"]`, in templates `t.nav.buckets`. It has no methods,
    whose names would hide texts of these names."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.table = table

    def __getitem__(self, name: str) -> Any:
        found = self.table[name]
        return Texts(found) if isinstance(found, dict) else found


@functools.cache
def load_texts() -> Texts:
    """All that the console says, from the one file that has it."""
    return Texts(tomllib.loads(resources.files(__package__).joinpath("texts.toml").read_text(encoding="utf-8")))


@functools.cache
def _environment() -> jinja2.Environment:
    """The templates, compiled once for all consoles of a process."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "size": shown_size,
        "time": shown_time,
        "iso": iso_time,
        "count": shown_count,
        "code": with_code,
    }
    environment.globals |= {
        "t": load_texts(),
        "asset_version": asset_version(),
        "product_version": bleepstore.__version__,
    }
    return environment


class Pages:
    """Renders the templates. What is put into them is escaped, all of it."""

    def __init__(self) -> None:
        self.texts = load_texts()
        self._environment = _environment()

    def render(self, request: Request, template: str, **values: Any) -> str:
        theme = request.cookies.get(THEME_COOKIE, "auto")
        common = {"root": request.root_path.rstrip("/"), "theme": theme if theme in THEMES else "auto"}
        return self._environment.get_template(template).render(**common, **values)


def html(text: str, status: int = 200) -> Response:
    """A page. Half of a surrogate pair, which JSON may have and UTF-8 may not, is shown as a question mark."""
    return Response(text.encode("utf-8", "replace"), status, content_type="text/html; charset=utf-8")


def shown_size(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    amount = float(size)
    for unit in _UNITS:
        amount /= 1024
        if amount < 999.5 or unit == _UNITS[-1]:
            break
    return f"{amount:.1f} {unit}" if amount < 99.95 else f"{amount:.0f} {unit}"


def shown_count(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")


def _time(time_ms: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=time_ms)


def iso_time(time_ms: int) -> str:
    return _time(time_ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown_time(time_ms: int) -> str:
    return _time(time_ms).strftime("%Y-%m-%d %H:%M:%S UTC")


def with_code(text: str) -> Markup:
    """A text whose parts between backticks are code."""
    parts = str(text).split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )
