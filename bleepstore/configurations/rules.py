"""What S3 refuses in a configuration beside its shape, and beside what `apply` compares it with."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bleepstore.configurations.documents import EVENT, METADATA_TABLES, SHAPES
from bleepstore.configurations.kinds import KINDS_WITH_IDS, ConfigurationKind
from bleepstore.errors import InvalidArgument, InvalidRequest, MalformedConfiguration

#: "The ID has a 64 character limit and can only contain letters, numbers, periods, dashes, and underscores."
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BUCKET_ARN = re.compile(r"arn:aws[a-z-]*:s3:::([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])")
_TABLE_BUCKET_ARN = re.compile(r"arn:aws[a-z-]*:s3tables:[a-z0-9-]+:[0-9]{12}:bucket/[a-z0-9-]{3,63}")
#: As tables are called in S3 Tables.
_TABLE_NAME = re.compile("[a-z0-9][a-z0-9_]{0,254}")
_MIN_JOURNAL_DAYS = 7
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[^:*?\s]*:role/\S+")
_MAX_RULE_ID = 255
_MAX_REPLICATION_RULES = 1000
_MAX_ROUTING_RULES = 50
#: What stands in the header of an answer as it is.
_HOST = re.compile(r"[!-~]+")
#: "You can have up to 100 event notification configurations for a bucket."
_MAX_NOTIFICATIONS = 100
#: Of a notification: the lists and where each sends to.
_DESTINATIONS = {
    "TopicConfigurations": ("TopicArn", re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:\S+")),
    "QueueConfigurations": ("QueueArn", re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]+:[0-9]{12}:\S+")),
    "LambdaFunctionConfigurations": (
        "LambdaFunctionArn",
        re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:\S+"),
    ),
}
#: "ARCHIVE_ACCESS ... minimum 90 days, DEEP_ARCHIVE_ACCESS ... minimum 180 days", at most two years.
_TIER_DAYS = {"ARCHIVE_ACCESS": (90, 730), "DEEP_ARCHIVE_ACCESS": (180, 730)}

#: Event -> it, or all that a pattern is for.
_EVENTS: Mapping[str, frozenset[str]] = {
    event: frozenset(one for one in EVENT.choices if one == event or (event[-1] == "*" and one.startswith(event[:-1])))
    for event in EVENT.choices
}

Document = Mapping[str, Any]


def check_document(kind: ConfigurationKind, bucket: str, document: Any) -> dict[str, Any]:
    """The document as it is to be stored in a bucket of this name. Raises MalformedConfiguration, InvalidArgument,
    InvalidRequest for one that S3 would not take; TypeError for what is no document."""
    checked = SHAPES[kind].check(document, kind.value)
    if kind in KINDS_WITH_IDS:
        check_id(checked["Id"])
        _check_filter(checked.get("Filter"), kind)
    check = _CHECKS.get(kind)
    if check is not None:
        check(bucket, checked)
    return checked


def check_metadata_table(table: str, document: Any) -> dict[str, Any]:
    """What is to be changed of a part of a metadata configuration. Raises as `check_document`."""
    if table not in METADATA_TABLES:
        raise InvalidArgument(f"The tables of metadata are {', '.join(METADATA_TABLES)}.", "table", str(table))
    checked = METADATA_TABLES[table].check(document, table)
    _check_metadata_parts({table: checked})
    return checked


def check_id(id: str) -> None:
    if not _ID.fullmatch(id):
        raise InvalidArgument(
            "The configuration ID has 1 to 64 letters, numbers, periods, dashes and underscores.", "id", id
        )


def bucket_of_arn(arn: str) -> str:
    """Raises InvalidArgument for what is no ARN of a bucket."""
    found = _BUCKET_ARN.fullmatch(arn)
    if found is None:
        raise InvalidArgument("Invalid bucket ARN.", "Bucket", arn)
    return found[1]


def destinations_of(notification: Document) -> list[str]:
    """The ARNs that a notification is sent to, but for EventBridge, which has none."""
    return [one[name] for kind, (name, _) in _DESTINATIONS.items() for one in notification.get(kind, ())]


def _check_filter(wanted: Document | None, kind: ConfigurationKind) -> None:
    """ "A filter must have exactly one prefix, one tag, or one conjunction"; that "must have at least two predicates".
    An inventory's is a prefix."""
    if wanted is None or kind is ConfigurationKind.INVENTORY:
        return
    if len(wanted) != 1:
        raise MalformedConfiguration(f"The Filter of {kind} has exactly one of its elements.")
    _check_predicates(wanted)


def _check_predicates(wanted: Document) -> None:
    both = wanted.get("And")
    if both is None:
        return
    tags = both.get("Tags", ())
    if len(both.keys() - {"Tags"}) + len(tags) < 2:
        raise MalformedConfiguration("And has two or more predicates.")
    if len({tag["Key"] for tag in tags}) < len(tags):
        raise InvalidRequest("Cannot have multiple Tags with the same key")


# -- one kind each


def _check_accelerate(bucket: str, _document: Document) -> None:
    if "." in bucket:
        raise InvalidRequest("S3 Transfer Acceleration is not supported for buckets with periods (.) in their names")


def _check_logging(_bucket: str, document: Document) -> None:
    logging = document.get("LoggingEnabled", {})
    if len(logging.get("TargetObjectKeyFormat", {"SimplePrefix": {}})) != 1:
        raise MalformedConfiguration("TargetObjectKeyFormat is one of SimplePrefix and PartitionedPrefix.")
    for grant in logging.get("TargetGrants", ()):
        grantee = grant.get("Grantee")
        if grantee is None or "Permission" not in grant:
            raise MalformedConfiguration("A Grant has a Grantee and a Permission.")
        name = {"CanonicalUser": "ID", "AmazonCustomerByEmail": "EmailAddress", "Group": "URI"}[grantee["Type"]]
        if name not in grantee:
            raise MalformedConfiguration(f"A Grantee that is a {grantee['Type']} has a {name}.")


def _check_website(_bucket: str, document: Document) -> None:
    if "RedirectAllRequestsTo" in document:
        if len(document) > 1:
            raise InvalidRequest("RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.")
        _check_host(document["RedirectAllRequestsTo"]["HostName"])
        return
    index = document.get("IndexDocument")
    if index is None:
        raise InvalidArgument(
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
            "IndexDocument",
            "null",
        )
    suffix = index["Suffix"]
    if not suffix or "/" in suffix:
        raise InvalidArgument("The IndexDocument Suffix is not well formed", "IndexDocument", suffix or None)
    rules = document.get("RoutingRules", ())
    if len(rules) > _MAX_ROUTING_RULES:
        raise InvalidRequest(
            f"{len(rules)} routing rules provided, the number of routing rules in a website configuration is limited "
            f"to {_MAX_ROUTING_RULES}."
        )
    for rule in rules:
        _check_routing(rule)


def _check_host(name: str) -> None:
    if not _HOST.fullmatch(name):
        raise InvalidRequest("The HostName of a redirect is ASCII without spaces and control characters.")


def _check_routing(rule: Document) -> None:
    """ "If a condition is specified": it has something; "at least one" of a redirect's elements is given."""
    condition, redirect = rule.get("Condition"), rule["Redirect"]
    if condition == {}:
        raise InvalidRequest("Condition cannot be empty. To redirect all requests without a condition, leave it out.")
    code = (condition or {}).get("HttpErrorCodeReturnedEquals")
    if code is not None and not re.fullmatch("[45][0-9]{2}", code):
        raise InvalidRequest(f"The provided HTTP error code ({code}) is not valid. Valid codes are 4XX or 5XX.")
    if not redirect:
        raise MalformedConfiguration("A Redirect has one element or more.")
    if "HostName" in redirect:
        _check_host(redirect["HostName"])
    code = redirect.get("HttpRedirectCode")
    if code is not None and (not re.fullmatch("3[0-9]{2}", code) or code == "300"):
        raise InvalidRequest(f"The provided HTTP redirect code ({code}) is not valid. Valid codes are 3XX except 300.")
    if "ReplaceKeyWith" in redirect and "ReplaceKeyPrefixWith" in redirect:
        raise InvalidRequest("You can only define ReplaceKeyPrefix or ReplaceKey but not both.")


def _check_replication(_bucket: str, document: Document) -> None:
    if not _ROLE_ARN.fullmatch(document["Role"]):
        raise InvalidArgument("Invalid Role ARN", "Role", document["Role"])
    rules = document["Rules"]
    if len(rules) > _MAX_REPLICATION_RULES:
        raise InvalidRequest(f"The number of replication rules must not exceed the limit of {_MAX_REPLICATION_RULES}")
    _check_ids([rule.get("ID", "") for rule in rules])
    if len({"Filter" in rule for rule in rules}) > 1:
        raise InvalidRequest("Cannot have both rules with a Filter and rules without one.")
    for rule in rules:
        _check_replication_rule(rule)
    priorities = [rule["Priority"] for rule in rules if "Priority" in rule]
    if len(set(priorities)) < len(priorities):
        raise InvalidRequest("Found duplicate priorities in the replication configuration: priorities must be unique.")


def _check_replication_rule(rule: Document) -> None:
    """The earlier version of a rule has a Prefix alone; the later one a Filter, and with it a Priority and what becomes
    of delete markers."""
    bucket_of_arn(rule["Destination"]["Bucket"])
    wanted = rule.get("Filter")
    if wanted is None:
        if "Prefix" not in rule or "Priority" in rule or "DeleteMarkerReplication" in rule:
            raise MalformedConfiguration(
                "A Rule has a Filter, a Priority and DeleteMarkerReplication, or a Prefix and none of them."
            )
    else:
        if "Prefix" in rule or "Priority" not in rule or "DeleteMarkerReplication" not in rule or len(wanted) > 1:
            raise MalformedConfiguration(
                "A Rule with a Filter has a Priority and DeleteMarkerReplication and no Prefix of its own, and the "
                "Filter one element at most."
            )
        _check_predicates(wanted)
        marked = rule["DeleteMarkerReplication"].get("Status") == "Enabled"
        if marked and ("Tag" in wanted or wanted.get("And", {}).get("Tags")):
            raise InvalidRequest("Delete marker replication is not supported if any Tag filter is specified.")
    if rule.get("Priority", 0) < 0:
        raise InvalidArgument("The Priority of a rule must not be negative.", "Priority", str(rule["Priority"]))


def _check_ids(ids: Sequence[str]) -> None:
    named = [id for id in ids if id]
    for id in named:
        if len(id) > _MAX_RULE_ID:
            raise InvalidArgument(f"ID length should not exceed allowed limit of {_MAX_RULE_ID}", "ID", id)
    if len(set(named)) < len(named):
        raise InvalidArgument("Rule ID must be unique. Found same ID for more than one rule", "ID")


def _check_notification(_bucket: str, document: Document) -> None:
    configurations = []
    for kind, (name, arn) in _DESTINATIONS.items():
        for one in document.get(kind, ()):
            if not arn.fullmatch(one[name]):
                raise InvalidArgument("The ARN could not be parsed", name, one[name])
            configurations.append(one)
    if len(configurations) > _MAX_NOTIFICATIONS:
        raise InvalidRequest(f"A bucket has up to {_MAX_NOTIFICATIONS} event notification configurations.")
    _check_ids([one.get("Id", "") for one in configurations])
    for one in configurations:
        rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", ())
        if any(len(rule) < 2 for rule in rules):
            raise MalformedConfiguration("A FilterRule has a Name and a Value.")
        for rule in rules:
            if rule["Name"].lower() not in ("prefix", "suffix"):
                message = "filter rule name must be either prefix or suffix"
                raise InvalidArgument(message, "FilterRule.Name", rule["Name"])
        names = [rule["Name"].lower() for rule in rules]
        for name in ("prefix", "suffix"):
            if names.count(name) > 1:
                raise InvalidArgument(f"Cannot specify more than one {name} rule in a filter.", "FilterRule.Name", name)

    for first, second in itertools.combinations(configurations, 2):
        _check_apart(first, second)


def _check_apart(first: Document, second: Document) -> None:
    """Refuse two configurations that one event would be of. "Notification configurations that use Filter cannot define
    filtering rules with overlapping prefixes, overlapping suffixes, or prefix and suffix overlapping." """
    shared = _events_of(first) & _events_of(second)
    filters = (prefix, suffix), (other_prefix, other_suffix) = _key_filter(first), _key_filter(second)
    if not shared or not (prefix.startswith(other_prefix) or other_prefix.startswith(prefix)):
        return
    if not (suffix.endswith(other_suffix) or other_suffix.endswith(suffix)):
        return
    events = [event for one in (first, second) for event in one["Events"] if _EVENTS[event] & shared]
    raise InvalidArgument(
        "Configurations overlap. Configurations on the same bucket cannot share a common event type."
        if filters == (("", ""), ("", ""))
        else "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are "
        "overlapping for the same event type.",
        "Event",
        ", ".join(events),
    )


def _events_of(one: Document) -> frozenset[str]:
    return frozenset().union(*(_EVENTS[event] for event in one["Events"]))


def _key_filter(one: Document) -> tuple[str, str]:
    """(prefix, suffix)."""
    rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    given = {rule["Name"].lower(): rule["Value"] for rule in rules}
    return given.get("prefix", ""), given.get("suffix", "")


def _check_metadata(_bucket: str, document: Document) -> None:
    _check_metadata_parts(document)


def _check_metadata_parts(parts: Document) -> None:
    """ "Journal table records must be retained for a minimum of 7 days"; a key is named where there is one."""
    for part in parts.values():
        expiration = part.get("RecordExpiration", {})
        if expiration.get("Expiration") == "ENABLED" and expiration.get("Days", 0) < _MIN_JOURNAL_DAYS:
            days = str(expiration.get("Days", "null"))
            raise InvalidArgument(f"Records of a journal are kept for {_MIN_JOURNAL_DAYS} Days or more.", "Days", days)
        encryption = part.get("EncryptionConfiguration")
        if encryption is not None and (encryption["SseAlgorithm"] == "aws:kms") != ("KmsKeyArn" in encryption):
            raise InvalidArgument(
                "A KmsKeyArn is given with aws:kms, and with nothing else.", "KmsKeyArn", encryption.get("KmsKeyArn")
            )


def _check_metadata_table(_bucket: str, document: Document) -> None:
    destination = document["S3TablesDestination"]
    for name, pattern in (("TableBucketArn", _TABLE_BUCKET_ARN), ("TableName", _TABLE_NAME)):
        if not pattern.fullmatch(destination[name]):
            raise InvalidArgument(f"{name} is not well formed.", name, destination[name])


def _check_analytics(_bucket: str, document: Document) -> None:
    export = document["StorageClassAnalysis"].get("DataExport")
    if export is not None:
        bucket_of_arn(export["Destination"]["S3BucketDestination"]["Bucket"])


def _check_inventory(_bucket: str, document: Document) -> None:
    destination = document["Destination"]["S3BucketDestination"]
    bucket_of_arn(destination["Bucket"])
    if len(destination.get("Encryption", {"SSES3": {}})) != 1:
        raise MalformedConfiguration("The Encryption of an inventory is one of SSE-S3 and SSE-KMS.")
    fields = document.get("OptionalFields", ())
    if len(set(fields)) < len(fields):
        raise MalformedConfiguration("Each of the OptionalFields is given once.")


def _check_tiering(_bucket: str, document: Document) -> None:
    tiers = [one["AccessTier"] for one in document["Tierings"]]
    if len(set(tiers)) < len(tiers):
        raise MalformedConfiguration("Each AccessTier is given once.")
    days = {one["AccessTier"]: one["Days"] for one in document["Tierings"]}
    for tier, given in days.items():
        least, most = _TIER_DAYS[tier]
        if not least <= given <= most:
            raise InvalidArgument(f"The Days of {tier} are {least} to {most}.", "Days", str(given))
    if len(days) == 2 and days["ARCHIVE_ACCESS"] >= days["DEEP_ARCHIVE_ACCESS"]:
        raise InvalidArgument("DEEP_ARCHIVE_ACCESS begins after ARCHIVE_ACCESS.", "Days", str(days["ARCHIVE_ACCESS"]))


_CHECKS: Mapping[ConfigurationKind, Callable[[str, Document], None]] = {
    ConfigurationKind.ACCELERATE: _check_accelerate,
    ConfigurationKind.LOGGING: _check_logging,
    ConfigurationKind.METADATA: _check_metadata,
    ConfigurationKind.METADATA_TABLE: _check_metadata_table,
    ConfigurationKind.WEBSITE: _check_website,
    ConfigurationKind.REPLICATION: _check_replication,
    ConfigurationKind.NOTIFICATION: _check_notification,
    ConfigurationKind.ANALYTICS: _check_analytics,
    ConfigurationKind.INVENTORY: _check_inventory,
    ConfigurationKind.INTELLIGENT_TIERING: _check_tiering,
}
