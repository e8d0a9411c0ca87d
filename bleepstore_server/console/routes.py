"""What the console answers: a row for each page and each form."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from werkzeug.wrappers import Response

from bleepstore_server.console import (
    buckets,
    folders,
    listable,
    object_forms,
    objects,
    operations,
    settings,
    transfers,
    uploads,
    users,
)

Handler = Callable[..., Response]


@attrs.frozen
class Route:
    """`function` is called with the visit and what the path has in it. `again` shows the page of a form that was
    refused. `streams`: the body is no form, and is read as it comes; its token is in a header."""

    method: str
    path: str
    function: Handler | None
    again: Handler | None = attrs.field(default=None, kw_only=True)
    streams: bool = attrs.field(default=False, kw_only=True)
    #: Of what needs nobody to be signed in, or ends that: the app itself answers.
    name: str = attrs.field(default="", kw_only=True)

    @property
    def operation(self) -> str:
        """What the audit log calls it: after the function, which S3's operation of its kind has the name of."""
        name = self.name.replace("-", "_") if self.function is None else self.function.__name__
        return "".join(word.capitalize() for word in name.split("_"))


_BUCKET = "/buckets/<bucket>"
_OBJECT = f"{_BUCKET}/object"
_USER = "/users/<name>"
_UPLOADS = f"{_BUCKET}/uploads"

ROUTES = (
    Route("GET", "/static/<version>/<name>", None, name="asset"),
    Route("POST", "/theme", None, name="theme"),
    Route("GET", "/sign-in", None, name="sign-in"),
    Route("POST", "/sign-in", None, name="sign-in"),
    Route("POST", "/sign-out", None, name="sign-out"),
    Route("GET", "/", buckets.go_to_buckets),
    Route("GET", "/buckets", buckets.show_buckets),
    Route("POST", "/buckets", buckets.create_bucket, again=buckets.show_buckets),
    Route("GET", f"{_BUCKET}/usage", buckets.show_usage),
    Route("POST", f"{_BUCKET}/remove", buckets.remove_bucket, again=objects.show_objects),
    Route("GET", _BUCKET, objects.show_objects, again=listable.show_listable),
    Route("POST", f"{_BUCKET}/folders", folders.create_folder, again=objects.show_objects),
    Route("GET", f"{_BUCKET}/folder", folders.show_folder),
    Route("POST", f"{_BUCKET}/folder/delete", folders.delete_folder, again=folders.show_folder),
    Route("POST", f"{_BUCKET}/delete", objects.delete_objects, again=objects.show_objects),
    Route("GET", f"{_BUCKET}/versions", objects.show_versions),
    Route("POST", f"{_BUCKET}/versions/delete", objects.delete_version, again=objects.show_versions),
    Route("POST", f"{_BUCKET}/versions/restore", objects.restore_version, again=objects.show_versions),
    Route("PUT", f"{_BUCKET}/objects", uploads.put_object, streams=True),
    Route("GET", _UPLOADS, uploads.show_uploads),
    Route("POST", f"{_UPLOADS}/abort", uploads.abort_upload, again=uploads.show_uploads),
    Route("POST", f"{_UPLOADS}/begin", uploads.begin_upload, streams=True),
    Route("GET", f"{_UPLOADS}/<upload_id>", uploads.list_parts),
    Route("PUT", f"{_UPLOADS}/<upload_id>/<int:number>", uploads.put_part, streams=True),
    Route("POST", f"{_UPLOADS}/<upload_id>/complete", uploads.complete_upload, streams=True),
    Route("DELETE", f"{_UPLOADS}/<upload_id>", uploads.cancel_upload, streams=True),
    Route("GET", _OBJECT, objects.show_object),
    Route("GET", f"{_OBJECT}/download", transfers.download),
    Route("GET", f"{_OBJECT}/image", transfers.show_image),
    Route("GET", f"{_OBJECT}/pdf", transfers.open_pdf),
    Route("POST", f"{_OBJECT}/share", object_forms.share, again=objects.show_object),
    Route("POST", f"{_OBJECT}/tags", object_forms.put_tags, again=objects.show_object),
    Route("POST", f"{_OBJECT}/metadata", object_forms.put_metadata, again=objects.show_object),
    Route("POST", f"{_OBJECT}/retention", object_forms.put_retention, again=objects.show_object),
    Route("POST", f"{_OBJECT}/hold", object_forms.put_hold, again=objects.show_object),
    Route("POST", f"{_OBJECT}/thaw", object_forms.restore_archived, again=objects.show_object),
    Route("POST", f"{_OBJECT}/delete", object_forms.delete, again=objects.show_object),
    Route("GET", f"{_BUCKET}/settings", settings.show_settings),
    Route("POST", f"{_BUCKET}/settings/<section>", settings.put_setting, again=settings.show_settings),
    Route("GET", "/users", users.show_users),
    Route("POST", "/users", users.add_user, again=users.show_users),
    Route("POST", "/keys", users.add_key, again=users.show_users),
    Route("POST", "/keys/change", users.change_key, again=users.show_users),
    Route("GET", _USER, users.show_user),
    Route("POST", f"{_USER}/remove", users.remove_user, again=users.show_user),
    Route("POST", f"{_USER}/policies", users.put_policy, again=users.show_user),
    Route("POST", f"{_USER}/canned", users.put_canned_policy, again=users.show_user),
    Route("POST", f"{_USER}/keys", users.add_user_key, again=users.show_user),
    Route("GET", "/quotas", operations.show_quotas),
    Route("POST", "/quotas", operations.put_quota, again=operations.show_quotas),
    Route("GET", "/status", operations.show_status),
    Route("GET", "/status/figures", operations.status_figures),
    Route("GET", "/jobs", operations.show_jobs),
    Route("POST", "/jobs", operations.run_job, again=operations.show_jobs),
    Route("GET", "/cluster", operations.show_cluster),
)
