"""Which configurations there are."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class ConfigurationKind(enum.StrEnum):
    """What a configuration is about. Of the last four a bucket has many, each with an id.

    METADATA_TABLE is the earlier form of METADATA.
    """

    ABAC = "abac"
    ACCELERATE = "accelerate"
    LOGGING = "logging"
    METADATA = "metadataConfiguration"
    METADATA_TABLE = "metadataTable"
    NOTIFICATION = "notification"
    REPLICATION = "replication"
    WEBSITE = "website"
    ANALYTICS = "analytics"
    INTELLIGENT_TIERING = "intelligent-tiering"
    INVENTORY = "inventory"
    METRICS = "metrics"


KINDS_WITH_IDS = frozenset(
    {
        ConfigurationKind.ANALYTICS,
        ConfigurationKind.INTELLIGENT_TIERING,
        ConfigurationKind.INVENTORY,
        ConfigurationKind.METRICS,
    }
)
#: Those that are made, and then changed in parts or removed, but not replaced.
MADE_ONCE = frozenset({ConfigurationKind.METADATA, ConfigurationKind.METADATA_TABLE})
#: Those by which something is done; the others are stored alone.
ACTED_UPON = frozenset(
    {
        ConfigurationKind.INVENTORY,
        ConfigurationKind.LOGGING,
        ConfigurationKind.NOTIFICATION,
        ConfigurationKind.REPLICATION,
        ConfigurationKind.WEBSITE,
    }
)
#: Of each kind that has ids, in a bucket.
MAX_CONFIGURATIONS = 1000
#: Characters that all configurations of a bucket may take together: they are read with the bucket.
MAX_STORED = 1024 * 1024

#: Of a bucket: kind -> id, or "" -> the document as JSON.
Configurations = Mapping[str, Mapping[str, str]]
