"""`bleepstore serve` before a provider that it cannot use says so in a line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.backends.emulators import AZURITE_KEY
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, clean_environment


@pytest.mark.parametrize(
    ("data", "data_folder", "key", "cause"),
    [
        ("folder", "not-there", AZURITE_KEY, "does not exist"),
        (":memory:", "not-there", AZURITE_KEY, "does not exist"),
        ("folder", "not-there", "d3Jvbmc=", "credentials"),
        ("folder", "not-there", "no base64!", "credentials"),
    ],
)
def test_what_is_wrong_with_a_provider_is_one_line(
    azurite_url: str, tmp_path: Path, data: str, data_folder: str, key: str, cause: str
) -> None:
    location = data if data == ":memory:" else str(tmp_path / data)
    command = [
        sys.executable, "-m", "bleepstore_server", "serve", "--data", location, "--workers", "1", "--port", "0",
        "--backend-url", f"az://{data_folder}", "--backend-endpoint-url", azurite_url,
    ]  # fmt: skip
    keys = {"BLEEPSTORE_ACCESS_KEY": ACCESS_KEY, "BLEEPSTORE_SECRET_KEY": SECRET_KEY, "AZURE_STORAGE_KEY": key}
    done = subprocess.run(
        command, env=clean_environment(**keys), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("bleepstore: ")
    assert cause in line
