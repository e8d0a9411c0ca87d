"""`bleepstore cp` and `mv`: files and objects, one or a whole folder, from and to an S3 endpoint or a store."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bleepstore.errors import StoreError
from bleepstore_server.addresses import Address, Clients, NotThere, refusals_told
from bleepstore_server.app_config import ConfigError
from bleepstore_server.cli_objects import ADDRESSES, common_options, entry_of, printable, write_out
from bleepstore_server.cli_transfer import add_jobs, tell
from bleepstore_server.progress import shown_progress

if TYPE_CHECKING:
    from bleepstore_server.locations import BucketLocation, Directory, LocationEntry

_PATHS = """\
Anything else is the path of a file; - is standard input or output. A target that ends in /, a bucket, or a directory
takes what comes under its own name. With -r both are folders, and what is equal at both is left as it is.

"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, help in (("cp", "copy files and objects"), ("mv", "move files and objects")):
        parser = commands.add_parser(
            name,
            help=help,
            parents=[common_options()],
            description=f"{help.capitalize()}, verified on their way.",
            epilog=_PATHS + ADDRESSES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("sources", metavar="SOURCE", nargs="+", type=Address.parse)
        parser.add_argument("target", metavar="TARGET", type=Address.parse)
        parser.add_argument("-r", "--recursive", action="store_true", help="a whole folder, directory or bucket")
        parser.add_argument("--dry-run", action="store_true", help="with -r: only say what would be done")
        add_jobs(parser)
        if name == "cp":
            parser.add_argument("--version-id", metavar="ID", help="that version of the source")
        parser.add_argument("--content-type", metavar="TYPE", help="instead of the source's, or of what its name says")
        parser.add_argument("--storage-class", metavar="CLASS")
        parser.add_argument("--metadata", metavar="KEY=VALUE", action="append", default=[], help="repeat for more")
        parser.set_defaults(run=_copy, moves=name == "mv", version_id=None)


def _copy(arguments: argparse.Namespace) -> None:
    sources, target = arguments.sources, arguments.target
    for source in sources:
        _check_pair(source, target, arguments)
    copier = _Copier(arguments)
    with copier:
        for source in sources:
            with refusals_told(f"{source.text} to {target.text}"):
                if arguments.recursive:
                    copier.copy_folder(source)
                else:
                    copier.copy_one(source)


def _check_pair(source: Address, target: Address, arguments: argparse.Namespace) -> None:
    """Raise ConfigError for two ends between which nothing can be brought without a loss."""
    if not source.scheme and not target.scheme:
        raise ConfigError("both are paths: name a bucket, as s3://BUCKET or bleepstore://BUCKET")
    for address in (source, target):
        if address.scheme:
            address.check_bucket()
    if arguments.moves and source.scheme and target.scheme and source.scheme != target.scheme:
        raise ConfigError(
            "a folder and an endpoint may be one store, where a move would remove what it brought: use cp, then rm"
        )
    if source.scheme == target.scheme and source.bucket == target.bucket and arguments.recursive:
        one, other = source.folder, target.folder
        if one.startswith(other) or other.startswith(one):
            raise ConfigError(f"{source.text} and {target.text}: one is in the other")
    if arguments.recursive:
        if _options(arguments) or arguments.version_id is not None:
            raise ConfigError("--content-type, --storage-class, --metadata, --version-id: they are for one object")
        if len(arguments.sources) > 1:
            raise ConfigError("-r: name one source")
    elif arguments.dry_run:
        raise ConfigError("--dry-run: it is for -r")
    elif source.scheme and not source.key:
        raise ConfigError(f"{source.text} is a bucket: -r copies all that is in it")


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What is said of the object, by the parameters of PutObject."""
    pairs = [text.partition("=") for text in arguments.metadata]
    for key, separator, _ in pairs:
        if not (key and separator):
            raise ConfigError("--metadata: KEY=VALUE")
    given = {
        "ContentType": arguments.content_type,
        "StorageClass": arguments.storage_class,
        "Metadata": {key: value for key, _, value in pairs} or None,
    }
    return {name: value for name, value in given.items() if value is not None}


class _Copier(Clients):
    """Carries out one command."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments, connections=2 * arguments.jobs)
        self._options = _options(arguments)

    def _say(self, line: str, **facts: object) -> None:
        print(json.dumps(facts) if self.arguments.json else line)

    # -- one

    def copy_one(self, source: Address) -> None:
        """Raises NotThere, StoreError, what endpoints refuse."""
        target = self._target_of(source)
        if source.text == "-":
            self._send_input(target)
            return
        is_itself = (source.scheme, source.bucket, source.key) == (target.scheme, target.bucket, target.key)
        if is_itself and self.arguments.moves:
            raise ConfigError(f"{source.text}: it is there already")
        origin, entry = self._source(source)
        if target.text == "-":
            write_out(origin, entry)
        else:
            self._carry(origin, entry, target)
            self._say(f"{printable(source.text)} to {printable(target.text)}", source=source.text, target=target.text)
        if self.arguments.moves:
            origin.remove(entry)

    def _target_of(self, source: Address) -> Address:
        target: Address = self.arguments.target
        if target.scheme:
            takes = not target.key or target.key.endswith("/")
        else:
            takes = target.text != "-" and (target.text.endswith("/") or Path(target.text).is_dir())
        if not takes:
            if len(self.arguments.sources) > 1:
                raise ConfigError(f"{target.text} is no folder: it takes one source")
            return target
        if source.text == "-":
            raise ConfigError(f"{target.text}: standard input has no name: name the object")
        name = (source.key if source.scheme else Path(source.text).name).rstrip("/").rpartition("/")[2]
        text = target.text if target.text.endswith("/") else f"{target.text}/"
        return Address.parse(text + name)

    def _source(self, source: Address) -> tuple[BucketLocation | Directory, LocationEntry]:
        from bleepstore_server.locations import BucketLocation, LocationEntry

        if source.scheme:
            client = self.of(source)
            return BucketLocation(client, source.bucket, ""), entry_of(client, source, self.arguments.version_id)
        path = Path(source.text)
        if path.is_dir():
            raise ConfigError(f"{source.text} is a directory: -r copies all that is in it")
        if not path.exists():
            raise NotThere(f"there is no file {source.text}")
        return self._directory(path.parent), LocationEntry(path.name, path.stat().st_size)

    def _directory(self, path: Path, refused: Callable[[str, str], None] | None = None) -> Directory:
        from bleepstore_server.locations import Directory

        reserved = None if self.config.in_memory else Path(self.config.data)
        return Directory(path, refused or _raise, lambda key, why: tell("left out", key, why), reserved)

    def _carry(self, origin: BucketLocation | Directory, entry: LocationEntry, target: Address) -> None:
        from bleepstore_server.locations import MAX_COPIED, BucketLocation

        to: BucketLocation | Directory
        if target.scheme:
            to, key = BucketLocation(self.of(target), target.bucket, ""), target.key
        else:
            path = Path(target.text)
            to, key = self._directory(path.parent), path.name
        if (
            isinstance(origin, BucketLocation)
            and isinstance(to, BucketLocation)
            and origin.client is to.client
            and not self._options
            and entry.size <= MAX_COPIED
        ):
            to.copy(key, origin, entry)
            return
        with shown_progress(printable(entry.key)) as progress, origin.open(entry) as body:
            done = 0

            def count(size: int) -> None:
                nonlocal done
                done += size
                progress(done, entry.size)

            body.count = count
            body.described = {**body.described, **self._options}
            to.put(key, body)

    def _send_input(self, target: Address) -> None:
        if not target.key:
            raise ConfigError(f"{target.text}: standard input has no name: name the object")
        if self.arguments.moves:
            raise ConfigError("standard input cannot be moved: use cp")
        done = 0
        with shown_progress("-") as progress:

            def count(size: int) -> None:
                nonlocal done
                done += size
                progress(done, done)

            self.of(target).upload_fileobj(
                sys.stdin.buffer, target.bucket, target.key, ExtraArgs=self._options, Callback=count
            )

    # -- folders

    def copy_folder(self, source: Address) -> None:
        """Raises StoreError if something could not be brought."""
        from bleepstore_server.locations import BucketLocation
        from bleepstore_server.transfer import ObjectCopy, ObjectTransfer

        if not source.scheme and not Path(source.text).is_dir():
            raise NotThere(f"there is no directory {source.text}")
        arguments, refused = self.arguments, _Later()
        ends = [self._folder(address, refused) for address in (source, arguments.target)]
        both = all(isinstance(end, BucketLocation) for end in ends) and source.scheme == arguments.target.scheme
        kind: Any = ObjectCopy if both else ObjectTransfer
        with shown_progress("mv" if arguments.moves else "cp") as progress:
            transfer = kind(
                source=ends[0],
                target=ends[1],
                progress=progress,
                tell=tell,
                dry_run=arguments.dry_run,
                moves=arguments.moves,
                jobs=arguments.jobs,
            )
            refused.call = transfer.refuse
            outcome = transfer.run()
        self._say(
            f"{outcome.brought:,} objects {'moved' if arguments.moves else 'copied'} ({outcome.bytes:,} bytes), "
            f"{outcome.equal:,} were equal" + (" (nothing was done: a dry run)" if arguments.dry_run else ""),
            copied=outcome.brought,
            bytes=outcome.bytes,
            equal=outcome.equal,
            failed=outcome.failed,
        )
        if outcome.failed:
            raise StoreError(f"{outcome.failed:,} could not be {'moved' if arguments.moves else 'copied'}")

    def _folder(self, address: Address, refused: Callable[[str, str], None]) -> BucketLocation | Directory:
        from bleepstore_server.locations import BucketLocation

        if not address.scheme:
            return self._directory(Path(address.text), refused)
        return BucketLocation(self.of(address), address.bucket, address.folder)


class _Later:
    """Calls what is known later."""

    def __init__(self) -> None:
        self.call: Callable[[str, str], None] = _raise

    def __call__(self, key: str, why: str) -> None:
        self.call(key, why)


def _raise(key: str, why: str) -> None:
    raise StoreError(f"{key}: {why}")
