"""The list of buckets."""

from __future__ import annotations

from werkzeug.wrappers import Response

from bleepstore.access import Action
from bleepstore.errors import AccessDenied
from bleepstore.model import Bucket, Versioning
from bleepstore_server.console.answers import json_answer
from bleepstore_server.console.pages import shown_count, shown_size
from bleepstore_server.console.visit import Visit

_PAGE = 100


def go_to_buckets(visit: Visit) -> Response:
    return visit.go("buckets")


def show_buckets(visit: Visit) -> Response:
    found: list[Bucket] = []
    next_name = None
    may_list = True
    prefix = visit.argument("prefix")
    try:
        page = visit.store.list_buckets(prefix=prefix, after=visit.argument("after"), limit=_PAGE, caller=visit.caller)
        found, next_name = page.buckets, page.next_name
    except AccessDenied:
        may_list = False
    return visit.page(
        "buckets.html", buckets=found, next_name=next_name, may_list=may_list, prefix=prefix,
        after=visit.argument("after"),
    )  # fmt: skip


def create_bucket(visit: Visit) -> Response:
    bucket = visit.field("bucket").strip()
    visit.store.create_bucket(bucket, object_lock=visit.field("object_lock") == "on", caller=visit.caller)
    if visit.field("versioning") == "on" and visit.field("object_lock") != "on":
        # A bucket with object lock keeps versions anyway.
        visit.store.put_bucket_versioning(bucket, Versioning.ENABLED, caller=visit.caller)
    return visit.go("buckets", bucket, done="bucket_created")


def show_usage(visit: Visit, bucket: str) -> Response:
    """What is in a bucket, for the row of a list: it is asked for on its own, since counting may take its time."""
    visit.store.check_access(Action.LIST_BUCKET, bucket, caller=visit.caller)
    usage = visit.store.usage(bucket)
    return json_answer({"bytes": shown_size(usage.bytes), "objects": shown_count(usage.objects)})


def remove_bucket(visit: Visit, bucket: str) -> Response:
    visit.store.delete_bucket(bucket, caller=visit.caller)
    return visit.go("buckets", done="bucket_removed")
