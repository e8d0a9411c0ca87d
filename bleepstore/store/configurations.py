"""Configurations of buckets that are stored as they are given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bleepstore.access import S3_SERVICE, Action, Caller, RoleSession, may_pass, trusts_service
from bleepstore.attributes import dump
from bleepstore.commands import PutBucketConfiguration
from bleepstore.configurations import (
    KINDS_WITH_IDS,
    MADE_ONCE,
    ConfigurationKind,
    check_document,
    check_id,
    check_metadata_table,
)
from bleepstore.errors import (
    AccessDenied,
    InvalidArgument,
    InvalidRequest,
    NoSuchConfiguration,
    NoSuchMetadataConfiguration,
    NoSuchReplication,
    NoSuchWebsite,
)
from bleepstore.events import EventRule
from bleepstore.inventory import Format
from bleepstore.model import Bucket
from bleepstore.pages import ConfigurationPage
from bleepstore.replication import ReplicationRule
from bleepstore.roles import parse_role_arn
from bleepstore.senders import Message, test_message
from bleepstore.store.engine import Engine, check_limit
from bleepstore.store.event_rules import check_destinations, rules_of
from bleepstore.store.inventory_files import check_format
from bleepstore.store.replication_rules import replication_rules

#: Of a page ("100 ... configurations at a time").
MAX_PAGE_OF_CONFIGURATIONS = 100
_ID_BYTES = 36  # 48 characters, as S3's own

_K = ConfigurationKind
_REMOVING: Mapping[ConfigurationKind, Action] = {
    _K.WEBSITE: Action.DELETE_BUCKET_WEBSITE,
    _K.METADATA: Action.DELETE_BUCKET_METADATA_TABLE,
    _K.METADATA_TABLE: Action.DELETE_BUCKET_METADATA_TABLE,
}
#: Kind -> the actions that read, write and remove it.
ACTIONS: Mapping[ConfigurationKind, tuple[Action, Action, Action]] = {
    kind: (read, write, _REMOVING.get(kind, write))
    for kind, read, write in (
        (_K.ABAC, Action.GET_BUCKET_ABAC, Action.PUT_BUCKET_ABAC),
        (_K.ACCELERATE, Action.GET_ACCELERATE_CONFIGURATION, Action.PUT_ACCELERATE_CONFIGURATION),
        (_K.LOGGING, Action.GET_BUCKET_LOGGING, Action.PUT_BUCKET_LOGGING),
        (_K.METADATA, Action.GET_BUCKET_METADATA_TABLE, Action.CREATE_BUCKET_METADATA_TABLE),
        (_K.METADATA_TABLE, Action.GET_BUCKET_METADATA_TABLE, Action.CREATE_BUCKET_METADATA_TABLE),
        (_K.NOTIFICATION, Action.GET_BUCKET_NOTIFICATION, Action.PUT_BUCKET_NOTIFICATION),
        (_K.REPLICATION, Action.GET_REPLICATION_CONFIGURATION, Action.PUT_REPLICATION_CONFIGURATION),
        (_K.WEBSITE, Action.GET_BUCKET_WEBSITE, Action.PUT_BUCKET_WEBSITE),
        (_K.ANALYTICS, Action.GET_ANALYTICS_CONFIGURATION, Action.PUT_ANALYTICS_CONFIGURATION),
        (
            _K.INTELLIGENT_TIERING,
            Action.GET_INTELLIGENT_TIERING_CONFIGURATION,
            Action.PUT_INTELLIGENT_TIERING_CONFIGURATION,
        ),
        (_K.INVENTORY, Action.GET_INVENTORY_CONFIGURATION, Action.PUT_INVENTORY_CONFIGURATION),
        (_K.METRICS, Action.GET_METRICS_CONFIGURATION, Action.PUT_METRICS_CONFIGURATION),
    )
}
#: Part of a metadata configuration -> the action that changes it.
UPDATE_ACTIONS: Mapping[str, Action] = {
    "JournalTableConfiguration": Action.UPDATE_BUCKET_METADATA_JOURNAL_TABLE,
    "InventoryTableConfiguration": Action.UPDATE_BUCKET_METADATA_INVENTORY_TABLE,
    "AnnotationTableConfiguration": Action.UPDATE_BUCKET_METADATA_ANNOTATION_TABLE,
}
#: What a bucket has of a kind that it has nothing of.
_DEFAULTS: Mapping[ConfigurationKind, Mapping[str, Any]] = {
    _K.ABAC: {"Status": "Disabled"},
    _K.ACCELERATE: {},
    _K.LOGGING: {},
    _K.NOTIFICATION: {},
}
#: A document that removes what there is ("To disable logging, you use an empty BucketLoggingStatus request element").
_REMOVED_BY_EMPTY = frozenset({_K.LOGGING, _K.NOTIFICATION})


class StoredConfigurations:
    """Configurations that programs write and read (`bleepstore.configurations`). For `caller` see `Buckets`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put_bucket_configuration(
        self,
        bucket: str,
        kind: ConfigurationKind,
        document: Mapping[str, Any],
        *,
        skip_destination_validation: bool = False,
        caller: Caller | None = None,
    ) -> dict[str, Any]:
        """Store a configuration as it is given, instead of the one of its kind, and of its "Id" where a bucket has many
        of a kind. It is returned as it is stored: rules of a replication and a notification without an id get one.

        The queues, topics and functions that a notification may name are the `event_destinations` of the store. Each is
        sent a test message, and a notification with one that is not known, or does not take it, is refused. With
        `skip_destination_validation` none is tried, and one that is not known gets no events.

        A metadata configuration is not replaced: InvalidBucketState if there is one. `update_bucket_metadata` changes
        it.

        Raises MalformedConfiguration, InvalidArgument, InvalidRequest, InvalidLoggingTarget, TooManyConfigurations;
        NotSupported for an inventory in a format whose package is missing.
        """
        found = self._engine.bucket_for(bucket, ACTIONS[kind][1], caller)
        checked = check_document(kind, bucket, document)
        if kind is _K.INVENTORY:
            check_format(Format(checked["Destination"]["S3BucketDestination"]["Format"]))
        _name_rules(kind, checked, self._engine.new_name)
        rules: tuple[EventRule, ...] = ()
        if kind is _K.NOTIFICATION:
            senders = self._engine.settings.senders
            if not skip_destination_validation:
                check_destinations(checked, senders, partial(self._test_message, bucket, caller))
            rules = rules_of(checked, senders)
        copied: tuple[ReplicationRule, ...] = ()
        if kind is _K.REPLICATION:
            actor = self._replicating_actor(found, checked["Role"], caller)
            copied = replication_rules(checked, actor, self._remotes_for(found))
        is_removed = not checked and kind in _REMOVED_BY_EMPTY
        self._submit(found, kind, checked.get("Id", ""), None if is_removed else dump(checked), rules, copied)
        return checked

    def update_bucket_metadata(
        self, bucket: str, table: str, document: Mapping[str, Any], *, caller: Caller | None = None
    ) -> None:
        """Change a part of a metadata configuration: "JournalTableConfiguration", "InventoryTableConfiguration" or
        "AnnotationTableConfiguration". Members of it that are not given stay as they are.

        Raises NoSuchMetadataConfiguration, MalformedConfiguration, InvalidArgument.
        """
        checked = check_metadata_table(table, document)
        found = self._engine.bucket_for(bucket, UPDATE_ACTIONS[table], caller)
        self._submit(found, _K.METADATA, table, dump(checked))

    def _remotes_for(self, bucket: Bucket) -> frozenset[str]:
        """The destinations elsewhere that a bucket may be copied to. To it there are no others."""
        remotes = self._engine.settings.remotes.items()
        return frozenset(name for name, one in remotes if one.serves(bucket.owner.id, self._engine.owner.id))

    def _replicating_actor(self, bucket: Bucket, role_arn: str, caller: Caller | None) -> str:
        """Who copies what a replication says: its role, if the store has that, or else who stores it. Raises
        InvalidRequest for a role that may not do it; AccessDenied for who may not pass the role to the service, for who
        nobody is, or whose session is narrowed."""
        named = parse_role_arn(role_arn)
        with self._engine.catalog.read() as reader:
            role = None if named is None else reader.find_role(*named)
        if role is not None:
            service = Caller.of_service(S3_SERVICE, bucket, self._engine.wall_clock())
            if role.account.id != bucket.owner.id or not trusts_service(role, service):
                raise InvalidRequest(
                    f"The role is not of the account of the bucket's owner, or does not trust {S3_SERVICE}."
                )
            if caller is not None and not may_pass(role, caller, S3_SERVICE):
                raise AccessDenied
            return role.arn
        if caller is None:
            return bucket.owner.id
        if caller.is_anonymous or (isinstance(caller.user, RoleSession) and caller.user.policy is not None):
            raise AccessDenied
        return caller.principal.id

    def _test_message(self, bucket: str, caller: Caller | None) -> Message:
        stamp = self._engine.stamp()
        request_id = caller.request_id if caller is not None and caller.request_id else stamp["request_id"]
        return test_message(bucket, stamp["time_ms"], request_id)

    def get_bucket_configuration(
        self, bucket: str, kind: ConfigurationKind, id: str | None = None, *, caller: Caller | None = None
    ) -> dict[str, Any]:
        """A configuration as it was given. Raises NoSuchConfiguration, NoSuchReplication, NoSuchMetadataConfiguration,
        NoSuchWebsite for one that a bucket does not have; the other kinds are empty or disabled then."""
        documents = self._read(bucket, kind, caller)
        _check_has_id(kind, id)
        document = documents.get(id or "")
        if document is not None:
            stored: dict[str, Any] = json.loads(document)
            return stored
        if kind in _DEFAULTS:
            return dict(_DEFAULTS[kind])
        if kind is _K.REPLICATION:
            raise NoSuchReplication(bucket)
        if kind is _K.WEBSITE:
            raise NoSuchWebsite(bucket)
        if kind in MADE_ONCE:
            raise NoSuchMetadataConfiguration(bucket)
        raise NoSuchConfiguration(bucket, id)

    def delete_bucket_configuration(
        self, bucket: str, kind: ConfigurationKind, id: str | None = None, *, caller: Caller | None = None
    ) -> None:
        """Remove a configuration. Raises NoSuchConfiguration if there is none with this id, and
        NoSuchMetadataConfiguration; one of another kind without ids need not be there."""
        found = self._engine.bucket_for(bucket, ACTIONS[kind][2], caller)
        _check_has_id(kind, id)
        self._submit(found, kind, id or "", None)

    def list_bucket_configurations(
        self,
        bucket: str,
        kind: ConfigurationKind,
        *,
        after: str = "",
        limit: int = MAX_PAGE_OF_CONFIGURATIONS,
        caller: Caller | None = None,
    ) -> ConfigurationPage:
        """A page of all configurations of a kind, those with ids above `after`."""
        documents = self._read(bucket, kind, caller)
        check_limit(limit)
        ids = sorted(id for id in documents if not after or id > after)
        page = ids[: min(limit, MAX_PAGE_OF_CONFIGURATIONS)]
        return ConfigurationPage(
            configurations=[json.loads(documents[id]) for id in page],
            next_id=page[-1] if page and len(page) < len(ids) else None,
        )

    def _read(self, bucket: str, kind: ConfigurationKind, caller: Caller | None) -> Mapping[str, str]:
        found = self._engine.bucket_for(bucket, ACTIONS[kind][0], caller)
        return (found.settings.configurations or {}).get(kind, {})

    def _submit(
        self,
        found: Bucket,
        kind: ConfigurationKind,
        id: str,
        document: str | None,
        rules: tuple[EventRule, ...] = (),
        replication: tuple[ReplicationRule, ...] = (),
    ) -> None:
        self._engine.submit(
            PutBucketConfiguration(
                **self._engine.stamp(),
                bucket=found.name,
                bucket_id=found.id,
                kind=kind,
                id=id,
                document=document,
                rules=rules,
                replication=replication,
            )
        )


def _check_has_id(kind: ConfigurationKind, id: str | None) -> None:
    if kind in KINDS_WITH_IDS:
        check_id(id or "")
    elif id is not None:
        raise InvalidArgument(f"A bucket has one configuration of the kind {kind}: it has no id.", "id", id)


def _name_rules(kind: ConfigurationKind, document: dict[str, Any], new_name: Callable[[int], str]) -> None:
    """Give ids to what has none ("If you don't provide one, Amazon S3 will assign an ID")."""
    rules: list[dict[str, Any]] = document["Rules"] if kind is _K.REPLICATION else []
    name = "ID"
    if kind is _K.NOTIFICATION:
        rules = [one for value in document.values() if isinstance(value, list) for one in value]
        name = "Id"
    for rule in rules:
        if not rule.get(name):
            rule[name] = new_name(_ID_BYTES)
