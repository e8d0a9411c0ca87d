"""The table of S3's operations, and how a request finds its row.

An operation is told by its method, its resource (the service, a bucket, an object), a sub-resource in the query
(`?acl`), and for copies by the header x-amz-copy-source. A row without a function is answered 501: no request ever
falls through from a sub-resource to a plain CreateBucket, ListObjects or PutObject.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

import attrs

from bleepstore.access import Action as A
from bleepstore.configurations import KINDS_WITH_IDS, ConfigurationKind
from bleepstore.store.configurations import ACTIONS, UPDATE_ACTIONS
from bleepstore_server.exchange import Exchange, Request
from bleepstore_server.operations import (
    archived,
    buckets,
    cors,
    encryption,
    lifecycle,
    listings,
    metadata_tables,
    multipart,
    objects,
    ownership,
    policies,
    post_object,
    stored,
    tagging,
    versions,
)
from bleepstore_server.operations import object_lock as locks
from bleepstore_server.response import Response
from bleepstore_server.wire.encryption import ENCRYPTION
from bleepstore_server.wire.errors import RequestError

Operation = Callable[[Exchange], Response]


class Resource(enum.StrEnum):
    SERVICE = "/"
    BUCKET = "/{Bucket}"
    OBJECT = "/{Bucket}/{Key}"


@attrs.frozen
class Route:
    """One S3 operation. `function` None: not implemented.

    `action` is what the caller must be allowed; None for what is not implemented. The store decides that within the
    function, before anything else of it, and whatever else is wrong with the request is told only to those who may do
    it. `document`: the function reads a body that is a document, and this is not looked at before it is decided.
    `own_answer`: the function alone knows who asks, of what bucket, or how to refuse. `anonymous` False: only
    who signs may ask.

    `conditional`: a write that knows conditions on what it replaces. Any other in a bucket is refused if it comes with
    one.
    """

    operation: str
    method: str
    resource: Resource
    sub_resource: str | None
    function: Operation | None
    action: A | None = None
    document: bool = False
    own_answer: bool = False
    copies: bool = False
    anonymous: bool = True
    conditional: bool = False

    reads: bool = attrs.field(init=False)

    @reads.default
    def _is_read(self) -> bool:
        return self.method in ("GET", "HEAD")


_B, _O = Resource.BUCKET, Resource.OBJECT

_K = ConfigurationKind
#: Configurations that are stored, and what operations on them are named after.
_STORED: Mapping[ConfigurationKind, str] = {
    _K.ABAC: "Abac",
    _K.ACCELERATE: "AccelerateConfiguration",
    _K.LOGGING: "Logging",
    _K.NOTIFICATION: "NotificationConfiguration",
    _K.REPLICATION: "Replication",
    _K.WEBSITE: "Website",
    _K.ANALYTICS: "AnalyticsConfiguration",
    _K.INTELLIGENT_TIERING: "IntelligentTieringConfiguration",
    _K.INVENTORY: "InventoryConfiguration",
    _K.METRICS: "MetricsConfiguration",
}
#: Those that are made once, and have other answers than what was given.
_METADATA: Mapping[ConfigurationKind, str] = {
    _K.METADATA: "MetadataConfiguration",
    _K.METADATA_TABLE: "MetadataTableConfiguration",
}
#: Those that S3 has a deletion of; an empty document, or a status, ends the others.
_DELETED = KINDS_WITH_IDS | {_K.REPLICATION, _K.WEBSITE}

ROUTES: tuple[Route, ...] = (
    Route("ListBuckets", "GET", Resource.SERVICE, None, buckets.list_buckets, A.LIST_ALL_MY_BUCKETS,
          own_answer=True, anonymous=False),
    # buckets
    Route("CreateBucket", "PUT", _B, None, buckets.create_bucket, A.CREATE_BUCKET, own_answer=True,
          anonymous=False),
    Route("DeleteBucket", "DELETE", _B, None, buckets.delete_bucket, A.DELETE_BUCKET),
    Route("HeadBucket", "HEAD", _B, None, buckets.head_bucket, A.LIST_BUCKET, own_answer=True),
    Route("ListObjects", "GET", _B, None, listings.list_objects, A.LIST_BUCKET),
    Route("ListObjectsV2", "GET", _B, "list-type", listings.list_objects_v2, A.LIST_BUCKET),
    Route("ListObjectVersions", "GET", _B, "versions", versions.list_object_versions, A.LIST_BUCKET_VERSIONS),
    Route("ListMultipartUploads", "GET", _B, "uploads", multipart.list_multipart_uploads,
          A.LIST_BUCKET_MULTIPART_UPLOADS),
    Route("GetBucketLocation", "GET", _B, "location", buckets.get_bucket_location, A.GET_BUCKET_LOCATION),
    Route("GetBucketAcl", "GET", _B, "acl", buckets.get_bucket_acl, A.GET_BUCKET_ACL),
    Route("PutBucketAcl", "PUT", _B, "acl", buckets.put_bucket_acl, A.PUT_BUCKET_ACL, document=True),
    Route("GetBucketVersioning", "GET", _B, "versioning", versions.get_bucket_versioning, A.GET_BUCKET_VERSIONING),
    Route("PutBucketVersioning", "PUT", _B, "versioning", versions.put_bucket_versioning, A.PUT_BUCKET_VERSIONING,
          document=True),
    Route("GetBucketTagging", "GET", _B, "tagging", tagging.get_bucket_tagging, A.GET_BUCKET_TAGGING),
    Route("PutBucketTagging", "PUT", _B, "tagging", tagging.put_bucket_tagging, A.PUT_BUCKET_TAGGING, document=True),
    Route("DeleteBucketTagging", "DELETE", _B, "tagging", tagging.delete_bucket_tagging, A.PUT_BUCKET_TAGGING),
    Route("GetBucketEncryption", "GET", _B, "encryption", encryption.get_bucket_encryption,
          A.GET_ENCRYPTION_CONFIGURATION),
    Route("PutBucketEncryption", "PUT", _B, "encryption", encryption.put_bucket_encryption,
          A.PUT_ENCRYPTION_CONFIGURATION, document=True),
    Route("DeleteBucketEncryption", "DELETE", _B, "encryption", encryption.delete_bucket_encryption,
          A.PUT_ENCRYPTION_CONFIGURATION),
    Route("GetBucketLifecycleConfiguration", "GET", _B, "lifecycle", lifecycle.get_bucket_lifecycle,
          A.GET_LIFECYCLE_CONFIGURATION),
    Route("PutBucketLifecycleConfiguration", "PUT", _B, "lifecycle", lifecycle.put_bucket_lifecycle,
          A.PUT_LIFECYCLE_CONFIGURATION, document=True),
    Route("DeleteBucketLifecycle", "DELETE", _B, "lifecycle", lifecycle.delete_bucket_lifecycle,
          A.PUT_LIFECYCLE_CONFIGURATION),
    Route("GetBucketOwnershipControls", "GET", _B, "ownershipControls", ownership.get_bucket_ownership,
          A.GET_BUCKET_OWNERSHIP_CONTROLS),
    Route("PutBucketOwnershipControls", "PUT", _B, "ownershipControls", ownership.put_bucket_ownership,
          A.PUT_BUCKET_OWNERSHIP_CONTROLS, document=True),
    Route("DeleteBucketOwnershipControls", "DELETE", _B, "ownershipControls", ownership.delete_bucket_ownership,
          A.PUT_BUCKET_OWNERSHIP_CONTROLS),
    Route("GetPublicAccessBlock", "GET", _B, "publicAccessBlock", ownership.get_public_access_block,
          A.GET_BUCKET_PUBLIC_ACCESS_BLOCK),
    Route("PutPublicAccessBlock", "PUT", _B, "publicAccessBlock", ownership.put_public_access_block,
          A.PUT_BUCKET_PUBLIC_ACCESS_BLOCK, document=True),
    Route("DeletePublicAccessBlock", "DELETE", _B, "publicAccessBlock", ownership.delete_public_access_block,
          A.PUT_BUCKET_PUBLIC_ACCESS_BLOCK),
    Route("GetBucketPolicy", "GET", _B, "policy", policies.get_bucket_policy, A.GET_BUCKET_POLICY),
    Route("PutBucketPolicy", "PUT", _B, "policy", policies.put_bucket_policy, A.PUT_BUCKET_POLICY, document=True),
    Route("DeleteBucketPolicy", "DELETE", _B, "policy", policies.delete_bucket_policy, A.DELETE_BUCKET_POLICY),
    Route("GetBucketPolicyStatus", "GET", _B, "policyStatus", policies.get_bucket_policy_status,
          A.GET_BUCKET_POLICY_STATUS),
    Route("GetBucketRequestPayment", "GET", _B, "requestPayment", ownership.get_request_payment,
          A.GET_BUCKET_REQUEST_PAYMENT),
    Route("PutBucketRequestPayment", "PUT", _B, "requestPayment", ownership.put_request_payment,
          A.PUT_BUCKET_REQUEST_PAYMENT, document=True),
    Route("GetBucketCors", "GET", _B, "cors", cors.get_bucket_cors, A.GET_BUCKET_CORS),
    Route("PutBucketCors", "PUT", _B, "cors", cors.put_bucket_cors, A.PUT_BUCKET_CORS, document=True),
    Route("DeleteBucketCors", "DELETE", _B, "cors", cors.delete_bucket_cors, A.PUT_BUCKET_CORS),
    Route("GetObjectLockConfiguration", "GET", _B, "object-lock", locks.get_object_lock_configuration,
          A.GET_BUCKET_OBJECT_LOCK_CONFIGURATION),
    Route("PutObjectLockConfiguration", "PUT", _B, "object-lock", locks.put_object_lock_configuration,
          A.PUT_BUCKET_OBJECT_LOCK_CONFIGURATION, document=True),
    Route("DeleteObjects", "POST", _B, "delete", objects.delete_objects, A.DELETE_OBJECT, document=True),
    Route("PostObject", "POST", _B, None, post_object.post_object, A.PUT_OBJECT, own_answer=True),
    *(Route(f"GetBucket{name}", "GET", _B, kind.value, stored.get(kind), ACTIONS[kind][0])
      for kind, name in _STORED.items()),
    *(Route(f"PutBucket{name}", "PUT", _B, kind.value, stored.put(kind), ACTIONS[kind][1], document=True)
      for kind, name in _STORED.items()),
    *(Route(f"DeleteBucket{name}", "DELETE", _B, kind.value, stored.delete(kind), ACTIONS[kind][2])
      for kind, name in _STORED.items() if kind in _DELETED),
    *(Route(f"CreateBucket{name}", "POST", _B, kind.value, metadata_tables.create(kind),
            A.CREATE_BUCKET_METADATA_TABLE, document=True) for kind, name in _METADATA.items()),
    *(Route(f"DeleteBucket{name}", "DELETE", _B, kind.value, stored.delete(kind), A.DELETE_BUCKET_METADATA_TABLE)
      for kind, name in _METADATA.items()),
    Route("GetBucketMetadataConfiguration", "GET", _B, _K.METADATA.value, metadata_tables.get_metadata_configuration,
          A.GET_BUCKET_METADATA_TABLE),
    Route("GetBucketMetadataTableConfiguration", "GET", _B, _K.METADATA_TABLE.value,
          metadata_tables.get_metadata_table_configuration, A.GET_BUCKET_METADATA_TABLE),
    *(Route(f"UpdateBucketMetadata{table}", "PUT", _B, f"metadata{table.removesuffix('Configuration')}",
            metadata_tables.update(table), action, document=True) for table, action in UPDATE_ACTIONS.items()),
    # objects
    Route("PutObject", "PUT", _O, None, objects.put_object, A.PUT_OBJECT, conditional=True),
    Route("CopyObject", "PUT", _O, None, objects.copy_object, A.PUT_OBJECT, copies=True, conditional=True),
    Route("GetObject", "GET", _O, None, objects.get_object, A.GET_OBJECT),
    Route("HeadObject", "HEAD", _O, None, objects.head_object, A.GET_OBJECT),
    Route("DeleteObject", "DELETE", _O, None, objects.delete_object, A.DELETE_OBJECT, conditional=True),
    Route("GetObjectAcl", "GET", _O, "acl", buckets.get_object_acl, A.GET_OBJECT_ACL),
    Route("PutObjectAcl", "PUT", _O, "acl", buckets.put_object_acl, A.PUT_OBJECT_ACL, document=True),
    Route("GetObjectAttributes", "GET", _O, "attributes", objects.get_object_attributes, A.GET_OBJECT_ATTRIBUTES),
    Route("GetObjectTagging", "GET", _O, "tagging", tagging.get_object_tagging, A.GET_OBJECT_TAGGING),
    Route("PutObjectTagging", "PUT", _O, "tagging", tagging.put_object_tagging, A.PUT_OBJECT_TAGGING, document=True),
    Route("DeleteObjectTagging", "DELETE", _O, "tagging", tagging.delete_object_tagging, A.DELETE_OBJECT_TAGGING),
    Route("UpdateObjectEncryption", "PUT", _O, "encryption", encryption.update_object_encryption,
          A.UPDATE_OBJECT_ENCRYPTION, document=True, anonymous=False),
    Route("RestoreObject", "POST", _O, "restore", archived.restore_object, A.RESTORE_OBJECT, document=True),
    Route("GetObjectTorrent", "GET", _O, "torrent", archived.get_object_torrent, A.GET_OBJECT_TORRENT),
    Route("GetObjectLegalHold", "GET", _O, "legal-hold", locks.get_object_legal_hold, A.GET_OBJECT_LEGAL_HOLD),
    Route("PutObjectLegalHold", "PUT", _O, "legal-hold", locks.put_object_legal_hold, A.PUT_OBJECT_LEGAL_HOLD,
          document=True),
    Route("GetObjectRetention", "GET", _O, "retention", locks.get_object_retention, A.GET_OBJECT_RETENTION),
    Route("PutObjectRetention", "PUT", _O, "retention", locks.put_object_retention, A.PUT_OBJECT_RETENTION,
          document=True),
    # multipart uploads
    Route("CreateMultipartUpload", "POST", _O, "uploads", multipart.create_multipart_upload, A.PUT_OBJECT,
          anonymous=False),
    Route("UploadPart", "PUT", _O, "uploadId", multipart.upload_part, A.PUT_OBJECT),
    Route("UploadPartCopy", "PUT", _O, "uploadId", multipart.upload_part_copy, A.PUT_OBJECT, copies=True),
    Route("CompleteMultipartUpload", "POST", _O, "uploadId", multipart.complete_multipart_upload, A.PUT_OBJECT,
          document=True, conditional=True),
    Route("AbortMultipartUpload", "DELETE", _O, "uploadId", multipart.abort_multipart_upload, A.ABORT_MULTIPART_UPLOAD),
    Route("ListParts", "GET", _O, "uploadId", multipart.list_parts, A.LIST_MULTIPART_UPLOAD_PARTS),
    # what S3 has and this store does not: answered 501
    *(
        Route(name, method, resource, sub, None)
        for resource, method, rows in (
            (_B, "GET", "CreateSession:session"),
            (_O, "GET", "GetObjectAnnotation:annotation"),
            (_O, "PUT", "PutObjectAnnotation:annotation RenameObject:renameObject"),
            (_O, "POST", "SelectObjectContent:select"),
            (_O, "DELETE", "DeleteObjectAnnotation:annotation"),
        )
        for name, sub in (row.split(":") for row in rows.split())
    ),
)  # fmt: skip

#: Operations that share a row's method and sub-resource with another, so that the table need not tell them apart.
SHARED_ROWS = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
    "ListBucketAnalyticsConfigurations": "GetBucketAnalyticsConfiguration",
    "ListBucketIntelligentTieringConfigurations": "GetBucketIntelligentTieringConfiguration",
    "ListBucketInventoryConfigurations": "GetBucketInventoryConfiguration",
    "ListBucketMetricsConfigurations": "GetBucketMetricsConfiguration",
    "ListDirectoryBuckets": "ListBuckets",
    "ListObjectAnnotations": "GetObjectAnnotation",
}

_TABLE: dict[tuple[str, Resource, str | None, bool], Route] = {
    (route.method, route.resource, route.sub_resource, route.copies): route for route in ROUTES
}
_SUB_RESOURCES = frozenset(route.sub_resource for route in ROUTES if route.sub_resource)

#: Parameters that do not choose the operation.
_READING = frozenset(
    {
        "prefix", "delimiter",
        "marker", "max-keys", "encoding-type", "continuation-token", "fetch-owner", "start-after",
        "key-marker", "version-id-marker", "upload-id-marker", "max-uploads", "max-buckets", "bucket-region",
        "versionId",
        "partNumber", "part-number-marker", "max-parts", "id", "response-content-type", "response-content-language",
        "response-expires", "response-cache-control", "response-content-disposition", "response-content-encoding",
        "allow-unordered", "annotationName", "annotation-prefix", "max-annotation-results", "max-directory-buckets",
    }
)  # fmt: skip
#: Operations that make an object, and so may say how it is to be encrypted. (Forms have a field for it.)
_ENCRYPTING = frozenset({"PutObject", "CopyObject", "CreateMultipartUpload"})
_WRITING = {
    "versionId": {
        "DeleteObject",
        "DeleteObjectTagging",
        "PutObjectAcl",
        "PutObjectLegalHold",
        "PutObjectRetention",
        "PutObjectTagging",
        "RestoreObject",
        "UpdateObjectEncryption",
    },
    "partNumber": {"UploadPart", "UploadPartCopy"},
    "id": {f"{verb}Bucket{_STORED[kind]}" for kind in KINDS_WITH_IDS for verb in ("Put", "Delete")},
}


#: What errors call sub-resources, where it is not their name (as the operations of access logs are called).
_RESOURCE_TYPES = {
    "delete": "MULTI_OBJECT_DELETE",
    "logging": "LOGGING_STATUS",
    "policy": "BUCKETPOLICY",
    "uploadId": "UPLOAD",
    "versions": "BUCKETVERSIONS",
}


def resource_of(request: Request) -> Resource:
    if request.bucket is None:
        return Resource.SERVICE
    return Resource.BUCKET if request.key is None else Resource.OBJECT


def find_route(request: Request) -> Route:
    """The row of a request. Raises RequestError: NotImplemented, MethodNotAllowed."""
    resource = resource_of(request)
    sub_resource = None
    if request.query:
        sub_resource = _sub_resource(request, resource)
    method = request.method
    names_source = "x-amz-copy-source" in request.headers
    if names_source and (method != "PUT" or (resource is _O and sub_resource not in (None, "uploadId"))):
        raise RequestError(
            "InvalidArgument",
            "You can only specify a copy source header for copy requests.",
            fields={"ArgumentName": "x-amz-copy-source", "ArgumentValue": request.headers["x-amz-copy-source"]},
        )
    route = _TABLE.get((method, resource, sub_resource, names_source and resource is _O))
    if route is None:
        raise _not_allowed(method, resource, sub_resource)
    if request.query and method in ("PUT", "POST", "DELETE") and route.function is not None:
        _check_parameters(request, route)
    if ENCRYPTION in request.headers and route.operation not in _ENCRYPTING:
        raise RequestError(
            "InvalidArgument",
            f"{ENCRYPTION} header is not supported for this operation.",
            fields={"ArgumentName": ENCRYPTION, "ArgumentValue": request.headers[ENCRYPTION]},
        )
    return route


def _not_allowed(method: str, resource: Resource, sub_resource: str | None) -> RequestError:
    """What to raise for a method that a resource, or a sub-resource, does not have; 501 for a sub-resource that has no
    method here. `list-type` is none of its own: it chooses between two listings."""
    allowed = {
        row.method for row in ROUTES if (row.resource, row.sub_resource) == (resource, sub_resource) and row.function
    }
    if sub_resource is not None and (not allowed or sub_resource == "list-type"):
        return RequestError("NotImplemented", f"This store has no {method} of the sub-resource {sub_resource}.")
    if sub_resource == "uploadId":
        allowed.discard("PUT")  # of a part, which has a number
    kind = resource.name if sub_resource is None else _RESOURCE_TYPES.get(sub_resource, sub_resource.upper())
    return RequestError(
        "MethodNotAllowed",
        fields={"Method": method, "ResourceType": kind},
        headers=[("Allow", ", ".join(sorted(allowed)))],
    )


def _check_parameters(request: Request, route: Route) -> None:
    """Refuse a write that has a parameter of another operation: it would do something else than was meant."""
    if "partNumber" in request.query and route.operation not in _WRITING["partNumber"]:
        raise RequestError(
            "InvalidArgument",
            "This operation does not accept partNumber without uploadId",
            fields={"ArgumentName": "partNumber", "ArgumentValue": "partNumber"},  # so S3
        )
    for name in request.query:
        if name in _READING and route.operation not in _WRITING.get(name, ()):
            raise RequestError(
                "InvalidArgument",
                f"The operation {route.operation} has no query parameter {name}.",
                fields={"ArgumentName": name, "ArgumentValue": request.query[name]},
            )


def _refuse_unknown(request: Request) -> None:
    """S3 ignores parameters that it does not know: a browser's cache buster, the `Version` of a client. On a write one
    without a value may mean an operation of S3 that is newer than this store."""
    for name, value in request.query.items():
        if not value and name not in _SUB_RESOURCES and name not in _READING and name[:2].lower() != "x-":
            raise RequestError("NotImplemented", f"The query parameter {name} is not known.")


def _sub_resource(request: Request, resource: Resource) -> str | None:
    found = request.query.keys() & _SUB_RESOURCES
    if request.method not in ("GET", "HEAD"):
        _refuse_unknown(request)
    if "uploadId" in found and "uploads" not in found:
        return "uploadId"
    if len(found) > 1:
        names = sorted(found)
        raise RequestError(
            "InvalidArgument",
            f"Conflicting query string parameters: {', '.join(names)}",
            fields={"ArgumentName": "ResourceType", "ArgumentValue": names[0]},
        )
    return next(iter(found), None)
