"""That everybody can use the console: axe-core finds nothing serious in any page, and a phone needs no scrolling to the
side; and that what strangers have stored never runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore import Store, Versioning
from tests.clients.conftest import need
from tests.cluster_store import open_nodes
from tests.console.browser import PHONE, Shown, Window, chromium, screenshots, show, window
from tests.console.conftest import ROOT, SECRET
from tests.console.test_journeys import PNG

__all__ = ["chromium", "screenshots"]

pytestmark = pytest.mark.slow

LONG = "a-very-long-name-without-any-space-" * 5
PAGES = {
    "buckets": "/buckets",
    "objects": "/buckets/photos",
    "objects-flat": "/buckets/photos?flat=1",
    "empty-folder": "/buckets/photos?prefix=none/",
    "nothing-found": "/buckets/photos?prefix=none",
    "delete-folder": "/buckets/photos/folder?key=a/",
    "delete-long-folder": f"/buckets/photos/folder?key={LONG}/",
    "image": "/buckets/photos/object?key=dot.png",
    "text": "/buckets/photos/object?key=notes.txt",
    "table": "/buckets/photos/object?key=table.csv",
    "pdf": "/buckets/photos/object?key=report.pdf",
    "archived": "/buckets/photos/object?key=old",
    "long": f"/buckets/photos/object?key={LONG}",
    "versions": "/buckets/photos/versions",
    "uploads": "/buckets/photos/uploads",
    "no-uploads": "/buckets/vault/uploads",
    "settings": "/buckets/photos/settings",
    "explained": "/buckets/photos/settings?action=s3:GetObject&key=a&who=anybody#explain",
    "vault": "/buckets/vault/object?key=deed",
    "users": "/users",
    "user": "/users/ada",
    "quotas": "/quotas",
    "status": "/status",
    "jobs": "/jobs",
    "cluster": "/cluster",
    "notice": "/buckets?done=bucket_removed",
    "missing": "/buckets/no-such-bucket",
}


def fill(store: Store) -> None:
    store.put_credential(ROOT, SECRET)
    store.create_bucket("photos")
    store.put_bucket_versioning("photos", Versioning.ENABLED)
    for key in ("notes.txt", "a/b", LONG, f"{LONG}/{LONG}"):
        store.put_object("photos", key, f"{LONG}\n".encode() * 5, content_type="text/plain", tags={"a": "b"})
    store.put_object("photos", "notes.txt", b"again")
    store.put_object("photos", "dot.png", PNG, content_type="image/png", metadata={"camera": "X100"})
    cells = ",".join(f"{LONG}{number}" for number in range(20))
    store.put_object("photos", "table.csv", f"{cells}\n{cells}\n".encode())
    store.put_object("photos", "report.pdf", b"%PDF-1.7", content_type="application/pdf")
    store.put_object("photos", "old", b"old", storage_class="GLACIER")
    store.delete_object("photos", "a/b")
    store.create_upload("photos", f"{LONG}.bin")
    store.create_bucket("vault", object_lock=True)
    store.put_object("vault", "deed", b"deed", legal_hold=True)
    store.users.add("ada")
    store.users.put_policy("ada", "readonly", bleepstore.CannedPolicy.READONLY.document())
    store.put_credential("ADA", "ada's secret", user="ada")
    store.put_credential("DISABLED", "a secret", user="ada")
    store.disable_credential("DISABLED")
    store.put_quota(bucket="photos", max_bytes=10**9)
    store.put_rate_limit(access_key="ADA", max_requests=10)


@pytest.fixture(scope="module")
def filled() -> Iterator[Shown]:
    with bleepstore.open() as store:
        fill(store)
        with show(store) as found:
            yield found


@pytest.fixture(scope="module")
def axe() -> str:
    return need("axe").read_text(encoding="utf-8")


def violations(page: Any, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{one['impact']} {one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical", "moderate")
    ]


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("desktop", "dark"), ("phone", "light")])
def test_axe_finds_nothing_in_any_page(
    chromium: Any, filled: Shown, screenshots: Path, axe: str, size: str, scheme: str
) -> None:
    options = {"color_scheme": scheme} | ({"viewport": PHONE} if size == "phone" else {})
    found: dict[str, list[str]] = {}
    with window(chromium, filled, screenshots, **options) as win:
        for name, path in PAGES.items():
            win.open(path)
            win.page.wait_for_load_state("networkidle") if name == "buckets" else None
            win.snap(f"{name}-{size}-{scheme}")
            wide = win.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            found[name] = violations(win.page, axe) + ([f"{wide} pixels too wide"] if wide > 0 else [])
        win.wrong[:] = [text for text in win.wrong if "404" not in text and "Failed to load resource" not in text]
    page = chromium.new_context(color_scheme=scheme, **({"viewport": PHONE} if size == "phone" else {})).new_page()
    page.goto(f"{filled.url}/sign-in")
    page.screenshot(path=screenshots / f"sign-in-{size}-{scheme}.png")
    found["sign-in"] = violations(page, axe)
    page.context.close()
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_axe_finds_nothing_in_the_page_of_a_cluster(chromium: Any, screenshots: Path, axe: str) -> None:
    with open_nodes() as nodes, nodes.open_at(next(iter(nodes.cluster.members.values()))) as store:
        store.put_credential(ROOT, SECRET)
        with show(store) as shown, window(chromium, shown, screenshots, viewport=PHONE) as win:
            win.open("/cluster")
            win.snap("cluster-of-three-phone")
            assert win.page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
            assert violations(win.page, axe) == []


# -- what strangers have stored

RUNS = "window.ran = true; alert(1)"
NAMES = (
    f"<script>{RUNS}</script>",
    f'"><img src=x onerror="{RUNS}">',
    f"' autofocus onfocus='{RUNS}",
    "javascript:alert(1)",
    "{{ 7 * 7 }}",
    "../../../users",
    "//evil.example/",
    "a\nb\r\nc\td\x00",
    "\u202egnp.exe",
    "?prefix=x&done=bucket_removed#hash",
    "%3Cscript%3E",
    " ",
    ".",
    "..",
    "/",
    "</textarea><script>alert(1)</script>",
    "\ufeff\u2028\ufdd0",
)
HTML = f"<!doctype html><script>{RUNS}</script><img src=x onerror='{RUNS}'>"
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="{RUNS}"><script>{RUNS}</script></svg>'


def test_nothing_that_is_stored_runs(chromium: Any, screenshots: Path) -> None:
    with bleepstore.open() as store:
        store.put_credential(ROOT, SECRET)
        store.create_bucket("hostile")
        store.put_bucket_versioning("hostile", Versioning.ENABLED)
        for name in NAMES:
            store.put_object(
                "hostile", name, HTML.encode(), content_type="text/html", metadata={"m": f"<script>{RUNS}</script>"},
                tags={"t": "a b"}, content_disposition="inline", cache_control=f'"><script>{RUNS}</script>',
            )  # fmt: skip
            store.create_upload("hostile", name)
        others = {
            "a.svg": (SVG, "image/svg+xml"),
            "fake.png": (SVG, "image/png"),
            "page.html": (HTML, "text/html"),
            "a.xhtml": (HTML, "application/xhtml+xml"),
            "a.csv": (f"{HTML}\n1\n", "text/csv"),
            "a.json": (json.dumps([{HTML: HTML}]), "application/json"),
        }
        for key, (text, content_type) in others.items():
            store.put_object("hostile", key, text.encode(), content_type=content_type)
        with show(store) as found, window(chromium, found, screenshots) as win:
            win.page.on("dialog", lambda dialog: win.wrong.append(f"asked {dialog.message}"))
            visit_all(win, [*NAMES, *others])
            win.wrong[:] = [text for text in win.wrong if "Failed to load resource" not in text]


def visit_all(win: Window, keys: list[str]) -> None:
    page = win.page
    for path in (
        "/buckets/hostile",
        "/buckets/hostile?flat=1",
        "/buckets/hostile/versions",
        "/buckets/hostile/uploads",
    ):
        win.open(path)
        assert not page.evaluate("window.ran || false"), path
    win.open("/buckets/hostile?flat=1")
    links = page.locator("#listing th a").evaluate_all("links => links.map(link => link.href)")
    assert len(links) == len(keys)
    for link in links:
        page.goto(link)
        assert page.url.startswith(win.shown.url), link
        assert page.locator("#preview_title").count() == 1, link
        assert not page.evaluate("window.ran || false"), link
        with page.expect_download():  # a file, whatever it says that it is
            page.get_by_role("link", name="Download").click()
    for kind in ("image", "download"):
        answer = page.request.get(f"{win.shown.url}/buckets/hostile/object/{kind}?key=a.svg")
        assert answer.headers["content-type"] in ("application/octet-stream", "text/html; charset=utf-8")
    win.snap("hostile")
