"""One script of operations through every client: what boto3 then sees is the same after each of them.

Each puts five objects with a content type and metadata (one of them in parts of 5 MiB), removes one, copies one, lists
what there is and fetches it all.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libcloud.security
import minio
import obstore
import pytest
import urllib3
from boto3.s3.transfer import TransferConfig
from libcloud.storage.providers import get_driver
from libcloud.storage.types import Provider
from minio.commonconfig import CopySource
from obstore.store import S3Store

from tests.clients.conftest import MIB, OVER_HTTP, contents, need, run
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served

pytestmark = OVER_HTTP

#: key -> the file that it is put from.
OBJECTS = {name: name for name in ("small.txt", "empty", "sub/a b+ü%.dat", "big.bin")} | {"gone": "small.txt"}
PART = 5 * MIB
COLOUR = {"colour": "blue"}


def by_boto3(server: Served, bucket: str, files: Path, back: Path) -> None:
    s3 = server.client()
    extra = {"ContentType": "text/plain", "Metadata": COLOUR}
    for key, name in OBJECTS.items():
        in_parts = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
        s3.upload_file(str(files / name), bucket, key, ExtraArgs=extra, Config=in_parts)
    s3.delete_object(Bucket=bucket, Key="gone")
    s3.copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": "small.txt"})
    for found in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        (back / found["Key"]).parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, found["Key"], str(back / found["Key"]))
    s3.close()


def by_aws_cli(server: Served, bucket: str, files: Path, back: Path) -> None:
    aws = need("aws")
    config = back.parent / "aws-config"
    config.write_text("[default]\ns3 =\n  multipart_threshold = 5MB\n  multipart_chunksize = 5MB\n")
    common: list[str | Path] = ["env", f"AWS_CONFIG_FILE={config}", aws, "s3"]
    for key, name in OBJECTS.items():
        described = ["--content-type", "text/plain", "--metadata", "colour=blue"]
        run(server, [*common, "cp", *described, files / name, f"s3://{bucket}/{key}"])
    run(server, [*common, "rm", f"s3://{bucket}/gone"])
    run(server, [*common, "cp", f"s3://{bucket}/small.txt", f"s3://{bucket}/copied"])
    run(server, [*common, "sync", f"s3://{bucket}", back])


def by_s3cmd(server: Served, bucket: str, files: Path, back: Path) -> None:
    scheme, _, host = server.url.partition("://")
    (back.parent / "none").touch()
    common: list[str | Path] = [sys.executable, Path(sys.executable).parent / "s3cmd", "--config", back.parent / "none"]
    common += [f"--access_key={ACCESS_KEY}", f"--secret_key={SECRET_KEY}", f"--host={host}", f"--host-bucket={host}"]
    common += ["--ssl", f"--ca-certs={server.certificate}"] if scheme == "https" else ["--no-ssl"]
    described = ["--mime-type=text/plain", "--add-header=x-amz-meta-colour: blue", "--multipart-chunk-size-mb=5"]
    for key, name in OBJECTS.items():
        run(server, [*common, "put", *described, files / name, f"s3://{bucket}/{key}"])
    run(server, [*common, "del", f"s3://{bucket}/gone"])
    run(server, [*common, "cp", f"s3://{bucket}/small.txt", f"s3://{bucket}/copied"])
    run(server, [*common, "sync", f"s3://{bucket}/", f"{back}/"])


def by_rclone(server: Served, bucket: str, files: Path, back: Path) -> None:
    remote = f":s3,provider=Other,env_auth=true,endpoint='{server.url}':{bucket}"
    common: list[str | Path] = [need("rclone"), "--config", back.parent / "none", "--s3-no-check-bucket"]
    common += ["--s3-acl=bucket-owner-full-control"]  # what a bucket without ACLs takes
    common += ["--s3-upload-cutoff=5Mi", "--s3-chunk-size=5Mi", "--metadata", "--metadata-set", "colour=blue"]
    common += ["--header-upload", "Content-Type: text/plain"]
    if server.certificate is not None:
        common += ["--ca-cert", server.certificate]
    for key, name in OBJECTS.items():
        run(server, [*common, "copyto", files / name, f"{remote}/{key}"], ca_bundle=False)
    run(server, [*common, "deletefile", f"{remote}/gone"], ca_bundle=False)
    run(server, [*common, "copyto", f"{remote}/small.txt", f"{remote}/copied"], ca_bundle=False)
    run(server, [*common, "sync", remote, back], ca_bundle=False)


def by_minio_py(server: Served, bucket: str, files: Path, back: Path) -> None:
    scheme, _, host = server.url.partition("://")
    pool = urllib3.PoolManager(ca_certs=str(server.certificate) if server.certificate else None)
    pair: dict[str, Any] = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    client = minio.Minio(endpoint=host, secure=scheme == "https", region="us-east-1", http_client=pool, **pair)
    for key, name in OBJECTS.items():
        client.fput_object(
            bucket_name=bucket,
            object_name=key,
            file_path=str(files / name),
            content_type="text/plain",
            metadata=dict(COLOUR),
            part_size=PART,
        )
    client.remove_object(bucket_name=bucket, object_name="gone")
    client.copy_object(bucket_name=bucket, object_name="copied", source=CopySource(bucket, "small.txt"))
    for found in client.list_objects(bucket_name=bucket, recursive=True):
        key = str(found.object_name)
        client.fget_object(bucket_name=bucket, object_name=key, file_path=str(back / key))
    pool.clear()


def by_minio_go(server: Served, bucket: str, files: Path, back: Path) -> None:
    run(server, [need("minio-go"), bucket, files, back])


def by_mc(server: Served, bucket: str, files: Path, back: Path) -> None:
    scheme, _, host = server.url.partition("://")
    folder = back.parent / "mc"
    common: list[str | Path] = ["env", f"MC_HOST_here={scheme}://{ACCESS_KEY}:{SECRET_KEY}@{host}"]
    common += [need("mc"), "--config-dir", folder]
    common += ["--quiet", "--insecure"]
    for key, name in OBJECTS.items():
        # `put` lets one say how large the parts are, `cp` what goes with the object.
        described = ["--attr", "colour=blue;Content-Type=text/plain"]
        command = ["put", "--part-size", "5MiB"] if name == "big.bin" else ["cp", *described]
        run(server, [*common, *command, files / name, f"here/{bucket}/{key}"])
    run(server, [*common, "rm", f"here/{bucket}/gone"])
    run(server, [*common, "cp", f"here/{bucket}/small.txt", f"here/{bucket}/copied"])
    run(server, [*common, "mirror", f"here/{bucket}", back])


def by_libcloud(server: Served, bucket: str, files: Path, back: Path) -> None:
    """It cannot copy. It sends `?Version=2006-03-01`, which S3 does not know and ignores."""
    scheme, _, host = server.url.partition("://")
    if server.certificate is not None:
        libcloud.security.CA_CERTS_PATH = str(server.certificate)
    driver: Any = get_driver(Provider.S3)(
        ACCESS_KEY, SECRET_KEY, secure=scheme == "https", host=host.partition(":")[0], port=server.port
    )
    container = driver.get_container(bucket)
    for key, name in OBJECTS.items():
        extra = {"content_type": "text/plain", "meta_data": dict(COLOUR)}
        if name == "big.bin":
            with (files / name).open("rb") as file:
                driver.upload_object_via_stream(iter(lambda: file.read(MIB), b""), container, key, extra=extra)
        else:
            driver.upload_object(str(files / name), container, key, extra=extra)
    driver.delete_object(driver.get_object(bucket, "gone"))
    for found in driver.list_container_objects(container):
        (back / found.name).parent.mkdir(parents=True, exist_ok=True)
        driver.download_object(found, str(back / found.name))


def by_javascript(server: Served, bucket: str, files: Path, back: Path) -> None:
    script = need("js") / "differential.mjs"
    script.write_bytes((Path(__file__).parent / "differential.mjs").read_bytes())
    run(server, ["node", script, bucket, files, back])


def by_obstore(server: Served, bucket: str, files: Path, back: Path) -> None:
    pair: dict[str, Any] = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    options: Any = {"allow_http": True, "allow_invalid_certificates": server.certificate is not None}
    store = S3Store(
        bucket,
        endpoint=server.url,
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options=options,
        **pair,
    )
    for key, name in OBJECTS.items():
        obstore.put(
            store,
            key,
            io.BytesIO((files / name).read_bytes()),
            attributes={"Content-Type": "text/plain", **COLOUR},
            use_multipart=name == "big.bin",
            chunk_size=PART,
        )
    obstore.delete(store, "gone")
    obstore.copy(store, "small.txt", "copied")
    for found in obstore.list(store).collect():
        (back / found["path"]).parent.mkdir(parents=True, exist_ok=True)
        (back / found["path"]).write_bytes(bytes(obstore.get(store, found["path"]).bytes()))


#: What some cannot do: copy, or say what goes with an object in parts.
NO_COPY, PLAIN_PARTS = frozenset({by_libcloud}), frozenset({by_mc})
CLIENTS: list[Callable[[Served, str, Path, Path], None]] = [
    by_boto3,
    by_aws_cli,
    by_s3cmd,
    by_rclone,
    by_minio_py,
    by_minio_go,
    by_mc,
    by_libcloud,
    by_javascript,
    by_obstore,
]


def seen_by_boto3(server: Served, bucket: str) -> dict[str, dict[str, Any]]:
    """What every client must leave behind: bytes, ETags, sizes, content types and metadata, listed and asked for."""
    s3, seen = server.client(), {}
    for listed in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        key = listed["Key"]
        with (found := s3.get_object(Bucket=bucket, Key=key))["Body"] as body:
            data = body.read()
        assert (listed["ETag"], listed["Size"]) == (found["ETag"], found["ContentLength"])
        seen[key] = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "etag": found["ETag"],
            "type": found["ContentType"],
            # Some clients add notes of their own, such as the time of the file.
            "colour": found["Metadata"].get("colour"),
        }
    s3.close()
    return seen


def expected(files: Path) -> dict[str, dict[str, Any]]:
    wanted = {}
    for key, name in [*OBJECTS.items(), ("copied", "small.txt")]:
        data = (files / name).read_bytes()
        pieces = [data[start : start + PART] for start in range(0, len(data), PART)]
        etag = hashlib.md5(data).hexdigest()
        if len(pieces) > 1:
            etag = f"{hashlib.md5(b''.join(hashlib.md5(piece).digest() for piece in pieces)).hexdigest()}-{len(pieces)}"
        digest = hashlib.sha256(data).hexdigest()
        wanted[key] = {"sha256": digest, "etag": f'"{etag}"', "type": "text/plain", "colour": "blue"}
    del wanted["gone"]
    return wanted


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__.removeprefix("by_"))
def test_every_client_leaves_the_same_behind(
    shared_server: Served,
    files: Path,
    tmp_path: Path,
    client: Callable[[Served, str, Path, Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(libcloud.security, "CA_CERTS_PATH", None)
    bucket = f"same-{client.__name__.removeprefix('by_').replace('_', '-')}"
    s3 = shared_server.client()
    s3.create_bucket(Bucket=bucket)
    s3.close()
    back = tmp_path / "back"
    back.mkdir()
    client(shared_server, bucket, files, back)
    wanted, seen = expected(files), seen_by_boto3(shared_server, bucket)
    if client in NO_COPY:
        del wanted["copied"]
    if client in PLAIN_PARTS:
        for described in (wanted, seen):
            described["big.bin"] = {name: described["big.bin"][name] for name in ("sha256", "etag")}
    assert seen == wanted
    assert {name: hashlib.sha256(data).hexdigest() for name, data in contents(back).items()} == {
        key: described["sha256"] for key, described in wanted.items()
    }
