"""Fills the file system of the folder in argv[1] with a store and says what happened. Run by test_full_disk.py."""

from __future__ import annotations

import hashlib
import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bleepstore
from bleepstore import CompletedPart, Store
from bleepstore.errors import StorageFull
from bleepstore_server import AppConfig, create_app

MIB = 1024 * 1024


def body(number: int, size: int) -> bytes:
    return random.Random(number).randbytes(size)


def fill(put: Callable[[int], object]) -> list[int]:
    """The numbers that were put before the disk was full."""
    done: list[int] = []
    while True:
        try:
            put(len(done))
        except StorageFull:
            return done
        done.append(len(done))
        assert len(done) < 100_000, "the disk never became full"


def check(store: Store, prefix: str, numbers: list[int], size: int) -> None:
    """Exactly these objects are there, with their bytes."""
    listed = []
    after: str | None = ""
    while after is not None:
        page = store.list_objects("photos", prefix=prefix, after=after)
        listed += [entry.key for entry in page.objects]
        after = page.next_key
    assert listed == [f"{prefix}{number:06d}" for number in numbers], (prefix, len(listed), len(numbers))
    for number in numbers:
        with store.get_object("photos", f"{prefix}{number:06d}") as found:
            data = found.read()
        assert data == body(number, size)
        assert found.version.etag == hashlib.md5(data).hexdigest()


def over_wsgi(store: Store, method: str, path: str, data: bytes = b"") -> tuple[str, bytes]:
    answer: list[str] = []

    def start_response(status: str, _headers: Any, _error: Any = None) -> Any:
        answer.append(status)

    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "RAW_URI": path,
        "CONTENT_LENGTH": str(len(data)),
        "HTTP_HOST": "localhost",
        "wsgi.input": io.BytesIO(data),
        "wsgi.url_scheme": "http",
        "REMOTE_ADDR": "127.0.0.1",
    }
    chunks = create_app(store, AppConfig())(environ, start_response)
    return answer[0], b"".join(chunks)


def main(root: Path) -> dict[str, Any]:
    ballast = root / "ballast"
    ballast.write_bytes(bytes(4 * MIB))
    with bleepstore.open(root / "store", acl_defaults="legacy") as store:
        store.create_bucket("photos", acl=bleepstore.CannedAcl.PUBLIC_READ_WRITE)
        upload = store.create_upload("photos", "parts")
        part = store.put_part("photos", "parts", upload.upload_id, 1, b"part")
        blobs = fill(lambda n: store.put_object("photos", f"blob/{n:06d}", body(n, MIB)))
        try:
            store.put_part("photos", "parts", upload.upload_id, 2, body(1, 2 * MIB))
        except StorageFull:
            pass
        else:
            raise AssertionError("a part found space where an object did not")
        check(store, "blob/", blobs, MIB)
        status, answer = over_wsgi(store, "PUT", "/photos/wire", bytes(2 * MIB))
        inline = fill(lambda n: store.put_object("photos", f"inline/{n:06d}", body(n, 10_000)))
        check(store, "blob/", blobs, MIB)
        check(store, "inline/", inline, 10_000)
        inline_status, _ = over_wsgi(store, "PUT", "/photos/wire", bytes(15_000))
        read_status, _ = over_wsgi(store, "GET", "/photos")
        left = list((root / "store" / "tmp").iterdir())
        # What frees space is never refused, and then there is space.
        store.delete_object("photos", f"blob/{blobs.pop():06d}")
        store.sweep()
        store.put_object("photos", "freed", body(9, 10_000))
        store.delete_object("photos", "freed")
        inline += [number + len(inline) for number in fill(lambda n: store.put_object(
            "photos", f"inline/{len(inline) + n:06d}", body(len(inline) + n, 10_000)))]  # fmt: skip
    with bleepstore.open(root / "store") as store:  # a restart while the disk is full
        check(store, "blob/", blobs, MIB)
        check(store, "inline/", inline, 10_000)
        ballast.unlink()
        # There is space again: everything works, and nothing that was refused has come in.
        store.put_object("photos", "after", body(7, MIB))
        store.complete_upload("photos", "parts", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
        for number in blobs[2:]:
            store.delete_object("photos", f"blob/{number:06d}")
        store.sweep()
        store.put_object("photos", "more", body(8, 3 * MIB))
    with bleepstore.open(root / "store") as store:
        check(store, "blob/", blobs[:2], MIB)
        check(store, "inline/", inline, 10_000)
        names = [entry.key for entry in store.list_objects("photos", prefix="w").objects]
    return {
        "blobs": len(blobs),
        "inline": len(inline),
        "status": status,
        "answer": answer.decode(),
        "inline_status": inline_status,
        "read_status": read_status,
        "left": len(left),
        "wire": names,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))  # noqa: T201  # how it reports to the test
