"""Folders: what keys have before their last slash. They are made as empty objects, and removed with all in them."""

from __future__ import annotations

from werkzeug.wrappers import Response

from bleepstore_server.console.objects import MAX_DELETED, crumbs_of, delete_all, folder_of
from bleepstore_server.console.visit import Visit
from bleepstore_server.wire.errors import RequestError

#: How many times MAX_DELETED objects are counted, and how many one form deletes.
_STEPS = 10


def create_folder(visit: Visit, bucket: str) -> Response:
    """An empty object whose key ends in a slash, as other clients make folders."""
    name = visit.field("name").strip().strip("/")
    folder = folder_of(visit.argument("prefix"))
    if not name:
        raise RequestError("InvalidArgument", visit.pages.texts["errors"]["folder_name"])
    key = f"{folder}{name}/"
    visit.store.put_object(bucket, key, b"", content_type="application/x-directory", caller=visit.caller)
    return visit.go("buckets", bucket, prefix=key, done="folder_created")


def show_folder(visit: Visit, bucket: str) -> Response:
    """How much is in a folder, before it is deleted."""
    folder = _folder(visit)
    count = size = 0
    after = ""
    for _ in range(_STEPS):
        found = visit.store.list_objects(bucket, prefix=folder, after=after, limit=MAX_DELETED, caller=visit.caller)
        count += len(found.objects)
        size += sum(row.size for row in found.objects)
        if found.next_key is None:
            break
        after = found.next_key
    return visit.page(
        "folder.html",
        bucket=bucket,
        folder=folder,
        crumbs=crumbs_of(folder),
        count=count,
        size=size,
        is_more=found.next_key is not None,
    )


def delete_folder(visit: Visit, bucket: str) -> Response:
    """All objects whose keys begin with that of the folder; of very many some, and the page asks again. Where the
    bucket keeps versions they can be brought back."""
    folder = _folder(visit)
    after = ""
    for _ in range(_STEPS):
        found = visit.store.list_objects(bucket, prefix=folder, after=after, limit=MAX_DELETED, caller=visit.caller)
        if found.objects:
            delete_all(visit, bucket, [row.key for row in found.objects])
        if found.next_key is None:
            return visit.go("buckets", bucket, prefix=folder_of(folder[:-1]) or None, done="folder_deleted")
        after = found.next_key
    return visit.go("buckets", bucket, "folder", key=folder, done="folder_partly_deleted")


def _folder(visit: Visit) -> str:
    """The key of a folder. Never none: that would be the whole bucket."""
    folder = visit.argument("key")
    if not folder.endswith("/"):
        raise RequestError("InvalidArgument", visit.pages.texts["errors"]["no_folder"])
    return folder
