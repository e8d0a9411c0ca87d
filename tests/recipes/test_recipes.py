"""The pages of docs/recipes are true: their files are written out, and pytest runs on them.

A block whose first line is a comment with a file's name is that file. `<!-- needs: a, b -->` names packages that
the extra `test` has: without them a page is skipped, but not in CI.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [*sorted((DOCS / "recipes").glob("*.md")), DOCS / "howto" / "test.md"]
_FILE = re.compile(r"^```\w+\n# (\S+\.\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*)", re.MULTILINE)
_NEEDS = re.compile(r"<!-- needs: (.*) -->")


def missing(page: str) -> list[str]:
    found = _NEEDS.search(page)
    needed = [] if found is None else [name.strip() for name in found[1].split(",")]
    return [name for name in needed if importlib.util.find_spec(name) is None]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_recipe_works(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = _FILE.findall(text)
    if page.parent.name == "recipes":  # tests/docs runs the other blocks of the other pages
        named = sum(name.endswith(".py") for name, _ in files)
        assert len(_PYTHON.findall(text)) == named, "a block without a file's name"
    assert any(name.startswith("test_") for name, _ in files)
    lacking = missing(text)
    if lacking:
        assert "CI" not in os.environ, f"{lacking} should be installed: see the extra test"
        pytest.skip(f"needs {', '.join(lacking)}, of the extra test")
    for name, body in files:
        (tmp_path / name).write_text(body, encoding="utf-8")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rs",
            *("-p", "no:cacheprovider", "-p", "no:zarr", "-p", "no:hypothesispytest"),
            "--rootdir",
            str(tmp_path),
            str(tmp_path),
        ],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "skipped" in done.stdout.splitlines()[-1]:
        reasons = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
        pytest.skip(f"the rest of the page passed: {'; '.join(reasons)}")


def test_every_recipe_is_in_the_contents() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert "recipes/*" in index
