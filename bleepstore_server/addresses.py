"""What the command line works on: `bleepstore://bucket/key` of the store in a folder, `s3://bucket/key` of an endpoint,
or the path of a file or directory. And the clients for it."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs

from bleepstore.errors import StoreError
from bleepstore.posix import check_posix
from bleepstore_server.app_config import ConfigError
from bleepstore_server.config import load_config
from bleepstore_server.extras import needing

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OURS, S3 = "bleepstore://", "s3://"


class NotThere(StoreError):
    """What a command names is not there."""


@attrs.frozen
class Address:
    """A location as it was given. Without a `scheme` it is a path."""

    text: str
    scheme: str = ""
    bucket: str = ""
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Any text is an address; whether one can be used is for the command to say."""
        for scheme in (OURS, S3):
            if text.startswith(scheme):
                bucket, _, key = text.removeprefix(scheme).partition("/")
                return cls(text, scheme, bucket, key)
        return cls(text)

    @property
    def folder(self) -> str:
        """The key as that of a folder: 2024 means 2024/."""
        return f"{self.key}/" if self.key and not self.key.endswith("/") else self.key

    def check_bucket(self) -> None:
        """Raise ConfigError if it names no bucket."""
        if not self.scheme:
            raise ConfigError(f"{self.text} is a path: name {S3}BUCKET or {OURS}BUCKET")
        if not self.bucket:
            raise ConfigError(f"{self.text} names no bucket")

    def check_key(self) -> None:
        """Raise ConfigError if it names no object."""
        self.check_bucket()
        if not self.key:
            raise ConfigError(f"{self.text} names no object")


def add_endpoint(parser: Any, which: str = "") -> None:
    """The options that say which endpoint `s3://` is, for a parser or a group of one."""
    parser.add_argument(
        f"--{which}endpoint-url", metavar="URL", help="the address of s3:// (default: AWS_ENDPOINT_URL, or Amazon's)"
    )
    parser.add_argument(f"--{which}profile", metavar="NAME", help="credentials of s3://, from the AWS configuration")


def add_store(parser: Any) -> None:
    """The options that say which folder `bleepstore://` is in."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="a TOML file with settings (BLEEPSTORE_CONFIG)")
    parser.add_argument("--data", metavar="DIR", help="the folder of the store that bleepstore:// names")


class Clients(contextlib.ExitStack):
    """Makes the clients that the arguments of a command ask for, the store's once, and closes them."""

    def __init__(self, arguments: argparse.Namespace, *, connections: int = 10) -> None:
        super().__init__()
        self.arguments = arguments
        self._connections = connections
        self._made: dict[tuple[str, str], S3Client] = {}
        flags = {} if arguments.data is None else {"data": arguments.data}
        self.config = load_config(file=arguments.config, environ=os.environ, flags=flags)

    def of(self, address: Address, which: str = "", *, make: bool = False) -> S3Client:
        """A client for a bucket. `which` is what the names of the options begin with, and `make` makes the store if
        need be. Raises ConfigError, StoreError."""
        made = self._made.get((address.scheme, which))
        if made is None:
            made = self._store_client(make=make) if address.scheme == OURS else self._s3_client(which)
            self.callback(made.close)
            self._made[address.scheme, which] = made
        return made

    def _store_client(self, *, make: bool) -> S3Client:
        data = self.config.data
        check_posix(f"A store in the folder {data}")
        with needing("server,aws"):
            from bleepstore_server.clients import client_for
            from bleepstore_server.serving import open_configured_store

        if self.config.in_memory:
            raise ConfigError("data: a store in memory ends with this command: name a folder")
        if not make and not (Path(data) / "catalog.db").exists():
            raise ConfigError(f"data: there is no store in {data}; --data names the folder of one")
        return client_for(self.enter_context(open_configured_store(self.config)))

    def _s3_client(self, which: str) -> S3Client:
        with needing("server,aws"):
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError

        arguments = vars(self.arguments)
        try:
            session = boto3.Session(profile_name=arguments[f"{which}profile"])
            client: S3Client = session.client(
                "s3",
                endpoint_url=arguments[f"{which}endpoint_url"],
                region_name=session.region_name or "us-east-1",
                config=Config(max_pool_connections=self._connections, signature_version="s3v4"),
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"{S3}: {error}") from error
        return client


@contextlib.contextmanager
def refusals_told(what: str, not_there: type[StoreError] = NotThere) -> Iterator[None]:
    """A block that asks endpoints. What they refuse is told as a StoreError about `what`; `not_there` if it is not
    there."""
    with needing("server,aws"):
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    try:
        yield
    except ClientError as error:
        told: Any = error.response["Error"]
        bucket = f" (bucket {told['BucketName']})" if "BucketName" in told else ""
        is_there = error.response["ResponseMetadata"]["HTTPStatusCode"] != 404
        # The answer to HEAD has no document.
        said = f"{told['Code']}: {told['Message']}" if is_there or told["Code"] != "404" else "there is none"
        raise (StoreError if is_there else not_there)(f"{what}: {said}{bucket}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StoreError(f"{what}: {error}") from error
