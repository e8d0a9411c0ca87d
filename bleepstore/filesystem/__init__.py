"""Buckets as a file system of fsspec: `fsspec.open("bleepstore://bucket/key")`, without a server or a socket.

Needs the extra `fsspec`. pandas, dask, zarr and whatever else speaks fsspec find it by its entry point.
"""

from bleepstore.filesystem.files import BleepStoreFile
from bleepstore.filesystem.system import BleepStoreFileSystem

__all__ = ["BleepStoreFile", "BleepStoreFileSystem"]
