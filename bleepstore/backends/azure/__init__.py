"""The gateway to Azure Blob Storage.

Azure has no MD5 of a blob that was made of blocks, so S3's ETag is a note of ours. A body of more than one request is
staged as blocks of a blob in our own folder, and copied by Azure to its name once it is whole: blocks staged under the
name itself would be discarded by any other write of that name, and would stay there when a write ends early. The same
is done with the parts of an upload. Within an account a copy moves no bytes.
"""

from bleepstore.backends.azure.layouts import AzureBlobs, AzureKeys
from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.settings import GatewaySettings


def open_gateway(settings: GatewaySettings) -> AzureKeys | AzureBlobs:
    """A `KeyedBackend` in the layout `keys`."""
    return AzureKeys(settings) if settings.layout is Layout.KEYS else AzureBlobs(settings)
