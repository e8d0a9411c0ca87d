"""A site of static files in a real browser: `bleepstore import`, `bleepstore serve --website-domain`, chromium."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.conftest import client_environment, need
from tests.serving.conftest import Served, serve

__all__ = ["serve"]

PAGE = """<!doctype html><link rel="stylesheet" href="style.css"><p id="shown">nothing</p>
<script type="module" src="docs/page.js"></script>"""
#: A module runs only if its Content-Type is that of scripts.
SCRIPT = """
const missing = await fetch("/no/such/<b>");
const page = await fetch("/docs");  // which is sent to /docs/
const moved = await fetch("/old/page.js");
document.getElementById("shown").textContent = [
  missing.status, await missing.text(), new URL(page.url).pathname, await page.text(), new URL(moved.url).pathname,
  getComputedStyle(document.body).color,
].join(" | ");
"""
SITE = {
    "IndexDocument": {"Suffix": "index.html"},
    "ErrorDocument": {"Key": "missing.html"},
    "RoutingRules": [
        {
            "Condition": {"KeyPrefixEquals": "old/"},
            "Redirect": {"ReplaceKeyPrefixWith": "docs/", "HttpRedirectCode": "302"},
        }
    ],
}  # fmt: skip


@pytest.mark.slow
def test_a_site_works_in_a_browser(serve: Callable[..., Served], tmp_path: Path) -> None:
    chromium = need("chromium")
    site = tmp_path / "site"
    (site / "docs").mkdir(parents=True)
    for name, text in (
        ("index.html", PAGE), ("docs/index.html", "the docs"), ("docs/page.js", SCRIPT),
        ("missing.html", "lost"), ("style.css", "body { color: rgb(1, 2, 3) }"),
    ):  # fmt: skip
        (site / name).write_text(text)
    server = serve("--website-domain", "website.localhost", "--workers", "1")
    brought = [sys.executable, "-m", "bleepstore_server", "import", str(site), "docs", "--data", str(server.data)]
    subprocess.run(brought, check=True, capture_output=True, timeout=60)
    s3 = server.client()
    s3.delete_public_access_block(Bucket="docs")
    read = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::docs", "arn:aws:s3:::docs/*"]}  # fmt: skip
    s3.put_bucket_policy(Bucket="docs", Policy=json.dumps({"Version": "2012-10-17", "Statement": [read]}))
    s3.put_bucket_website(Bucket="docs", WebsiteConfiguration=SITE)  # type: ignore[arg-type]
    command = [
        str(chromium), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000", "--dump-dom",
        f"http://docs.website.localhost:{server.port}/",
    ]  # fmt: skip
    shown = subprocess.run(
        command, env=client_environment(server, False), capture_output=True, text=True, timeout=120, check=True
    ).stdout
    expected = "404 | lost | /docs/ | the docs | /docs/page.js | rgb(1, 2, 3)"
    assert f'<p id="shown">{expected}</p>' in shown, shown
