"""Documents of a bucket's policy status and versioning."""

from __future__ import annotations

import enum

from bleepstore.model import Versioning
from bleepstore_server.wire.documents.declare import (
    BOOLEAN,
    choice,
    document,
    element,
)


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
