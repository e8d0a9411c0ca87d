"""Clients that keep versions, tag, lock and expire: rclone, mc, s3fs, restic, barman and boto3's paginators."""

from __future__ import annotations

import json
import operator
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.conftest import OVER_HTTP, contents, need, run
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = OVER_HTTP


def make_bucket(server: Served, bucket: str, *, lock_days: int = 0) -> S3Client:
    """One that keeps versions, with a default retention of so many days."""
    s3 = server.client()
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=bool(lock_days))
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    if lock_days:
        rule: Any = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": lock_days}}
        lock: Any = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
    return s3


def check_all_locked(s3: S3Client, bucket: str) -> None:
    """Every version has its retention, and none goes."""
    listed = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert listed
    for version in listed:
        named: Any = {"Bucket": bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
        assert s3.get_object_retention(**named)["Retention"]["Mode"] == "COMPLIANCE"
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(**named)


def test_rclone_shows_and_restores_versions(shared_server: Served, tmp_path: Path) -> None:
    program = need("rclone")
    server = shared_server
    s3 = make_bucket(server, "rclone-versions")
    common: list[str | Path] = [program, "--config", tmp_path / "none", "--s3-acl=bucket-owner-full-control"]
    if server.certificate is not None:
        common += ["--ca-cert", server.certificate]
    remote = f":s3,provider=Other,env_auth=true,endpoint='{server.url}':rclone-versions"

    def rclone(*arguments: str | Path) -> str:
        return run(server, [*common, *arguments], ca_bundle=False).stdout

    (tmp_path / "in").mkdir()
    for text in ("first", "second"):
        (tmp_path / "in" / "k.txt").write_text(text)
        rclone("copy", "--ignore-times", tmp_path / "in", remote)
        time.sleep(1 - time.time() % 1)  # rclone names versions by the second
    rclone("deletefile", f"{remote}/k.txt")
    assert rclone("lsf", remote) == ""
    old = sorted(rclone("lsf", "--s3-versions", remote).split())
    assert len(old) == 2
    assert all(re.fullmatch(r"k-v\d{4}-\d\d-\d\d-\d{6}-\d{3}\.txt", name) for name in old)
    assert [rclone("cat", "--s3-versions", f"{remote}/{name}") for name in old] == ["first", "second"]
    rclone("backend", "cleanup-hidden", remote)
    assert rclone("lsf", "--s3-versions", remote) == ""
    assert "Versions" not in s3.list_object_versions(Bucket="rclone-versions")
    assert rclone("backend", "versioning", remote).strip() == "Enabled"


def test_mc_versions_tags_rules_and_locks(shared_server: Served, tmp_path: Path) -> None:
    program = need("mc")
    server = shared_server
    (tmp_path / "k.txt").write_text("first")
    common: list[str | Path] = ["env", f"MC_HOST_here={server.url.replace('://', f'://{ACCESS_KEY}:{SECRET_KEY}@')}"]
    common += [program, "--config-dir", tmp_path / "mc", "--insecure"]

    def mc(*arguments: str | Path, check: bool = True) -> str:
        result = run(server, [*common, *arguments], check=check)
        return result.stdout + result.stderr

    mc("mb", "--with-lock", "here/mc-versions")
    assert "versioning is enabled" in mc("version", "info", "here/mc-versions")
    mc("mb", "here/mc-plain")
    mc("version", "enable", "here/mc-plain")
    for text in ("first", "second"):
        (tmp_path / "k.txt").write_text(text)
        mc("cp", tmp_path / "k.txt", "here/mc-plain/k.txt")
    mc("rm", "here/mc-plain/k.txt")
    listed = [json.loads(line) for line in mc("--json", "ls", "--versions", "here/mc-plain").splitlines()]
    assert ["isDeleteMarker" in entry for entry in listed] == [True, False, False]
    mc("undo", "--force", "here/mc-plain/k.txt")
    assert mc("cat", "here/mc-plain/k.txt") == "second"
    mc("undo", "--force", "here/mc-plain/k.txt")
    assert mc("cat", "here/mc-plain/k.txt") == "first"
    mc("version", "suspend", "here/mc-plain")
    assert "suspended" in mc("version", "info", "here/mc-plain")

    mc("tag", "set", "here/mc-plain/k.txt", "colour=blue&size=3")
    assert re.search(r"colour\s*:\s*blue", mc("tag", "list", "here/mc-plain/k.txt"))
    mc("tag", "remove", "here/mc-plain/k.txt")
    assert "colour" not in mc("tag", "list", "here/mc-plain/k.txt", check=False)
    mc("tag", "set", "here/mc-plain", "team=post")
    assert "post" in mc("tag", "list", "here/mc-plain")

    mc(
        "ilm",
        "rule",
        "add",
        "--prefix",
        "tmp/",
        "--expire-days",
        "30",
        "--noncurrent-expire-days",
        "7",
        "here/mc-plain",
    )
    assert "tmp/" in mc("ilm", "rule", "ls", "here/mc-plain")
    mc("ilm", "rule", "rm", "--all", "--force", "here/mc-plain")

    mc("cp", tmp_path / "k.txt", "here/mc-versions/k.txt")
    mc("retention", "set", "governance", "30d", "here/mc-versions/k.txt")
    assert "GOVERNANCE" in mc("retention", "info", "here/mc-versions/k.txt")
    mc("legalhold", "set", "here/mc-versions/k.txt")
    assert "ON" in mc("legalhold", "info", "here/mc-versions/k.txt")
    refused = mc("rm", "--versions", "--force", "here/mc-versions/k.txt", check=False)
    assert re.search("locked|protected|denied", refused, re.IGNORECASE)
    mc("legalhold", "clear", "here/mc-versions/k.txt")
    mc("retention", "clear", "here/mc-versions/k.txt", check=False)
    mc("rm", "--versions", "--bypass", "--force", "here/mc-versions/k.txt")
    mc("retention", "set", "--default", "compliance", "1d", "here/mc-versions")
    assert "COMPLIANCE" in mc("retention", "info", "--default", "here/mc-versions")
    mc("rb", "--force", "here/mc-plain")


def test_s3fs_is_aware_of_versions(shared_server: Served) -> None:
    python = need("s3fs")
    result = run(shared_server, [python, Path(__file__).parent / "s3fs_versions.py"])
    assert result.stdout == "all went well\n"


@pytest.mark.slow
def test_restic_keeps_its_backups_in_a_locked_bucket(shared_server: Served, files: Path, tmp_path: Path) -> None:
    program = need("restic")
    server = shared_server
    s3 = make_bucket(server, "restic", lock_days=1)
    common: list[str | Path] = ["env", "RESTIC_PASSWORD=secret", f"RESTIC_CACHE_DIR={tmp_path / 'cache'}"]
    common += [program, "--repo", f"s3:{server.url}/restic"]
    if server.certificate is not None:
        common += ["--cacert", server.certificate]

    def restic(*arguments: str | Path) -> str:
        return run(server, [*common, *arguments], ca_bundle=False).stdout

    restic("init")
    restic("backup", files)
    restic("forget", "--keep-last", "1", "--prune")
    restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "back")
    assert contents(tmp_path / "back" / files.relative_to("/")) == contents(files)
    check_all_locked(s3, "restic")


@pytest.mark.slow
def test_barman_archives_into_a_locked_bucket(shared_server: Served, tmp_path: Path) -> None:
    """Write-ahead log of PostgreSQL, of which a segment has 16 MiB."""
    archive, restore = need("barman"), need("barman").with_name("barman-cloud-wal-restore")
    server = shared_server
    s3 = make_bucket(server, "barman", lock_days=1)
    name = "000000010000000000000001"
    segment = tmp_path / name
    segment.write_bytes(random.Random(1).randbytes(16 * 1024 * 1024))
    common: list[str | Path] = ["--endpoint-url", server.url, "s3://barman/here", "pg"]
    run(server, [archive, *common, segment])
    run(server, [archive, "--gzip", *common, segment.rename(tmp_path / "000000010000000000000002")])
    for number in (1, 2):
        back = tmp_path / "back"
        run(server, [restore, *common, f"00000001000000000000000{number}", back])
        assert back.read_bytes() == (tmp_path / "000000010000000000000002").read_bytes()
    check_all_locked(s3, "barman")


@pytest.fixture
def postgres() -> Iterator[Path]:
    """The folder of the socket of a running PostgreSQL, which refuses to run as root."""
    programs = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"))), None)
    if programs is None or os.geteuid():
        pytest.skip("there is no PostgreSQL, or nobody who may run it as the user postgres")
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        shutil.chown(folder, "postgres")

        def command(*arguments: str | Path) -> None:
            words = ["runuser", "-u", "postgres", "--", programs / arguments[0], *arguments[1:]]
            subprocess.run([os.fspath(word) for word in words], cwd=folder, check=True, stdout=subprocess.DEVNULL)

        command("initdb", "--pgdata", folder / "data", "--auth", "trust")
        settings = f"-c listen_addresses='' -c unix_socket_directories={folder}"
        command("pg_ctl", "-D", folder / "data", "-w", "-o", settings, "-l", folder / "log", "start")
        yield folder
        command("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")


@pytest.mark.slow
def test_barman_backs_a_database_up_into_a_locked_bucket(shared_server: Served, postgres: Path, tmp_path: Path) -> None:
    folder = need("barman").parent
    server = shared_server
    s3 = make_bucket(server, "barman-backup", lock_days=1)
    common: list[str | Path] = ["--endpoint-url", server.url]
    target: list[str | Path] = ["s3://barman-backup/here", "pg"]

    def barman(program: str, *arguments: str | Path) -> str:
        return run(server, [folder / f"barman-cloud-{program}", *common, *arguments]).stdout

    barman("backup", "--host", postgres, "--user", "postgres", "--immediate-checkpoint", *target)
    (found,) = json.loads(barman("backup-list", "--format", "json", *target))["backups_list"]
    barman("restore", *target, found["backup_id"], tmp_path / "back")
    assert (tmp_path / "back" / "PG_VERSION").exists()
    barman("backup-delete", "--backup-id", found["backup_id"], *target)
    assert not json.loads(barman("backup-list", "--format", "json", *target))["backups_list"]
    check_all_locked(s3, "barman-backup")


def test_boto3_pages_through_versions(shared_server: Served) -> None:
    s3 = make_bucket(shared_server, "paging")
    made: list[tuple[str, str]] = []
    for number in range(30):
        key = f"k{number % 3}"
        made.append((key, s3.put_object(Bucket="paging", Key=key, Body=b"%d" % number)["VersionId"]))
    markers = [(f"k{number}", s3.delete_object(Bucket="paging", Key=f"k{number}")["VersionId"]) for number in range(3)]
    pages = list(s3.get_paginator("list_object_versions").paginate(Bucket="paging", PaginationConfig={"PageSize": 7}))
    assert len(pages) == 5
    all_pages: Any = pages
    for name, wanted in (("Versions", made[::-1]), ("DeleteMarkers", markers)):
        found = [(row["Key"], row["VersionId"]) for page in all_pages for row in page.get(name, ())]
        assert found == sorted(wanted, key=operator.itemgetter(0))
