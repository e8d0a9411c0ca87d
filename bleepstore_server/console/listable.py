"""The page of a bucket, or of a prefix, that its visitor may not list: it asks for another prefix, and offers those
that the policies name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from werkzeug.wrappers import Response

from bleepstore.errors import AccessDenied
from bleepstore_server.console.objects import crumbs_of, folder_of
from bleepstore_server.console.visit import Visit

_MAX_OFFERED = 20
#: How many of those that policies name are tried.
_MAX_TRIED = 100


def show_listable(visit: Visit, bucket: str) -> Response:
    assert visit.error is not None
    if visit.error.code != "AccessDenied":
        raise visit.error
    prefix = visit.argument("prefix")
    return visit.page(
        "listable.html",
        bucket=bucket,
        prefix=prefix,
        crumbs=crumbs_of(folder_of(prefix)),
        offered=_offered(visit, bucket),
    )


def _offered(visit: Visit, bucket: str) -> list[str]:
    """What may be listed of what the policies of the visitor and of the bucket name."""
    policies = [] if visit.caller.user is None else list(visit.caller.user.policies.values())
    if (of_bucket := visit.store.get_bucket(bucket).settings.policy) is not None:
        policies.append(of_bucket)
    named: set[str] = set()
    for policy in policies:
        named.update(_prefixes_of(json.loads(policy), visit))
    offered: list[str] = []
    for prefix in sorted(named)[:_MAX_TRIED]:
        try:
            visit.store.list_objects(bucket, prefix=prefix, delimiter="/", limit=1, caller=visit.caller)
        except AccessDenied:
            continue
        offered.append(prefix)
    return offered[:_MAX_OFFERED]


def _prefixes_of(policy: Any, visit: Visit) -> Iterator[str]:
    """What conditions of a policy say of `s3:prefix`, up to the first wildcard."""
    statements = policy.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        for values in statement.get("Condition", {}).values():
            for name, wanted in values.items():
                if name.lower() == "s3:prefix":
                    for text in wanted if isinstance(wanted, list) else [wanted]:
                        known = str(text).replace("${aws:username}", visit.caller.principal.display_name)
                        if prefix := known.partition("*")[0].partition("?")[0].partition("${")[0]:
                            yield prefix
