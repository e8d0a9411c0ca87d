"""The wheel and the sdist are whole: they pass twine, have every file of the packages, and the wheel alone serves."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.clients.conftest import need
from tests.serving.conftest import clean_environment, start

ROOT = Path(__file__).parents[2]
PACKAGES = ("bleepstore", "bleepstore_server")


def files_of_the_packages() -> set[str]:
    """What git has of them, and what it will have: templates, styles and dashboards too."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is made of the sdist."""
    python = need("release").with_name("python")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [python, "-m", "build", "--no-isolation", "--outdir", folder, ROOT],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return folder


def wheel_of(folder: Path) -> Path:
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_twine_has_nothing_to_say(built: Path) -> None:
    command = [str(need("release")), "check", "--strict", *map(str, built.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_the_wheel_has_every_file_of_the_packages_and_no_other(built: Path) -> None:
    with zipfile.ZipFile(wheel_of(built)) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == files_of_the_packages()


def test_the_sdist_has_what_the_wheel_is_made_of_and_the_tests(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert files_of_the_packages() <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "tests/conftest.py"} <= names
    assert not [name for name in names if name.startswith((".venv", ".cache", "dist"))]


def test_the_metadata_says_what_pypi_shows(built: Path) -> None:
    with zipfile.ZipFile(wheel_of(built)) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(wheel.read(name))
        (points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
        assert "[pytest11]\nbleepstore = bleepstore_server.pytest_plugin" in wheel.read(points).decode()
    assert "Framework :: Pytest" in metadata.get_all("Classifier", [])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Homepage, https://pypi.org/project/bleepstore/" in metadata.get_all("Project-URL", [])
    page = metadata.get_payload(decode=True)
    assert isinstance(page, bytes)
    assert page.startswith(b"# BleepStore")
    links = re.findall(rb"\]\(([^)]+)\)", page)
    assert [link for link in links if b"://" not in link] == [], "links that lead nowhere on PyPI"


@pytest.fixture
def site(built: Path, tmp_path: Path) -> Path:
    """A folder in which the wheel is installed, and what it depends on is not: that is where the tests have it."""
    target = tmp_path / "site"
    pip = need("release").with_name("pip")
    subprocess.run([pip, "install", "--quiet", "--no-deps", "--target", target, wheel_of(built)], check=True)
    return target


def test_a_server_runs_from_the_wheel(site: Path, tmp_path: Path) -> None:
    environ = {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    found = subprocess.run(
        [sys.executable, "-c", "import bleepstore, bleepstore_server; print(bleepstore_server.__file__)"],
        cwd=tmp_path, env=clean_environment(**environ), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(found.stdout.strip()).is_relative_to(site)
    served = start(tmp_path / "data", "--workers", "1", environ=environ)
    try:
        s3 = served.client()
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="cat", Body=b"meow")
        assert s3.get_object(Bucket="photos", Key="cat")["Body"].read() == b"meow"
        s3.close()
    finally:
        served.end()
    assert (site / "bin" / "bleepstore").exists()
