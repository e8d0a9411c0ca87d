"""A disk that fills up: a clear refusal, no damage, and reads go on. On a real file system of 24 MiB."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bleepstore
from bleepstore.errors import StorageFull

SCRIPT = Path(__file__).parent / "full_disk_script.py"


def mounted(folder: Path, size: str, *command: str) -> list[str]:
    """`command` in a name space of its own in which `folder` is a small file system."""
    mount = f'mount -t tmpfs -o size={size} tmpfs "{folder}" && exec "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", *command]


def test_a_full_disk_refuses_writes_and_nothing_else(tmp_path: Path) -> None:
    if (
        shutil.which("unshare") is None
        or subprocess.run(mounted(tmp_path, "1m", "true"), check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine lets no one mount a file system in a name space")
    command = mounted(tmp_path, "24m", sys.executable, str(SCRIPT), str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent.parent)}
    run = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["blobs"] > 5
    assert report["inline"] > 5
    assert report["status"] == "507 Insufficient Storage"
    assert "<Code>InsufficientStorage</Code>" in report["answer"]
    assert report["inline_status"].startswith("507")
    assert report["read_status"].startswith("200")
    assert report["left"] == 0, "a write that found no space leaves no file"
    assert report["wire"] == []


def test_a_write_that_the_system_cuts_off_leaves_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes real writes of real files fail, without any privilege."""
    script = (
        "import resource, sys, bleepstore\n"
        "from bleepstore.errors import StorageFull\n"
        "with bleepstore.open(sys.argv[1]) as store:\n"
        "    store.create_bucket('photos')\n"
        "    store.put_object('photos', 'k', b'x' * 900_000)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))\n"
        "    for attempt in range(3):\n"
        "        try:\n"
        "            store.put_object('photos', 'k', b'y' * 1_100_000)\n"
        "        except StorageFull:\n"
        "            print('refused')\n"
        "    store.put_object('photos', 'l', b'z' * 900_000)\n"
    )
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, capture_output=True, text=True)
    assert (run.returncode, run.stdout.split()) == (0, ["refused"] * 3), run.stderr
    with bleepstore.open(tmp_path) as store:
        assert [entry.key for entry in store.list_objects("photos").objects] == ["k", "l"]
        with store.get_object("photos", "k") as found:
            assert found.read() == b"x" * 900_000
    assert list((tmp_path / "tmp").iterdir()) == []
    assert sum(path.is_file() for path in (tmp_path / "blobs").glob("*/*")) == 2


def test_the_refusal_says_what_to_do() -> None:
    assert "Free some space" in StorageFull().message
    assert StorageFull().code == "InsufficientStorage"
    assert resource.RLIMIT_FSIZE >= 0


@pytest.mark.parametrize("how", ["stay", "restart", "crash"])
@pytest.mark.parametrize("size", ["24m", pytest.param("100m", marks=pytest.mark.slow)])
def test_a_disk_full_of_objects_in_the_catalog_can_be_emptied(tmp_path: Path, size: str, how: str) -> None:
    """The log of the catalog and its copying into the database take space too, after the last object found none."""
    script = SCRIPT.with_name("full_catalog_script.py")
    if shutil.which("unshare") is None or subprocess.run(mounted(tmp_path, "1m", "true"), check=False).returncode:
        pytest.skip("this machine lets no one mount a file system in a name space")
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent.parent)}
    command = mounted(tmp_path, size, sys.executable, str(script), str(tmp_path), how)
    run = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["first"] * 16_384 > int(size[:-1]) * 2**20 / 2, "most of the disk can be used"
    assert report["again"] >= report["first"] * 0.9
