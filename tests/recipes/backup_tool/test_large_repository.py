"""Each test has its own fork of a repository that is filled once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bleepstore
from bleepstore_server.clients import client_for
from tests.recipes.backup_tool.backup import Repository

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FILES = 300


@pytest.fixture(scope="session")
def s3_seed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bleepstore.Store]:
    folder = tmp_path_factory.mktemp("files")
    for number in range(FILES):
        (folder / f"{number:03d}").write_bytes(b"%d" % number)
    with bleepstore.open() as store:
        store.create_bucket("backups")
        client = client_for(store)
        Repository(client, "backups").back_up(folder, "1")
        client.close()
        yield store


def test_pruning_all_but_the_last(s3_client: S3Client, tmp_path: Path) -> None:
    repository = Repository(s3_client, "backups")
    repository.back_up(tmp_path, "2")
    assert repository.prune(keep=1) == FILES


def test_nothing_was_pruned_for_this_test(s3_client: S3Client, tmp_path: Path) -> None:
    Repository(s3_client, "backups").restore("1", tmp_path / "restored")
    assert len(list((tmp_path / "restored").iterdir())) == FILES
