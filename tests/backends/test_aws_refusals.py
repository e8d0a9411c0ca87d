"""The gateway to S3 when HEAD is refused, whose answer does not say why; and when the configuration is wrong."""

from __future__ import annotations

import contextlib
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bleepstore
from bleepstore import Store, errors
from bleepstore.backends.base import BlobSpec, new_blob_id
from bleepstore.errors import AccessDenied, ServiceUnavailable
from tests.backends.http_faults import Answer, HttpProxy, Request, Rule
from tests.backends.test_aws_integrity import proxy
from tests.backends.test_aws_own import container, credentials, make, native, read, store
from tests.serving.conftest import Served

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["container", "credentials", "native", "proxy", "store"]

_EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


@pytest.mark.parametrize("status", [400, 403])
def test_an_expired_token_is_named_also_where_head_is_the_first_request(
    container: str, proxy: HttpProxy, status: int
) -> None:
    with contextlib.closing(make(container, proxy.url)) as backend:
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"data"])
        proxy.before = lambda request: Answer(
            status, [("Content-Type", "application/xml")], b"" if request.method == "HEAD" else _EXPIRED
        )
        for call in (backend.remove, backend.head_object, lambda _: backend.find("photos", "k")):
            with pytest.raises(AccessDenied, match="ExpiredToken"):
                call(blob.handle)


def _refuse_head(status: int, end: str) -> Rule:
    def rule(request: Request) -> Answer | None:
        return Answer(status) if request.method == "HEAD" and request.path.endswith(end) else None

    return rule


@pytest.mark.parametrize("status", [400, 403])
def test_an_object_that_may_not_be_read_is_skipped(
    container: str, proxy: HttpProxy, native: S3Client, tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """One that is encrypted with a key of others."""
    for key in ("a", "b", "c"):
        native.put_object(Bucket=container, Key=f"photos/{key}", Body=b"x")
    with bleepstore.open(f"s3://{container}", catalog=tmp_path / "catalog", endpoint_url=proxy.url) as store:
        store.adopt("photos")
        proxy.before = _refuse_head(status, "/b")
        native.put_object(Bucket=container, Key="photos/d", Body=b"x")
        with caplog.at_level(logging.WARNING, "bleepstore.gateway"):
            done = store.adopt("photos")
        assert (done.adopted, done.known, done.skipped, done.removed) == (1, 2, 1, 0)
        assert "photos/b" in caplog.text
        assert ("check its permissions" in caplog.text, "SSE-C" in caplog.text) == (status == 403, status == 400)
    with bleepstore.open(f"s3://{container}", endpoint_url=proxy.url) as store:
        assert [found.key for found in store.list_objects("photos").objects] == ["a", "c", "d"]
        with pytest.raises(AccessDenied, match="photos/b"):
            store.head_object("photos", "b")


def test_credentials_that_may_read_nothing_are_named(
    container: str, proxy: HttpProxy, native: S3Client, tmp_path: Path
) -> None:
    """And soon, however many objects there are."""
    for number in range(100):
        native.put_object(Bucket=container, Key=f"photos/{number:03}", Body=b"x")
    with bleepstore.open(f"s3://{container}", catalog=tmp_path / "catalog", endpoint_url=proxy.url) as store:
        proxy.before = _refuse_head(403, "")
        with pytest.raises(AccessDenied, match="check its permissions"):
            store.adopt("photos")
        assert sum(request.method == "HEAD" for request in proxy.seen) < 100


@pytest.mark.parametrize(
    ("profile", "config"), [("not-there", "[default]\n"), ("default", "no section\n"), ("default", "\udcff")]
)
def test_a_wrong_configuration_is_named(
    far_bleepstore: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, config: str
) -> None:
    (tmp_path / "config").write_text(config, errors="surrogateescape")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_PROFILE", profile)
    with pytest.raises(ServiceUnavailable, match="cannot be used"):
        bleepstore.open("s3://container", catalog=tmp_path / "catalog", endpoint_url=far_bleepstore.url)


def test_the_expiry_that_others_note_is_known(store: Store, native: S3Client, container: str) -> None:
    native.put_object(Bucket=container, Key="photos/k", Body=b"x", Expires=datetime(2033, 12, 1, 16, tzinfo=UTC))
    assert read(store, "k") == b"x"
    assert store.head_object("photos", "k").version.system.expires == "Thu, 01 Dec 2033 16:00:00 GMT"
    with pytest.raises(errors.NoSuchKey):
        read(store, "other")
