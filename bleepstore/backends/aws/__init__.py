"""The gateway to Amazon S3, and to anything else that speaks its API at an `endpoint_url`.

The ETag of S3 is the MD5 of the bytes for us as for the provider, so it is recoverable without a note of ours, unless
a bucket is encrypted by KMS; where the ETag is known before the bytes are sent, it is noted too. Parts are S3's own,
and vanish with the upload that they are assembled from, so `assemble_parts` can be done once.

S3 cannot say which uploads under way are ours. In the layout `keys`, where others may have some beside them, the sweep
removes none that a crash left unknown between its start and our commit: a lifecycle rule, of the kind
AbortIncompleteMultipartUpload, does.
"""

from bleepstore.backends.aws.layouts import AwsBlobs, AwsKeys
from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.settings import GatewaySettings


def open_gateway(settings: GatewaySettings) -> AwsKeys | AwsBlobs:
    """A `KeyedBackend` in the layout `keys`."""
    return AwsKeys(settings) if settings.layout is Layout.KEYS else AwsBlobs(settings)
