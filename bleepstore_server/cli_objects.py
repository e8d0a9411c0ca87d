"""`bleepstore ls`, `mb`, `rb`, `rm`, `cat`, `stat`, `du`, `presign`, `tag`, `versions`: an S3 client for who has no
other. (`cli_copy` has `cp` and `mv`.)"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from bleepstore.backends.base import CHUNK
from bleepstore.errors import StoreError
from bleepstore_server.addresses import OURS, S3, Address, Clients, NotThere, add_endpoint, add_store, refusals_told
from bleepstore_server.app_config import ConfigError
from bleepstore_server.progress import shown_progress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from bleepstore_server.locations import Location, LocationEntry

#: What DeleteObjects takes.
_BATCH = 1000
_MAX_EXPIRES = 7 * 24 * 3600
ADDRESSES = """\
An object is named by
  s3://bucket/key              at an S3 endpoint, with the credentials that the AWS CLI would use
  bleepstore://bucket/key      in the store in --data; a server may run meanwhile

The status is 0 if all was done, 1 if what is named is not there, and 2 for any other failure.
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    common = common_options()

    def add(name: str, run: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        parser = commands.add_parser(
            name,
            help=help,
            parents=[common],
            description=f"{help[0].upper()}{help[1:]}.",
            epilog=ADDRESSES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(run=run)
        return parser

    listing = add("ls", _ls, "list buckets, or what begins with a key, up to the next /")
    listing.add_argument("addresses", metavar="URL", nargs="*", type=Address.parse, help=f"{S3} if none is given")
    listing.add_argument("-r", "--recursive", action="store_true", help="list what is in folders too")
    _add_urls(add("mb", _mb, "make buckets"))
    remove_bucket = add("rb", _rb, "remove buckets that are empty")
    _add_urls(remove_bucket)
    remove_bucket.add_argument(
        "--force", action="store_true", help="remove what is in them first, with all versions and unfinished uploads"
    )
    remove = add("rm", _rm, "remove objects")
    _add_urls(remove)
    _add_version(remove)
    remove.add_argument("-r", "--recursive", action="store_true", help="all that is in a folder, or a bucket")
    remove.add_argument(
        "--versions", action="store_true", help="with -r: all versions and delete markers, which is for good"
    )
    remove.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    shown = add("cat", _cat, "write objects to standard output, verified")
    _add_urls(shown)
    _add_version(shown)
    stat = add("stat", _stat, "show what is known of objects or buckets")
    _add_urls(stat)
    _add_version(stat)
    usage = add("du", _du, "add up what is in buckets or folders")
    usage.add_argument("addresses", metavar="URL", nargs="*", type=Address.parse, help="all buckets if none is given")
    usage.add_argument("--versions", action="store_true", help="count all versions, not the current ones alone")
    presign = add("presign", _presign, "make a URL by which whoever has it may do one thing, until it expires")
    _add_urls(presign)
    _add_version(presign)
    presign.add_argument("--method", choices=["get", "head", "put", "delete"], default="get", help="default: get")
    presign.add_argument("--expires", metavar="SECONDS", type=_expires, default=3600, help="at most a week (3600)")
    tag = add("tag", _tag, "show the tags of an object or a bucket, or set them: all that it has from then on")
    tag.add_argument("address", metavar="URL", type=Address.parse)
    tag.add_argument("tags", metavar="KEY=VALUE", nargs="*")
    tag.add_argument("--remove", action="store_true", help="remove all of them")
    _add_version(tag)
    versions = add("versions", _versions, "list the versions of what begins with a key, or have a bucket keep them")
    versions.add_argument("address", metavar="URL", type=Address.parse)
    status = versions.add_mutually_exclusive_group()
    status.add_argument("--enable", dest="status", action="store_const", const="Enabled", help="keep versions")
    status.add_argument(
        "--suspend", dest="status", action="store_const", const="Suspended", help="keep no more of them"
    )


def common_options() -> argparse.ArgumentParser:
    """The options of every command on objects."""
    common = argparse.ArgumentParser(add_help=False)
    add_endpoint(common)
    add_store(common)
    common.add_argument("--json", action="store_true", help="print JSON, a line for each thing")
    return common


def _add_urls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("addresses", metavar="URL", nargs="+", type=Address.parse)


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version-id", metavar="ID", help="that version, not the current one")


def _expires(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_EXPIRES:
        raise argparse.ArgumentTypeError(f"from 1 to {_MAX_EXPIRES} seconds")
    return int(text)


def printable(text: str) -> str:
    """A key as a terminal may show it: it may have any character, also those that steer one."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


@attrs.frozen
class _Printer:
    """Writes facts: as a line for people, or as JSON."""

    as_json: bool

    def print(self, line: str, **facts: object) -> None:
        """Print one thing."""
        print(json.dumps(facts, default=_plain) if self.as_json else line)


def _plain(value: object) -> str:
    return _time(value) if isinstance(value, dt.datetime) else str(value)


def _time(value: dt.datetime) -> str:
    return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _each(
    arguments: argparse.Namespace, work: Callable[[S3Client, Address, _Printer], None], check: Callable[[Address], None]
) -> None:
    """Do some work for each address, once all are known to name what they must."""
    for address in arguments.addresses:
        check(address)
    if getattr(arguments, "version_id", None) is not None and len(arguments.addresses) != 1:
        raise ConfigError("--version-id: it is of one object: name one")
    printer = _Printer(arguments.json)
    with Clients(arguments) as clients:
        for address in arguments.addresses:
            with refusals_told(address.text):
                work(clients.of(address), address, printer)


def _check_scheme(address: Address) -> None:
    if not address.scheme or (address.key and not address.bucket):
        address.check_bucket()


def _named(address: Address, arguments: argparse.Namespace) -> dict[str, Any]:
    """The parameters that name an object, or a version of one."""
    named = {"Bucket": address.bucket, "Key": address.key}
    return named if arguments.version_id is None else {**named, "VersionId": arguments.version_id}


# -- what is there


def _ls(arguments: argparse.Namespace) -> None:
    arguments.addresses = arguments.addresses or [Address.parse(S3 if arguments.data is None else OURS)]

    def show(client: S3Client, address: Address, printer: _Printer) -> None:
        if not address.bucket:
            for bucket in _buckets(client):
                printer.print(
                    f"{_time(bucket['CreationDate'])}  {bucket['Name']}",
                    bucket=bucket["Name"],
                    created=bucket["CreationDate"],
                )
            return
        is_empty = True
        for found in _listed(client, address, recursive=arguments.recursive):
            _print_listed(printer, found)
            is_empty = False
        if is_empty and address.key:
            raise NotThere(f"{address.text}: nothing begins with it")

    _each(arguments, show, _check_scheme)


def _print_listed(printer: _Printer, found: Mapping[str, Any]) -> None:
    if "Prefix" in found:
        printer.print(f"{'':20}  {'folder':>15}  {printable(found['Prefix'])}", folder=found["Prefix"])
        return
    printer.print(
        f"{_time(found['LastModified'])}  {found['Size']:>15,}  {printable(found['Key'])}",
        key=found["Key"],
        size=found["Size"],
        etag=found["ETag"].strip('"'),
        last_modified=found["LastModified"],
        storage_class=found.get("StorageClass", "STANDARD"),
    )


def _buckets(client: S3Client) -> Iterator[Mapping[str, Any]]:
    for page in client.get_paginator("list_buckets").paginate():
        yield from page.get("Buckets", ())


def _listed(client: S3Client, address: Address, *, recursive: bool) -> Iterator[Mapping[str, Any]]:
    """Objects and, unless they are listed with what is in them, folders: in the order of a page."""
    given: Any = {"Bucket": address.bucket, "Prefix": address.key} | ({} if recursive else {"Delimiter": "/"})
    pages: Any = client.get_paginator("list_objects_v2").paginate(**given)
    for page in pages:
        found = [*page.get("Contents", ()), *page.get("CommonPrefixes", ())]
        yield from sorted(found, key=lambda one: one.get("Key", one.get("Prefix")).encode())


def _du(arguments: argparse.Namespace) -> None:
    arguments.addresses = arguments.addresses or [Address.parse(S3 if arguments.data is None else OURS)]

    def count(client: S3Client, address: Address, printer: _Printer) -> None:
        if not address.bucket:
            for bucket in _buckets(client):
                count(client, Address.parse(f"{address.scheme}{bucket['Name']}"), printer)
            return
        size = objects = 0
        with shown_progress("du", "objects") as progress:
            for entry in _within(client, address, arguments.versions):
                size += entry.get("Size", 0)
                objects += 1
                if not objects % _BATCH:
                    progress(objects, objects)
        what = "versions" if arguments.versions else "objects"
        printer.print(
            f"{size:>18,} bytes  {objects:>12,} {what}  {address.text}", url=address.text, bytes=size, **{what: objects}
        )

    _each(arguments, count, _check_scheme)


def _within(client: S3Client, address: Address, versions: bool) -> Iterator[Mapping[str, Any]]:
    """All objects of a folder, or all of their versions and delete markers."""
    from bleepstore_server.locations import versions_in_order

    if versions:
        yield from (found for found, _ in versions_in_order(client, address.bucket, address.folder))
    else:
        yield from _listed(client, Address("", address.scheme, address.bucket, address.folder), recursive=True)


def _stat(arguments: argparse.Namespace) -> None:
    def show(client: S3Client, address: Address, printer: _Printer) -> None:
        facts: Any
        if address.key:
            facts = dict(client.head_object(**_named(address, arguments), ChecksumMode="ENABLED"))
            facts["ETag"] = facts["ETag"].strip('"')
        else:
            facts = dict(client.head_bucket(Bucket=address.bucket))
            facts["Versioning"] = client.get_bucket_versioning(Bucket=address.bucket).get("Status", "never enabled")
        del facts["ResponseMetadata"]
        shown = (
            f"  {name}: {printable(_plain(value) if name != 'Metadata' else json.dumps(value))}"
            for name, value in facts.items()
        )
        printer.print("\n".join((address.text, *shown)), url=address.text, **facts)

    _each(arguments, show, Address.check_bucket)


def _cat(arguments: argparse.Namespace) -> None:
    def write(client: S3Client, address: Address, _printer: _Printer) -> None:
        from bleepstore_server.locations import BucketLocation

        write_out(BucketLocation(client, address.bucket, ""), entry_of(client, address, arguments.version_id))

    _each(arguments, write, Address.check_key)


def write_out(location: Location, entry: LocationEntry) -> None:
    """Write an object to standard output. Raises NotTransferred at its end if those were not its bytes."""
    with location.open(entry) as body:
        while piece := body.read(CHUNK):
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()
        body.check()


def entry_of(client: S3Client, address: Address, version_id: str | None = None) -> LocationEntry:
    """What HEAD says of an object, as a `LocationEntry`."""
    from bleepstore_server.locations import LocationEntry

    named: Any = {"Bucket": address.bucket, "Key": address.key}
    head = client.head_object(**(named if version_id is None else named | {"VersionId": version_id}))
    return LocationEntry(address.key, head["ContentLength"], head["ETag"].strip('"'), version_id)


def _versions(arguments: argparse.Namespace) -> None:
    def show(client: S3Client, address: Address, printer: _Printer) -> None:
        from bleepstore_server.locations import versions_in_order

        if arguments.status is not None:
            client.put_bucket_versioning(Bucket=address.bucket, VersioningConfiguration={"Status": arguments.status})
            return
        for found, is_delete_marker in versions_in_order(client, address.bucket, address.key):
            size = "delete marker" if is_delete_marker else f"{found['Size']:,}"
            current = "*" if found["IsLatest"] else " "
            printer.print(
                f"{_time(found['LastModified'])}  {size:>15} {current} {found['VersionId']}  {printable(found['Key'])}",
                key=found["Key"],
                version_id=found["VersionId"],
                is_latest=found["IsLatest"],
                is_delete_marker=is_delete_marker,
                size=found.get("Size", 0),
                last_modified=found["LastModified"],
            )

    arguments.addresses = [arguments.address]
    if arguments.status is not None and arguments.address.key:
        raise ConfigError(f"{arguments.address.text}: it is buckets that keep versions: name one")
    _each(arguments, show, Address.check_bucket)


# -- what is changed


def _mb(arguments: argparse.Namespace) -> None:
    def make(client: S3Client, address: Address, printer: _Printer) -> None:
        region = client.meta.region_name
        given: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client.create_bucket(Bucket=address.bucket, **given)
        printer.print(f"made {address.text}", bucket=address.bucket)

    _each(arguments, make, _check_is_bucket)


def _check_is_bucket(address: Address) -> None:
    address.check_bucket()
    if address.key:
        raise ConfigError(f"{address.text} names an object: name a bucket")


def _rb(arguments: argparse.Namespace) -> None:
    def remove(client: S3Client, address: Address, printer: _Printer) -> None:
        if arguments.force:
            _remove_all(client, address, _within(client, address, versions=True))
            for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=address.bucket):
                for upload in page.get("Uploads", ()):
                    client.abort_multipart_upload(Bucket=address.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        client.delete_bucket(Bucket=address.bucket)
        printer.print(f"removed {address.text}", bucket=address.bucket)

    _each(arguments, remove, _check_is_bucket)


def _rm(arguments: argparse.Namespace) -> None:
    if arguments.versions and not arguments.recursive:
        raise ConfigError("--versions: it is for -r; --version-id removes one version")
    if arguments.recursive and arguments.version_id is not None:
        raise ConfigError("--version-id: it is of one object, and -r is for many")

    def remove(client: S3Client, address: Address, printer: _Printer) -> None:
        if arguments.recursive:
            found = _within(client, address, arguments.versions)
            if arguments.dry_run:
                for one in found:
                    printer.print(f"would remove {printable(one['Key'])}", key=one["Key"])
                return
            count = _remove_all(client, address, found)
            printer.print(f"removed {count:,} from {address.text}", url=address.text, removed=count)
        elif arguments.dry_run:
            printer.print(f"would remove {printable(address.key)}", key=address.key)
        else:
            client.delete_object(**_named(address, arguments))
            printer.print(f"removed {printable(address.text)}", key=address.key)

    _each(arguments, remove, Address.check_bucket if arguments.recursive else Address.check_key)


def _remove_all(client: S3Client, address: Address, found: Iterable[Mapping[str, Any]]) -> int:
    """Remove objects, or versions of them; returns how many. Raises StoreError if one could not be removed."""
    done = failed = 0
    entries = iter(found)
    with shown_progress("rm", "objects") as progress:
        while batch := list(itertools.islice(entries, _BATCH)):
            wanted: Any = [
                {"Key": one["Key"]} | ({"VersionId": one["VersionId"]} if "VersionId" in one else {}) for one in batch
            ]
            answer = client.delete_objects(Bucket=address.bucket, Delete={"Objects": wanted, "Quiet": True})
            errors = answer.get("Errors", ())
            for error in errors:
                sys.stderr.write(f"failed: {error.get('Key', '')!r}: {error.get('Code')}: {error.get('Message')}\n")
            failed += len(errors)
            done += len(batch) - len(errors)
            progress(done, done)
    if failed:
        raise StoreError(f"{address.text}: {failed:,} could not be removed, {done:,} were")
    return done


def _tag(arguments: argparse.Namespace) -> None:
    given = dict(_pair(text) for text in arguments.tags)
    if given and arguments.remove:
        raise ConfigError("--remove: it removes all tags: give none")

    def show_or_set(client: S3Client, address: Address, printer: _Printer) -> None:
        named: Any = _named(address, arguments) if address.key else {"Bucket": address.bucket}
        put, delete, get = (
            getattr(client, f"{verb}_{'object' if address.key else 'bucket'}_tagging")
            for verb in ("put", "delete", "get")
        )
        if arguments.remove:
            delete(**named)
        elif given:
            put(**named, Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in given.items()]})
        else:
            tags = {tag["Key"]: tag["Value"] for tag in _tag_set(client, get, named)}
            if arguments.json:
                printer.print("", url=address.text, tags=tags)
            for key, value in {} if arguments.json else tags.items():
                print(printable(f"{key}={value}"))

    arguments.addresses = [arguments.address]
    _each(arguments, show_or_set, Address.check_bucket)


def _tag_set(client: S3Client, get: Callable[..., Any], named: Mapping[str, Any]) -> list[Mapping[str, str]]:
    try:
        found: list[Mapping[str, str]] = get(**named)["TagSet"]
    except client.exceptions.ClientError as error:
        if error.response["Error"].get("Code") != "NoSuchTagSet":
            raise
        return []
    return found


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError(f"{text!r} is not KEY=VALUE")
    return key, value


def _presign(arguments: argparse.Namespace) -> None:
    def make(client: S3Client, address: Address, printer: _Printer) -> None:
        url = client.generate_presigned_url(
            f"{arguments.method}_object", Params=_named(address, arguments), ExpiresIn=arguments.expires
        )
        printer.print(url, url=url, method=arguments.method.upper(), expires=arguments.expires)

    def check(address: Address) -> None:
        address.check_key()
        if address.scheme == OURS:
            raise ConfigError(
                f"{address.text}: a folder has no address on the network: name {S3}{address.bucket}/... and the "
                "--endpoint-url of its server"
            )

    _each(arguments, make, check)
