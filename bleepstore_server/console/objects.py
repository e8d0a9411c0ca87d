"""What is in a bucket: folders and objects, versions, and the page of one object."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from werkzeug.wrappers import Response

from bleepstore.access import Action
from bleepstore.commands import DeleteEntry
from bleepstore.errors import S3Error
from bleepstore.model import NULL_VERSION, ObjectVersion
from bleepstore.object_lock import RetentionMode
from bleepstore.pages import ListedVersion
from bleepstore.store import DeleteFailure
from bleepstore_server.console.forms import fits_in_a_line, line_of
from bleepstore_server.console.keeping import kept_options
from bleepstore_server.console.previews import preview_of
from bleepstore_server.console.uploads import SINGLE_PUT
from bleepstore_server.console.visit import Visit
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.refusals import translate

PAGE = 100
#: How many keys one form may delete.
MAX_DELETED = 1000
_VERSIONS_OF_OBJECT = 50


@attrs.frozen
class Crumb:
    """A step of the way to a folder: its name, and the prefix of all in it."""

    name: str
    prefix: str


def crumbs_of(prefix: str) -> Sequence[Crumb]:
    """The folders of a prefix, or of a key. Two slashes have a folder between them whose name is empty."""
    names = prefix.split("/")[:-1]
    return [Crumb(name, "/".join(names[: number + 1]) + "/") for number, name in enumerate(names)]


def folder_of(prefix: str) -> str:
    return prefix[: prefix.rfind("/") + 1]


def show_objects(visit: Visit, bucket: str) -> Response:
    prefix = visit.argument("prefix")
    flat = visit.argument("flat") == "1"
    found = visit.store.list_objects(
        bucket,
        prefix=prefix,
        delimiter="" if flat else "/",
        after=visit.argument("after"),
        limit=PAGE,
        caller=visit.caller,
    )
    folder = folder_of(prefix)
    # The marker of the folder itself is no row in it.
    rows = [row for row in found.objects if row.key != folder]
    return visit.page(
        "objects.html",
        bucket=bucket,
        prefix=prefix,
        folder=folder,
        crumbs=crumbs_of(folder),
        flat=flat,
        folders=found.common_prefixes,
        objects=rows,
        next_key=found.next_key,
        after=visit.argument("after"),
        may_write=not visit.store.read_only and visit.may(Action.PUT_OBJECT, bucket, f"{folder}new"),
        may_delete=not visit.store.read_only and visit.may(Action.DELETE_OBJECT, bucket, f"{folder}new"),
        single_put=SINGLE_PUT,
    )


def delete_objects(visit: Visit, bucket: str) -> Response:
    """The objects that were marked. Where the bucket keeps versions they can be brought back."""
    keys = visit.request.form.getlist("key")[:MAX_DELETED]
    if not keys:
        raise RequestError("InvalidArgument", visit.pages.texts["errors"]["nothing_marked"])
    delete_all(visit, bucket, keys)
    return visit.go("buckets", bucket, prefix=visit.argument("prefix") or None, done="objects_deleted")


def delete_all(visit: Visit, bucket: str, keys: Sequence[str]) -> None:
    """Up to 1,000. Raises RequestError with the first one that was refused; the others are deleted."""
    outcomes = visit.store.delete_objects(bucket, [DeleteEntry(key=key) for key in keys], caller=visit.caller)
    for outcome in outcomes:
        if isinstance(outcome, DeleteFailure):
            refused = translate(outcome.error)
            raise RequestError(refused.code, fields={**refused.fields, "additionalMessage": outcome.key})


# -- versions


def show_versions(visit: Visit, bucket: str) -> Response:
    """All versions and delete markers under a prefix: what was deleted is found here."""
    prefix = visit.argument("prefix")
    found = visit.store.list_object_versions(
        bucket,
        prefix=prefix,
        after_key=visit.argument("after"),
        after_version_id=visit.argument("after_version"),
        limit=PAGE,
        caller=visit.caller,
    )
    return visit.page(
        "versions.html",
        bucket=bucket,
        prefix=prefix,
        crumbs=crumbs_of(folder_of(prefix)),
        versions=found.versions,
        next_key=found.next_key,
        next_version=found.next_version_id,
        after=visit.argument("after"),
    )


def delete_version(visit: Visit, bucket: str) -> Response:
    """For good. To remove a delete marker brings back what it hides."""
    key, version_id = visit.field("key"), visit.field("version") or NULL_VERSION
    visit.store.delete_object(bucket, key, version_id=version_id, caller=visit.caller)
    done = "undeleted" if visit.field("marker") == "1" else "version_deleted"
    return visit.go("buckets", bucket, "versions", prefix=visit.argument("prefix") or None, done=done)


def restore_version(visit: Visit, bucket: str) -> Response:
    """Make an earlier version the current one: by a copy, so that nothing is lost."""
    key, version_id = visit.field("key"), visit.field("version")
    version = visit.store.head_object(bucket, key, version_id=version_id, caller=visit.caller).version
    visit.store.copy_object(
        bucket, key, bucket, key, source_version_id=version_id, caller=visit.caller, **kept_options(version)
    )
    return visit.go("buckets", bucket, "versions", prefix=visit.argument("prefix") or None, done="version_restored")


# -- one object


def show_object(visit: Visit, bucket: str, link: str | None = None) -> Response:
    key, version_id = visit.argument("key"), visit.version_id
    version = visit.store.head_object(bucket, key, version_id=version_id, caller=visit.caller).version
    settings = visit.store.engine.find_bucket(bucket).settings
    return visit.page(
        "object.html",
        bucket=bucket,
        key=key,
        folder=folder_of(key),
        crumbs=crumbs_of(key),
        name=key[len(folder_of(key)) :] or key,
        version=version,
        version_id=version_id,
        preview=preview_of(visit, version, version_id),
        versions=_versions_of(visit, bucket, key) if version.is_versioned else [],
        may_see_lock=settings.object_lock is not None
        and visit.may(Action.GET_OBJECT_RETENTION, bucket, key, version_id),
        modes=list(RetentionMode),
        tags=_tags_of(visit, version, version_id),
        fits_in_a_line=fits_in_a_line,
        line_of=line_of,
        link=link,
    )


def _versions_of(visit: Visit, bucket: str, key: str) -> Sequence[ListedVersion] | None:
    """The newest ones of a key; None: the caller may not see them."""
    try:
        found = visit.store.list_object_versions(bucket, prefix=key, limit=_VERSIONS_OF_OBJECT, caller=visit.caller)
    except S3Error:
        return None
    return [row for row in found.versions if row.key == key]


def _tags_of(visit: Visit, version: ObjectVersion, version_id: str | None) -> dict[str, str] | None:
    try:
        return dict(
            visit.store.get_object_tags(version.bucket, version.key, version_id=version_id, caller=visit.caller)
        )
    except S3Error:
        return None
