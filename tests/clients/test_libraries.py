"""pyarrow, obstore, minio-py and aws-sdk-js v3: round trips with multipart and conditional writes."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import minio
import obstore
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
import pytest
import urllib3
from minio.commonconfig import ComposeSource, CopySource
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

from tests.clients.conftest import MIB, need, run
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served


def test_pyarrow(shared_server: Served, files: Path) -> None:
    server = shared_server
    scheme, _, host = server.url.partition("://")
    ca = {} if server.certificate is None else {"tls_ca_file_path": str(server.certificate)}
    s3 = pyarrow.fs.S3FileSystem(
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        endpoint_override=host,
        scheme=scheme,
        region="us-east-1",
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
        **ca,
    )
    s3.create_dir("arrow")
    table = pa.table({"n": range(200_000), "text": ["some text"] * 200_000})
    pyarrow.parquet.write_table(table, "arrow/tables/t.parquet", filesystem=s3)
    assert pyarrow.parquet.read_table("arrow/tables/t.parquet", filesystem=s3).equals(table)
    big = (files / "big.bin").read_bytes()
    with s3.open_output_stream("arrow/big") as stream:  # a multipart upload with CRC64NVME trailers
        stream.write(big)
    with s3.open_input_file("arrow/big") as file:
        assert file.size() == len(big)
        assert file.read_at(1000, 6 * MIB) == big[6 * MIB : 6 * MIB + 1000]
        assert file.read() == big
    s3.copy_file("arrow/big", "arrow/copied")
    s3.move("arrow/copied", "arrow/moved")
    infos = s3.get_file_info(pyarrow.fs.FileSelector("arrow", recursive=True))
    assert {info.path for info in infos} == {"arrow/big", "arrow/moved", "arrow/tables", "arrow/tables/t.parquet"}
    s3.delete_dir_contents("arrow")
    s3.delete_dir("arrow")


def test_obstore(shared_server: Served, files: Path) -> None:
    server = shared_server
    server.client().create_bucket(Bucket="obstore")
    store = S3Store(
        "obstore",
        endpoint=server.url,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "allow_invalid_certificates": server.certificate is not None},
    )
    big = (files / "big.bin").read_bytes()
    obstore.put(store, "big", io.BytesIO(big), use_multipart=True, chunk_size=5 * MIB)
    assert bytes(obstore.get(store, "big").bytes()) == big
    assert bytes(obstore.get_range(store, "big", start=10, end=20)) == big[10:20]
    first = obstore.put(store, "once", b"1", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "once", b"2", mode="create")
    obstore.put(store, "once", b"3", mode={"e_tag": first["e_tag"]}, use_multipart=False)
    with pytest.raises(PreconditionError):
        obstore.put(store, "once", b"4", mode={"e_tag": first["e_tag"]}, use_multipart=False)
    assert bytes(obstore.get(store, "once").bytes()) == b"3"
    obstore.copy(store, "once", "twice")
    obstore.rename(store, "twice", "thrice")
    names = {item["path"] for page in obstore.list(store) for item in page}
    assert names == {"big", "once", "thrice"}
    obstore.delete(store, sorted(names))
    assert obstore.list(store).collect() == []


def test_minio_py(shared_server: Served, files: Path, tmp_path: Path) -> None:
    server = shared_server
    scheme, _, host = server.url.partition("://")
    pool = urllib3.PoolManager(ca_certs=str(server.certificate) if server.certificate else None)
    client = minio.Minio(
        endpoint=host,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        secure=scheme == "https",
        region="us-east-1",
        http_client=pool,
    )
    client.make_bucket(bucket_name="minio")
    assert client.bucket_exists(bucket_name="minio")
    client.fput_object(bucket_name="minio", object_name="big", file_path=str(files / "big.bin"), part_size=5 * MIB)
    client.put_object(
        bucket_name="minio",
        object_name="a b+ü%",
        data=io.BytesIO(b"data"),
        length=4,
        content_type="text/plain",
        metadata={"Colour": "blue"},
    )
    stat = client.stat_object(bucket_name="minio", object_name="a b+ü%")
    assert stat.metadata is not None
    assert (stat.content_type, stat.metadata["x-amz-meta-colour"]) == ("text/plain", "blue")
    client.fget_object(bucket_name="minio", object_name="big", file_path=str(tmp_path / "big"))
    assert (tmp_path / "big").read_bytes() == (files / "big.bin").read_bytes()
    client.copy_object(bucket_name="minio", object_name="copied", source=CopySource("minio", "big"))
    client.compose_object(
        bucket_name="minio",
        object_name="composed",
        sources=[ComposeSource("minio", "big"), ComposeSource("minio", "copied")],
    )
    assert client.stat_object(bucket_name="minio", object_name="composed").size == 2 * (17 * MIB + 5)
    url = client.presigned_get_object(bucket_name="minio", object_name="a b+ü%", expires=timedelta(hours=1))
    assert pool.request("GET", url).data == b"data"
    names = {item.object_name for item in client.list_objects(bucket_name="minio", recursive=True)}
    assert names == {"big", "a b+ü%", "copied", "composed"}
    for name in names:
        client.remove_object(bucket_name="minio", object_name=name or "")
    client.remove_bucket(bucket_name="minio")
    pool.clear()


def test_the_javascript_sdk(shared_server: Served, files: Path, tmp_path: Path) -> None:
    modules = need("js")
    script = modules / "round_trip.mjs"
    script.write_bytes((Path(__file__).parent / "round_trip.mjs").read_bytes())
    result = run(shared_server, ["node", script, files / "big.bin", tmp_path / "back.bin"])
    assert result.stdout == "all went well\n"
    assert (tmp_path / "back.bin").read_bytes() == (files / "big.bin").read_bytes()
