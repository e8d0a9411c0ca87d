"""The gateway to Azure when the provider, the network, a body or a credential fails."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import (
    AccountSasPermissions,
    ContainerClient,
    ContainerSasPermissions,
    ResourceTypes,
    generate_account_sas,
    generate_container_sas,
)

import bleepstore
from bleepstore import CompletedPart, Store, errors
from bleepstore.backends.azure import backend as azure_backend
from bleepstore.backends.azure.backend import AzureBackend
from bleepstore.backends.azure.layouts import AzureKeys
from bleepstore.backends.base import BlobSpec, KeyedSpec, KeyState, new_blob_id
from bleepstore.backends.gateway.retry import ProviderBusy
from bleepstore.errors import (
    AccessDenied,
    BlobChanged,
    InvalidObjectState,
    InvalidRequest,
    OperationAborted,
    ServiceUnavailable,
    SlowDown,
    StoreError,
)
from bleepstore.model import UploadToken
from bleepstore.testing.contract_tools import MIB, Broken, broken_after, pattern
from tests.answering import Answers, answered_by
from tests.backends.azure_fixtures import (
    backend,
    container,
    credentials,
    make,
    native,
    read_blob,
    service,
    store,
    stored_names,
)
from tests.backends.emulators import AZURITE_ACCOUNT, AZURITE_KEY
from tests.backends.tcp_faults import FaultProxy, fault_proxy

__all__ = ["backend", "container", "credentials", "native", "service", "store"]


@pytest.mark.parametrize("size", [100, 9 * MIB])
def test_a_body_that_breaks_leaves_nothing_billable(store: Store, native: ContainerClient, size: int) -> None:
    with pytest.raises(Broken):
        store.put_object("photos", "k", broken_after(pattern(size)), size=2 * size)
    with pytest.raises(errors.BadDigest):
        store.put_object("photos", "k", pattern(size), size=size, content_md5="1B2M2Y8AsgTpgAmY7PhCfg==")
    assert stored_names(native) == []


def test_an_aborted_upload_leaves_nothing_billable(store: Store, native: ContainerClient) -> None:
    upload = store.create_upload("photos", "k")
    store.put_part("photos", "k", upload.upload_id, 1, b"part")
    assert len(stored_names(native)) == 1
    store.abort_upload("photos", "k", upload.upload_id)
    assert stored_names(native) == []


def test_what_is_too_large_for_one_request_is_staged_and_copied(
    backend: AzureKeys, native: ContainerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure_backend, "_MAX_PUT", 4 * MIB)
    data = pattern(9 * MIB)
    blob = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [data])
    assert read_blob(backend, blob.handle) == data
    assert stored_names(native) == ["photos/k"]
    with pytest.raises(BlobChanged):
        backend.put_object(
            KeyedSpec(bucket="photos", key="k", expected_current=KeyState(None), new_id=new_blob_id), [data]
        )
    assert stored_names(native) == ["photos/k"]


def test_a_write_is_done_also_if_what_was_staged_cannot_be_removed(
    backend: AzureKeys, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ServiceUnavailable("not now")

    with monkeypatch.context() as patch:
        patch.setattr(AzureBackend, "_end_upload", fail)
        patch.setattr(azure_backend, "_MAX_PUT", 4 * MIB)
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [pattern(9 * MIB)])
    assert backend.head_object(blob.handle) == 9 * MIB
    assert "left for the sweep" in caplog.text
    left = list(backend.iter_blobs(0, 1 << 47))
    assert len(left) == 1
    assert isinstance(left[0], UploadToken)
    backend.delete_parts(left[0], [])
    assert list(backend.iter_blobs(0, 1 << 47)) == []
    assert backend.head_object(blob.handle) == 9 * MIB


def test_a_wrong_key_is_named(container: str, azurite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", "d3Jvbmc=")
    with contextlib.closing(make(container, azurite_url)) as backend:
        with pytest.raises(AccessDenied, match=r"403 \w+: .*expired") as refused:
            backend.check()
        with pytest.raises(AccessDenied):
            backend.put_object(BlobSpec(bucket="photos", key="k", size=1, new_id=new_blob_id), [b"x"])
    assert "d3Jvbmc" not in str(refused.value)


def _sas(**permissions: bool) -> str:
    text: str = generate_account_sas(
        AZURITE_ACCOUNT,
        AZURITE_KEY,
        ResourceTypes(container=True, object=True),
        AccountSasPermissions(**permissions),
        dt.datetime.now(dt.UTC) + dt.timedelta(hours=1),
    )
    return text


def test_a_sas_is_enough_and_what_it_does_not_permit_is_named(
    container: str, azurite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_KEY")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", _sas(read=True, write=True, delete=True, list=True))
    data = pattern(9 * MIB)
    with contextlib.closing(make(container, azurite_url)) as backend:
        backend.check()
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [data])
        copied = backend.copy_object(blob.handle, BlobSpec(bucket="photos", key="copy", new_id=new_blob_id))
        assert read_blob(backend, copied.handle) == data
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", _sas(read=True, list=True))
    with contextlib.closing(make(container, azurite_url)) as backend:
        assert read_blob(backend, copied.handle) == data
        with pytest.raises(AccessDenied, match="AuthorizationPermissionMismatch"):
            backend.put_object(BlobSpec(bucket="photos", key="k2", size=1, new_id=new_blob_id), [b"x"])


def test_the_sas_of_a_container_is_enough(
    container: str, native: ContainerClient, azurite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = generate_container_sas(
        AZURITE_ACCOUNT,
        container,
        account_key=AZURITE_KEY,
        permission=ContainerSasPermissions(read=True, write=True, create=True, delete=True, list=True),
        expiry=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1),
    )
    monkeypatch.delenv("AZURE_STORAGE_KEY")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", text)
    data = pattern(9 * MIB)
    with bleepstore.open(f"az://{container}", catalog=tmp_path / "catalog", endpoint_url=azurite_url) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", data, size=len(data))
        upload = store.create_upload("photos", "parts")
        part = store.copy_part("photos", "k", "photos", "parts", upload.upload_id, 1)
        store.complete_upload("photos", "parts", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
        native.delete_blob("photos/k")
        with pytest.raises(errors.NoSuchKey):
            store.get_object("photos", "k")  # which asks whether the container is there
        store.sweep(grace=dt.timedelta(milliseconds=-(10**7)))
        assert stored_names(native) == ["photos/parts"]
        store.delete_object("photos", "parts")
    assert stored_names(native) == []


def test_a_signature_is_in_no_message(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_KEY")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "?" + _sas(read=True))
    signature = _sas(read=True).rpartition("sig=")[2][:10]
    endpoint = f"http://127.0.0.1:9/{AZURITE_ACCOUNT}"
    with contextlib.closing(make(container, endpoint, deadline=0.3)) as backend:
        with pytest.raises(ServiceUnavailable, match="did not answer") as refused:
            backend.check()
        assert signature not in str(refused.value)
        assert signature not in repr(backend) + backend.url


def test_a_connection_string_is_enough(container: str, azurite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"AccountName={AZURITE_ACCOUNT};AccountKey={AZURITE_KEY};BlobEndpoint={azurite_url};"
    monkeypatch.delenv("AZURE_STORAGE_KEY")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    with contextlib.closing(make(container, None)) as backend:
        backend.check()
        assert (
            read_blob(
                backend, backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [b"x"]).handle
            )
            == b"x"
        )


def test_no_account_and_a_token_in_clear_text_are_refused(
    container: str, azurite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(make(container, None)) as backend, pytest.raises(StoreError, match="which storage account"):
        backend.check()
    monkeypatch.delenv("AZURE_STORAGE_KEY")
    monkeypatch.setenv("AZURE_ACCESS_TOKEN", "a-token")
    closing = contextlib.closing(make(container, azurite_url))
    with closing as backend, pytest.raises(StoreError, match="over https only") as refused:
        backend.check()
    assert "a-token" not in str(refused.value)


def test_a_missing_container_is_named(azurite_url: str, tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="does not exist"):
        bleepstore.open("az://not-there", catalog=tmp_path / "catalog", endpoint_url=azurite_url)
    with contextlib.closing(make("not-there", azurite_url)) as backend:
        for size in (1, 9 * MIB):
            with pytest.raises(ServiceUnavailable, match="container"):
                backend.put_object(BlobSpec(bucket="photos", key="k", new_id=new_blob_id), [bytes(size)])


@contextlib.contextmanager
def answering(times: int, status: int, code: str, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """An endpoint that gives the same error some times, and then takes whatever is put; and the requests it got."""
    requests: list[str] = []

    class Handler(Answers):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(self.path)
            failing = len(requests) <= times
            self.send_response(status if failing else 201)
            answer = {"x-ms-error-code": code} | headers
            if not failing:
                answer = {"ETag": '"0x1"', "Last-Modified": "Thu, 01 Dec 2033 16:00:00 GMT"}
            for name, text in answer.items():
                self.send_header(name.replace("_", "-"), text)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self) -> None:
            """Nothing is stored there."""
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with answered_by(Handler) as url:
        yield f"{url}/{AZURITE_ACCOUNT}", requests


@pytest.mark.parametrize(
    ("status", "code", "expected", "repeated"),
    [
        (503, "ServerBusy", SlowDown, True),
        (429, "TooManyRequests", SlowDown, True),
        (500, "InternalError", ServiceUnavailable, True),
        (500, "OperationTimedOut", SlowDown, True),
        (409, "ContainerBeingDeleted", OperationAborted, False),
        (409, "PendingCopyOperation", ServiceUnavailable, True),
        (409, "BlobArchived", InvalidObjectState, False),
        (409, "BlobImmutableDueToLegalHold", AccessDenied, False),
        (409, "BlobImmutableDueToPolicy", AccessDenied, False),
        (400, "Md5Mismatch", ServiceUnavailable, True),
        (400, "InvalidMetadata", InvalidRequest, False),
        (400, "InvalidUri", InvalidRequest, False),
        (405, "UnsupportedHttpVerb", InvalidRequest, False),
        (411, "MissingContentLengthHeader", InvalidRequest, False),
        (413, "RequestBodyTooLarge", InvalidRequest, False),
        (401, "InvalidAuthenticationInfo", AccessDenied, False),
        (403, "AuthorizationPermissionMismatch", AccessDenied, False),
        (412, "LeaseIdMissing", AccessDenied, False),
        (412, "ConditionNotMet", BlobChanged, False),
        (409, "BlobAlreadyExists", BlobChanged, False),
    ],
)
def test_each_refusal_is_classified(status: int, code: str, expected: type[Exception], repeated: bool) -> None:
    spec = KeyedSpec(bucket="photos", key="k", size=1, expected_current=KeyState(None), new_id=new_blob_id)
    with answering(10**9, status, code) as (url, requests):
        closing = contextlib.closing(make("container", url, deadline=0.4 if repeated else 5))
        with closing as backend, pytest.raises(expected) as refused:
            backend.put_object(spec, [b"x"])
    assert expected is BlobChanged or code in str(refused.value)
    assert (len(requests) > 1) == repeated


def test_what_passes_is_repeated_and_the_provider_says_when() -> None:
    spec = BlobSpec(bucket="photos", key="k", size=1, new_id=new_blob_id)
    for headers in ({}, {"Retry_After": "0"}):
        with answering(2, 503, "ServerBusy", **headers) as (url, requests):
            with contextlib.closing(make("container", url)) as backend:
                assert backend.put_object(spec, [b"x"]).stored_ms == 2017065600000
            assert len(requests) == 3
    with answering(1, 503, "ServerBusy", Retry_After="60") as (url, requests):
        with contextlib.closing(make("container", url)) as backend, pytest.raises(ProviderBusy) as refused:
            backend.put_object(spec, [b"x"])
        assert refused.value.retry_after == 60
        assert len(requests) == 1


@pytest.fixture
def proxy(azurite_url: str) -> Iterator[FaultProxy]:
    with fault_proxy(urlsplit(azurite_url).port or 0) as made:
        yield made


def through(proxy: FaultProxy) -> str:
    return f"{proxy.url}/{AZURITE_ACCOUNT}"


@pytest.mark.parametrize("kind", ["cut", "truncate"])
def test_a_broken_download_goes_on_where_it_ended(container: str, proxy: FaultProxy, kind: str) -> None:
    data = pattern(6 * MIB)
    with contextlib.closing(make(container, through(proxy))) as backend:
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=len(data), new_id=new_blob_id), [data])
    for start, stop in [(0, None), (1000, 5 * MIB)]:
        with contextlib.closing(make(container, through(proxy))) as backend:
            proxy.inject(kind, received=2 * MIB)
            proxy.inject(kind, received=MIB)
            before = proxy.hits
            with backend.get_object(blob.handle, start, stop) as reader:
                assert b"".join(iter(lambda: reader.read(300_000), b"")) == data[start:stop]
            assert proxy.hits == before + 2


@pytest.mark.parametrize("kind", ["cut", "truncate"])
@pytest.mark.parametrize("size", [MIB, 12 * MIB])
def test_a_broken_upload_is_sent_again(
    container: str, native: ContainerClient, proxy: FaultProxy, kind: str, size: int
) -> None:
    data = pattern(size)
    with contextlib.closing(make(container, through(proxy))) as backend:
        proxy.inject(kind, sent=size // 2)
        blob = backend.put_object(BlobSpec(bucket="photos", key="k", size=size, new_id=new_blob_id), [data])
        assert proxy.hits == 1
        assert read_blob(backend, blob.handle) == data
    assert stored_names(native) == ["photos/k"]


def test_an_answer_that_is_lost_does_not_fail_a_conditional_write(container: str, proxy: FaultProxy) -> None:
    """The first request was carried out; sent again, its condition no longer holds, but what is stored there is
    ours."""
    with contextlib.closing(make(container, through(proxy))) as backend:
        proxy.inject("truncate", received=1)
        spec = KeyedSpec(bucket="photos", key="k", size=4, expected_current=KeyState(None), new_id=new_blob_id)
        blob = backend.put_object(spec, [b"data"])
        assert proxy.hits == 1
        assert read_blob(backend, blob.handle) == b"data"
