"""`bleepstore import`, `export` and `sync`: objects from and to directories, stores and other S3 endpoints."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bleepstore.errors import StoreError
from bleepstore_server.addresses import OURS, S3, Address, Clients, add_endpoint, add_store, refusals_told
from bleepstore_server.app_config import ConfigError
from bleepstore_server.extras import needing
from bleepstore_server.progress import shown_progress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from bleepstore_server.locations import Location

_LOCATIONS = """\
A location is one of
  ./photos, /srv/photos        a directory
  bleepstore://bucket/prefix   a bucket of the store in --data; a server may run meanwhile
  s3://bucket/prefix           a bucket elsewhere, with the credentials that the AWS CLI would use
A prefix is a folder: 2024 means 2024/.
"""
_RULES = """\
What is equal at both locations is left as it is, so a run that was cut off is simply repeated. Equal means: the same
size, and the same ETag or checksum of the whole object; files are read for it. Content type, encoding, cache control,
metadata and tags go along between buckets; the content type of a file is guessed from its name. ACLs stay behind, and
without --versions storage classes too. The status is 2 if an object could not be brought; each is named.
"""


def _make_bucket(client: S3Client, bucket: str, *, versions: bool, locks: bool) -> None:
    """Create a bucket unless it exists: to create one's own again would set its ACL anew in us-east-1."""
    try:
        client.head_bucket(Bucket=bucket)
    except client.exceptions.ClientError as error:
        # 400 where no bucket can have the name, for example: what is wrong says only an answer with a body.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (400, 404):
            raise
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=locks)
            if versions:
                client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def _check_keeps_versions(client: S3Client, bucket: str) -> None:
    """Elsewhere each version would replace the one before it."""
    if client.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        raise ConfigError(f"target: the bucket {bucket} does not keep versions: enable its versioning first")


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    common = argparse.ArgumentParser(add_help=False)
    add_store(common)
    common.add_argument("--delete", action="store_true", help="remove from the target what the source does not have")
    common.add_argument(
        "--versions",
        action="store_true",
        help="bring all versions and delete markers, and storage classes. In a directory those of the key NAME are in "
        "the folder NAME.versions. With --delete old versions that the source does not have are removed for good",
    )
    common.add_argument(
        "--locks",
        action="store_true",
        help="with --versions: bring retentions that are not over yet, and legal holds, to a bucket with object lock",
    )
    common.add_argument("--dry-run", action="store_true", help="only say what would be done")
    add_jobs(common)
    ends: dict[str, Any] = {"parents": [common], "formatter_class": argparse.RawDescriptionHelpFormatter}

    into = commands.add_parser(
        "import",
        help="bring a directory, or a bucket of another S3, into a store",
        description="Bring a directory, or a bucket of another S3 endpoint, into a bucket, which is made if need be.",
        epilog=f"{_LOCATIONS}\n{_RULES}\nexample: bleepstore import ./photos photos/2024",
        **ends,
    )
    into.add_argument("source", metavar="LOCATION", help="a directory, or s3://bucket/prefix")
    into.add_argument("bucket", metavar="BUCKET[/PREFIX]", help="where to, in the store")
    add_endpoint(into)
    into.set_defaults(run=_import)

    out = commands.add_parser(
        "export",
        help="bring a bucket to a directory, or to another S3",
        description="Bring a bucket to a directory, or to a bucket of another S3 endpoint.",
        epilog=f"{_LOCATIONS}\n{_RULES}\nexample: bleepstore export photos/2024 ./photos",
        **ends,
    )
    out.add_argument("bucket", metavar="BUCKET[/PREFIX]", help="what, in the store")
    out.add_argument("target", metavar="LOCATION", help="a directory, or s3://bucket/prefix")
    add_endpoint(out)
    out.set_defaults(run=_export)

    both = commands.add_parser(
        "sync",
        help="bring any location to any other",
        description="Make one location have what another has.",
        epilog=f"{_LOCATIONS}\n{_RULES}\n"
        "example: bleepstore sync s3://photos s3://photos --source-profile old --target-profile new",
        **ends,
    )
    both.add_argument("source", metavar="SOURCE", help="a location")
    both.add_argument("target", metavar="TARGET", help="a location")
    add_endpoint(both, "source-")
    add_endpoint(both, "target-")
    both.set_defaults(run=_sync)


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """The option that says how much is done at once."""
    parser.add_argument("--jobs", metavar="N", type=_jobs, default=4, help="objects at a time (default: 4)")


def _jobs(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError("from 1 to 64")
    return number


def _import(arguments: argparse.Namespace) -> None:
    _run(arguments, (arguments.source, ""), (OURS + arguments.bucket, ""), make_bucket=True)


def _export(arguments: argparse.Namespace) -> None:
    _run(arguments, (OURS + arguments.bucket, ""), (arguments.target, ""))


def _sync(arguments: argparse.Namespace) -> None:
    _run(arguments, (arguments.source, "source_"), (arguments.target, "target_"))


def _run(
    arguments: argparse.Namespace, source: tuple[str, str], target: tuple[str, str], *, make_bucket: bool = False
) -> None:
    """Each end is (the location as given, what the names of its options begin with)."""
    with needing("server,aws"):
        from bleepstore_server.transfer import ObjectTransfer, VersionTransfer
    if arguments.locks and not arguments.versions:
        raise ConfigError("--locks: it is versions that are locked: give --versions too")
    if not source[0].startswith((OURS, S3)) and not Path(source[0]).is_dir():
        raise ConfigError(f"source: there is no directory {source[0]}")
    opener = _Opener(arguments)
    with refusals_told(opener.ends(source[0], target[0]), StoreError), opener, shown_progress("transfer") as progress:
        kind: Any = VersionTransfer if arguments.versions else ObjectTransfer
        transfer = kind(
            source=opener.open(*source, is_target=False),
            target=opener.open(*target, is_target=True, make_bucket=make_bucket),
            progress=progress,
            tell=tell,
            delete=arguments.delete,
            dry_run=arguments.dry_run,
            jobs=arguments.jobs,
        )
        opener.refuse, opener.pass_over = transfer.refuse, transfer.pass_over
        outcome = transfer.run()
    things = "versions" if arguments.versions else "objects"
    print(
        f"{outcome.brought:,} {things} brought ({outcome.bytes:,} bytes), {outcome.equal:,} were equal, "
        f"{outcome.removed:,} removed" + (" (nothing was done: a dry run)" if arguments.dry_run else "")
    )
    if outcome.failed:
        raise StoreError(f"{outcome.failed:,} could not be brought")


def tell(what: str, key: str, why: str) -> None:
    """What a transfer says of an object, for people."""
    line = f"{what}: {key!r}" + (f": {why}" if why else "")
    print(line, file=sys.stderr if what == "failed" else sys.stdout, flush=True)


class _Opener(Clients):
    """Opens locations."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments, connections=2 * arguments.jobs)
        # Known before the transfer is, which has two of these locations and tells what becomes of them.
        self.refuse: Callable[[str, str], None] = lambda key, why: tell("failed", key, why)
        self.pass_over: Callable[[str, str], None] = lambda key, why: tell("left out", key, why)

    def ends(self, *locations: str) -> str:
        """Two locations, for people."""
        return " to ".join(
            f"{location} in {self.config.data}" if location.startswith(OURS) else location for location in locations
        )

    def open(self, text: str, options: str, *, is_target: bool, make_bucket: bool = False) -> Location:
        """A `VersionLocation` if versions are to be brought."""
        from bleepstore_server.locations import BucketLocation, Directory, VersionedBucket
        from bleepstore_server.version_folder import VersionFolder

        arguments, address = self.arguments, Address.parse(text)
        versions, locks = arguments.versions, arguments.locks
        if not address.scheme:
            reserved = None if self.config.in_memory else Path(self.config.data)
            if versions:
                return VersionFolder(Path(text), self._refuse, self._pass_over, reserved, locks=locks)
            return Directory(Path(text), self._refuse, self._pass_over, reserved)
        address.check_bucket()
        makes = make_bucket and not arguments.dry_run
        client = self.of(address, options, make=makes)
        if makes:
            _make_bucket(client, address.bucket, versions=versions, locks=locks)
        if not versions:
            return BucketLocation(client, address.bucket, address.folder)
        if is_target:
            _check_keeps_versions(client, address.bucket)
        return VersionedBucket(client, address.bucket, address.folder, locks=locks)

    def _refuse(self, key: str, why: str) -> None:
        self.refuse(key, why)

    def _pass_over(self, key: str, why: str) -> None:
        self.pass_over(key, why)
