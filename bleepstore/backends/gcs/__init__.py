"""The gateway to Google Cloud Storage.

The generation of an object is the pin: no other write ever has it. The MD5 that GCS keeps is S3's ETag, except for an
object that was composed of parts, with which the ETag is noted. A part is an object of its own, in our own folder; an
upload is completed by composing them, 32 at a time, as a tree. GCS copies whole objects only, so a part that is a range
of an object passes through this process.
"""

from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.backends.gcs.layouts import GcsBlobs, GcsKeys


def open_gateway(settings: GatewaySettings) -> GcsKeys | GcsBlobs:
    """A `KeyedBackend` in the layout `keys`."""
    return GcsKeys(settings) if settings.layout is Layout.KEYS else GcsBlobs(settings)
