"""Configurations of buckets that are stored as they are given: checked, shown and removed. By those of the kinds in
`ACTED_UPON` something is done, too.

A configuration is a document, a mapping by the names of Amazon's SDKs:

    store.put_bucket_configuration("photos", ConfigurationKind.WEBSITE, {"IndexDocument": {"Suffix": "index.html"}})

`shapes` says what a document is made of, `documents` has the shape of each kind, `rules` what S3 refuses beside.
"""

from bleepstore.configurations.documents import EVENT_NAMES, METADATA_TABLES, SHAPES
from bleepstore.configurations.kinds import (
    ACTED_UPON,
    KINDS_WITH_IDS,
    MADE_ONCE,
    MAX_CONFIGURATIONS,
    MAX_STORED,
    ConfigurationKind,
    Configurations,
)
from bleepstore.configurations.rules import (
    bucket_of_arn,
    check_document,
    check_id,
    check_metadata_table,
    destinations_of,
)

__all__ = [
    "ACTED_UPON",
    "EVENT_NAMES",
    "KINDS_WITH_IDS",
    "MADE_ONCE",
    "MAX_CONFIGURATIONS",
    "MAX_STORED",
    "METADATA_TABLES",
    "SHAPES",
    "ConfigurationKind",
    "Configurations",
    "bucket_of_arn",
    "check_document",
    "check_id",
    "check_metadata_table",
    "destinations_of",
]
