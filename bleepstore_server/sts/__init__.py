"""The API of AWS STS over the sessions of a store: temporary credentials.

Requests are forms (`POST /` or, where a proxy wants a path, `POST /-/sts`), signed for the service "sts"; answers are
XML of its own shape. `-` is the name of no bucket.
"""

from bleepstore_server.sts.service import SessionService, is_for_sts

__all__ = ["SessionService", "is_for_sts"]
