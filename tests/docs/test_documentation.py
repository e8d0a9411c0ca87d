"""The README and the pages are true: their examples run, their links lead somewhere, what is generated is current."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import botocore.session
import pytest

from tests.serving.conftest import clean_environment

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*/*.md")])
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def with_python(pages: list[Path]) -> list[Path]:
    """Those with examples, but for the recipes, which are whole test suites: tests/recipes runs them."""
    found = [page for page in pages if _PYTHON.search(page.read_text(encoding="utf-8"))]
    return [page for page in found if page.parent.name != "recipes"]


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.parametrize("page", with_python(PAGES), ids=names(with_python(PAGES)))
def test_the_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a page run one after the other, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": "__main__"}
    for block in _PYTHON.finditer(page.read_text(encoding="utf-8")):
        line = page.read_text(encoding="utf-8")[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], str(page), "exec"), scope)


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("package", ["bleepstore", "bleepstore_server"])
def test_the_api_page_has_what_the_package_exports_and_nothing_else(package: str) -> None:
    page = (ROOT / "docs" / "reference" / "python-api.md").read_text(encoding="utf-8")
    documented = re.findall(rf"^\.\. (?:auto\w+|py:data):: {package}\.(\w+)(?:\(\))?$", page, re.MULTILINE)
    assert sorted(documented) == sorted(importlib.import_module(package).__all__)


def test_every_operation_of_s3_is_in_the_table_once_and_few_are_not_there() -> None:
    table = (ROOT / "docs" / "reference" / "operations.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (.+) \|$", table, re.MULTILINE)
    model = botocore.session.get_session().get_service_model("s3")
    assert sorted(name for name, _ in rows) == sorted([*model.operation_names, "PostObject"])
    absent = [(name, state) for name, state in rows if state not in ("yes", "stored")]
    assert all(": " in state or state == "405 MethodNotAllowed, as S3" for _, state in absent)
    assert len(absent) <= 11, absent


def test_generated_pages_are_current() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, render in generate.PAGES.items():
        written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
        assert written == render(), f"{name} is out of date: python docs/generate.py"


def command(name: str) -> str:
    found = re.search(rf"<!-- {name} command -->\n```sh\n(.*)\n```", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text()
    assert command("test").endswith("python -m pytest -n 2")


def test_the_serve_command_works_in_a_clean_folder(tmp_path: Path) -> None:
    """Copied as it stands; only the port is another, for the default one may be taken."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if name.startswith(("bleepstore", "pyproject", "README", "LICENSE")) and (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    process = subprocess.Popen(
        command("serve"),
        shell=True,
        cwd=tmp_path,
        # What is imported is compiled then; the rest of what is installed need not be.
        env=clean_environment(BLEEPSTORE_PORT="0", PIP_NO_COMPILE="1", PIP_DISABLE_PIP_VERSION_CHECK="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    output = ""
    try:
        for line in process.stdout:
            output += line
            if "AWS CLI" in line:
                break
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)
    assert re.search(r"serves bleepstore-data at http://127.0.0.1:\d+", output), output
    assert (tmp_path / "bleepstore-data" / "catalog.db").exists()
    (metadata,) = tmp_path.glob(".venv/lib/*/site-packages/bleepstore-*.dist-info/METADATA")
    page = metadata.read_text(encoding="utf-8").partition("\n\n")[2]
    assert page.startswith("# BleepStore")
    links = _LINK.findall(page)
    assert [link for link in links if "://" not in link] == [], "links of the README that lead nowhere on PyPI"


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/adr/0*.md")), ids=lambda page: page.stem)
def test_a_decision_says_when_whether_it_holds_and_what_was_refused(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.match(rf"# {int(page.name[:4])}\. [^\n]+\n\n\d{{1,2}} \w+ \d{{4}}, (accepted|superseded)", text)
    assert re.search(r"refused", text, re.IGNORECASE), "the alternatives, and why they were refused"


def test_no_two_decisions_have_one_number() -> None:
    numbers = [page.name[:4] for page in ROOT.glob("docs/adr/0*.md")]
    assert sorted(set(numbers)) == sorted(numbers)
