"""The shape of each kind of configuration, as the S3 API reference has it."""

from __future__ import annotations

from collections.abc import Mapping

from bleepstore.configurations.kinds import ConfigurationKind
from bleepstore.configurations.shapes import (
    BOOLEAN,
    INTEGER,
    OPEN_TEXT,
    TEXT,
    ListOf,
    Structure,
    choice,
    structure,
)

_SWITCH = choice("Enabled", "Disabled")
_SWITCHED = structure("Status", Status=_SWITCH)
_PROTOCOL = choice("http", "https")
_TAG = structure("Key Value", Key=TEXT, Value=OPEN_TEXT)
_TAGS = ListOf(_TAG)

_LOGGING = structure(
    LoggingEnabled=structure(
        "TargetBucket TargetPrefix",
        TargetBucket=TEXT,
        TargetGrants=ListOf(
            structure(
                Grantee=structure(
                    "Type",
                    DisplayName=OPEN_TEXT,
                    EmailAddress=TEXT,
                    ID=TEXT,
                    Type=choice("CanonicalUser", "AmazonCustomerByEmail", "Group"),
                    URI=TEXT,
                ),
                Permission=choice("FULL_CONTROL", "READ", "WRITE"),
            )
        ),
        TargetPrefix=OPEN_TEXT,
        TargetObjectKeyFormat=structure(
            SimplePrefix=structure(),
            PartitionedPrefix=structure(PartitionDateSource=choice("EventTime", "DeliveryTime")),
        ),
    )
)

_WEBSITE = structure(
    ErrorDocument=structure("Key", Key=TEXT),
    IndexDocument=structure("Suffix", Suffix=OPEN_TEXT),
    RedirectAllRequestsTo=structure("HostName", HostName=TEXT, Protocol=_PROTOCOL),
    RoutingRules=ListOf(
        structure(
            "Redirect",
            Condition=structure(HttpErrorCodeReturnedEquals=TEXT, KeyPrefixEquals=OPEN_TEXT),
            Redirect=structure(
                HostName=TEXT,
                HttpRedirectCode=TEXT,
                Protocol=_PROTOCOL,
                ReplaceKeyPrefixWith=OPEN_TEXT,
                ReplaceKeyWith=OPEN_TEXT,
            ),
        )
    ),
)

_NOT = structure(Prefix=OPEN_TEXT, Tag=_TAG, Or=structure(Prefixes=ListOf(OPEN_TEXT), Tags=_TAGS))
_MINUTES = structure(Minutes=INTEGER)
_REPLICATION_DESTINATION = structure(
    "Bucket",
    Bucket=TEXT,
    Account=TEXT,
    StorageClass=choice(
        "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER",
        "DEEP_ARCHIVE", "OUTPOSTS", "GLACIER_IR", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "FSX_ONTAP",
        "AWS_BACKUP_WARM", "AWS_BACKUP_LOW_COST_WARM",
    ),
    AccessControlTranslation=structure("Owner", Owner=choice("Destination")),
    EncryptionConfiguration=structure(ReplicaKmsKeyID=TEXT, UseSourceMultiRegionKey=_SWITCHED),
    ReplicationTime=structure("Status Time", Status=_SWITCH, Time=_MINUTES),
    Metrics=structure("Status", Status=_SWITCH, EventThreshold=_MINUTES),
)  # fmt: skip
_REPLICATION = structure(
    "Role Rules",
    Role=TEXT,
    Rules=ListOf(
        structure(
            "Status Destination",
            ID=OPEN_TEXT,
            Priority=INTEGER,
            Prefix=OPEN_TEXT,
            Filter=structure(
                Prefix=OPEN_TEXT, Tag=_TAG, And=structure(Prefix=OPEN_TEXT, Tags=_TAGS, Not=_NOT), Not=_NOT
            ),
            Status=_SWITCH,
            SourceSelectionCriteria=structure(SseKmsEncryptedObjects=_SWITCHED, ReplicaModifications=_SWITCHED),
            ExistingObjectReplication=_SWITCHED,
            Destination=_REPLICATION_DESTINATION,
            DeleteMarkerReplication=structure(Status=_SWITCH),
        ),
        at_least=1,
    ),
)

EVENT = choice(
    "s3:ReducedRedundancyLostObject", "s3:ObjectCreated:*", "s3:ObjectCreated:Put", "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy", "s3:ObjectCreated:CompleteMultipartUpload", "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated", "s3:ObjectRestore:*", "s3:ObjectRestore:Post",
    "s3:ObjectRestore:Completed", "s3:Replication:*", "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationNotTracked", "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationReplicatedAfterThreshold", "s3:ObjectRestore:Delete", "s3:LifecycleTransition",
    "s3:IntelligentTiering", "s3:ObjectAcl:Put", "s3:LifecycleExpiration:*", "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated", "s3:ObjectTagging:*", "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete", "s3:ObjectAnnotation:*", "s3:ObjectAnnotation:Put", "s3:ObjectAnnotation:Delete",
    "s3:ObjectRetention:Put",
)  # fmt: skip
#: The same without "s3:" and without patterns.
EVENT_NAMES = frozenset(event.removeprefix("s3:") for event in EVENT.choices if not event.endswith("*"))
#: Amazon shows them with a capital, and takes both.
_KEY_FILTER = structure(Key=structure(FilterRules=ListOf(structure(Name=OPEN_TEXT, Value=OPEN_TEXT))))


def _notified(destination: str) -> ListOf:
    return ListOf(
        Structure(
            {"Id": OPEN_TEXT, destination: TEXT, "Events": ListOf(EVENT, at_least=1), "Filter": _KEY_FILTER},
            frozenset({destination, "Events"}),
        )
    )


_NOTIFICATION = structure(
    TopicConfigurations=_notified("TopicArn"),
    QueueConfigurations=_notified("QueueArn"),
    LambdaFunctionConfigurations=_notified("LambdaFunctionArn"),
    EventBridgeConfiguration=structure(),
)

_FILTER = structure(Prefix=OPEN_TEXT, Tag=_TAG, And=structure(Prefix=OPEN_TEXT, Tags=_TAGS))
_ANALYTICS = structure(
    "Id StorageClassAnalysis",
    Id=TEXT,
    Filter=_FILTER,
    StorageClassAnalysis=structure(
        DataExport=structure(
            "OutputSchemaVersion Destination",
            OutputSchemaVersion=choice("V_1"),
            Destination=structure(
                "S3BucketDestination",
                S3BucketDestination=structure(
                    "Format Bucket", Format=choice("CSV"), BucketAccountId=TEXT, Bucket=TEXT, Prefix=OPEN_TEXT
                ),
            ),
        )
    ),
)
_METRICS = structure(
    "Id",
    Id=TEXT,
    Filter=structure(
        Prefix=OPEN_TEXT,
        Tag=_TAG,
        AccessPointArn=TEXT,
        And=structure(Prefix=OPEN_TEXT, Tags=_TAGS, AccessPointArn=TEXT),
    ),
)
_TIERING = structure(
    "Id Status Tierings",
    Id=TEXT,
    Filter=_FILTER,
    Status=_SWITCH,
    Tierings=ListOf(
        structure("Days AccessTier", Days=INTEGER, AccessTier=choice("ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS")),
        at_least=1,
    ),
)
_INVENTORY = structure(
    "Destination IsEnabled Id IncludedObjectVersions Schedule",
    Destination=structure(
        "S3BucketDestination",
        S3BucketDestination=structure(
            "Bucket Format",
            AccountId=TEXT,
            Bucket=TEXT,
            Format=choice("CSV", "ORC", "Parquet"),
            Prefix=OPEN_TEXT,
            Encryption=structure(SSES3=structure(), SSEKMS=structure("KeyId", KeyId=TEXT)),
        ),
    ),
    IsEnabled=BOOLEAN,
    Filter=structure("Prefix", Prefix=OPEN_TEXT),
    Id=TEXT,
    IncludedObjectVersions=choice("All", "Current"),
    OptionalFields=ListOf(
        choice(
            "Size", "LastModifiedDate", "StorageClass", "ETag", "IsMultipartUploaded", "ReplicationStatus",
            "EncryptionStatus", "ObjectLockRetainUntilDate", "ObjectLockMode", "ObjectLockLegalHoldStatus",
            "ObjectLockEventHoldStatus", "ObjectLockEventHoldDuration", "IntelligentTieringAccessTier",
            "BucketKeyStatus", "ChecksumAlgorithm", "ObjectAccessControlList", "ObjectOwner",
            "LifecycleExpirationDate", "IntelligentTieringReferenceDate",
        )
    ),
    Schedule=structure("Frequency", Frequency=choice("Daily", "Weekly")),
)  # fmt: skip

_ON_OR_OFF = choice("ENABLED", "DISABLED")
_TABLE_ENCRYPTION = structure("SseAlgorithm", SseAlgorithm=choice("aws:kms", "AES256"), KmsKeyArn=TEXT)
_RECORD_EXPIRATION = structure("Expiration", Expiration=_ON_OR_OFF, Days=INTEGER)
_INVENTORY_TABLE = structure(
    "ConfigurationState", ConfigurationState=_ON_OR_OFF, EncryptionConfiguration=_TABLE_ENCRYPTION
)
_ANNOTATION_TABLE = structure(
    "ConfigurationState", ConfigurationState=_ON_OR_OFF, EncryptionConfiguration=_TABLE_ENCRYPTION, Role=TEXT
)
_METADATA = structure(
    "JournalTableConfiguration",
    JournalTableConfiguration=structure(
        "RecordExpiration", RecordExpiration=_RECORD_EXPIRATION, EncryptionConfiguration=_TABLE_ENCRYPTION
    ),
    InventoryTableConfiguration=_INVENTORY_TABLE,
    AnnotationTableConfiguration=_ANNOTATION_TABLE,
)
#: The parts of a metadata configuration -> what may be changed of each later.
METADATA_TABLES: Mapping[str, Structure] = {
    "JournalTableConfiguration": structure("RecordExpiration", RecordExpiration=_RECORD_EXPIRATION),
    "InventoryTableConfiguration": _INVENTORY_TABLE,
    "AnnotationTableConfiguration": _ANNOTATION_TABLE,
}

SHAPES: Mapping[ConfigurationKind, Structure] = {
    ConfigurationKind.ABAC: structure("Status", Status=_SWITCH),
    ConfigurationKind.ACCELERATE: structure("Status", Status=choice("Enabled", "Suspended")),
    ConfigurationKind.LOGGING: _LOGGING,
    ConfigurationKind.METADATA: _METADATA,
    ConfigurationKind.METADATA_TABLE: structure(
        "S3TablesDestination",
        S3TablesDestination=structure("TableBucketArn TableName", TableBucketArn=TEXT, TableName=TEXT),
    ),
    ConfigurationKind.NOTIFICATION: _NOTIFICATION,
    ConfigurationKind.REPLICATION: _REPLICATION,
    ConfigurationKind.WEBSITE: _WEBSITE,
    ConfigurationKind.ANALYTICS: _ANALYTICS,
    ConfigurationKind.INTELLIGENT_TIERING: _TIERING,
    ConfigurationKind.INVENTORY: _INVENTORY,
    ConfigurationKind.METRICS: _METRICS,
}
