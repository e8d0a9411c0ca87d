"""What the pages say about installing is so: the README's own commands run in test_documentation."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.clients.conftest import need
from tests.docs.test_documentation import PAGES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
_NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
#: A line of text may end within a command.
_COMMAND = re.compile(r"pip install\s([^`\n]*(?:\n[^`\n]*)?)(?=`)|pip install\s(.*)$", re.MULTILINE)
_OURS = re.compile(r"'(\.|bleepstore)\[([a-z,]+)\]([^']*)'")


def commands() -> list[tuple[Path, str]]:
    """(page, arguments) of each `pip install` of ours."""
    pages = [page for page in PAGES if page.parent.name != "adr" and page.name != "CHANGELOG.md"]
    found = [(page, one or two) for page in pages for one, two in _COMMAND.findall(page.read_text(encoding="utf-8"))]
    return [(page, text) for page, text in found if "[" in text]


def test_every_command_installs_from_the_checkout_extras_that_exist() -> None:
    assert len(commands()) > 10
    for page, text in commands():
        parts = _OURS.search(text)
        assert parts is not None, f"{page.name}: {text}"
        assert set(parts[2].split(",")) <= set(EXTRAS), f"{page.name}: {text}"
        if parts[1] == "bleepstore":  # of PyPI, which has no release yet, unless it says from where
            assert parts[3].startswith(" @ file:///"), f"{page.name}: {text}"


def test_the_readme_counts_the_dependencies_rightly() -> None:
    server = [one for one in EXTRAS["server"] + EXTRAS["encryption"] if not one.startswith("bleepstore[")]
    library, more = _NUMBERS[len(PROJECT["dependencies"])], _NUMBERS[len(server)]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{library} dependencies in the library, {more} more in the server" in readme


@pytest.mark.slow
@pytest.mark.parametrize("name", [".[{extras}]", "bleepstore[{extras}] @ file://{root}"], ids=["here", "elsewhere"])
def test_pip_takes_both_forms(name: str, tmp_path: Path) -> None:
    extras = sorted({extra for _, text in commands() for extra in _OURS.findall(text)[0][1].split(",")})
    given = name.format(extras=",".join(extras), root=ROOT)
    done = subprocess.run(
        [need("release").with_name("pip"), "install", "--dry-run", "--no-deps", "--no-build-isolation", given],
        cwd=ROOT if given.startswith(".") else tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Would install bleepstore-" in done.stdout
    assert "does not provide the extra" not in done.stderr
