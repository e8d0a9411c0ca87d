"""The console: a store in a browser.

`Console` is a WSGI app of its own. It works through the Python API of the store, as the caller whose access key signed
in: what the store refuses to that caller over S3, it refuses here. Pages are rendered on the server; the little script
that there is moves files, and the rest works without it.
"""

from bleepstore_server.console.app import Console

__all__ = ["Console"]
