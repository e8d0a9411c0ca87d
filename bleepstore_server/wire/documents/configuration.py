"""Documents of a bucket's configuration, most of which has nothing that could be configured."""

from __future__ import annotations

import enum

from bleepstore.model import Versioning
from bleepstore_server.wire.documents.declare import (
    BOOLEAN,
    choice,
    document,
    element,
)


@document("AccelerateConfiguration")
class AccelerateConfiguration:
    status: str | None = element("Status", default=None)


@document("BucketLoggingStatus")
class BucketLoggingStatus:
    """Without a child: nothing is logged."""


@document("NotificationConfiguration")
class NotificationConfiguration:
    """Without a child: nobody is notified."""


@document("PolicyStatus")
class PolicyStatus:
    is_public: bool = element("IsPublic", BOOLEAN)


class MfaDelete(enum.StrEnum):
    ENABLED = "Enabled"
    DISABLED = "Disabled"


@document("VersioningConfiguration")
class VersioningConfiguration:
    status: Versioning | None = element("Status", choice(Versioning), default=None)
    mfa_delete: MfaDelete | None = element("MfaDelete", choice(MfaDelete), default=None)


@document("ListBucketAnalyticsConfigurationResult")
class ListBucketAnalyticsConfigurationResult:
    is_truncated: bool = element("IsTruncated", BOOLEAN, default=False)


@document("ListBucketIntelligentTieringConfigurationsOutput")
class ListBucketIntelligentTieringConfigurationsOutput:
    is_truncated: bool = element("IsTruncated", BOOLEAN, default=False)


@document("ListInventoryConfigurationsResult")
class ListInventoryConfigurationsResult:
    is_truncated: bool = element("IsTruncated", BOOLEAN, default=False)


@document("ListMetricsConfigurationsResult")
class ListMetricsConfigurationsResult:
    is_truncated: bool = element("IsTruncated", BOOLEAN, default=False)
