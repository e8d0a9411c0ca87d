"""What a store can be told when it is opened."""

from __future__ import annotations

import datetime as dt
import functools
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import attrs

from bleepstore.backends.gateway.names import Layout
from bleepstore.backends.gateway.settings import GatewaySettings, is_gateway_url, parse_url
from bleepstore.clock import TickingClock, now_ms
from bleepstore.errors import StoreError
from bleepstore.model import BucketSetting, Owner
from bleepstore.names import check_bucket_name
from bleepstore.ownership import BLOCK_ALL, ObjectOwnership, PublicAccessBlock
from bleepstore.remotes import Remote, open_remote
from bleepstore.senders import OpenSender, open_sender

if TYPE_CHECKING:
    from bleepstore.sealing.keys import KeyService

#: The owner of what the embedding application creates, unless another is named.
DEFAULT_OWNER = Owner("bleepstore", "bleepstore")
#: Objects up to this many bytes are kept in the catalog: one fsync, which many share, instead of three
#: (docs/adr/0041-sixty-four-kilobytes.md).
INLINE_LIMIT = 64 * 1024
#: In memory there is no fsync to save, and a fork copies the catalog. But it costs less to drop a small object that is
#: replaced with its row than by a job: with no object in the catalog a PUT over another is slower by a fifth.
MEMORY_INLINE_LIMIT = 1024
#: Beside a catalog: the master keys of encryption that were made here.
KEY_FILE = "encryption.keys"
UPLOAD_EXPIRY = dt.timedelta(days=7)
#: What new buckets are set to. "s3", as at Amazon since April 2023: their objects are the owner's, access control lists
#: are disabled, and nothing is public. "legacy": objects are their writers', lists count, nothing is blocked.
ACL_DEFAULTS: Mapping[str, tuple[BucketSetting, ...]] = {
    "s3": (
        BucketSetting("ownership", ObjectOwnership.BUCKET_OWNER_ENFORCED),
        BucketSetting("public_access_block", BLOCK_ALL),
    ),
    "legacy": (),
}


#: Names of queues, topics and functions, as they are in an ARN.
_DESTINATION = re.compile(r"[A-Za-z0-9_.-]{1,256}")


def _check_kind(name: str, value: object, kind: object, wanted: str) -> None:
    if not isinstance(value, kind):  # type: ignore[arg-type]  # unions are allowed
        raise TypeError(f"{name} is {wanted}, not {type(value).__name__}: {value!r}")


@attrs.frozen(kw_only=True)
class Settings:
    """What is the same wherever a store's bytes are. `inline_limit` None keeps no object in the catalog."""

    owner: Owner = DEFAULT_OWNER
    inline_limit: int | None = None
    upload_expiry: dt.timedelta = UPLOAD_EXPIRY
    restore_delay: dt.timedelta = dt.timedelta()
    clock: Callable[[], int] = now_ms
    acl_defaults: str = "s3"
    public_access_block: PublicAccessBlock | None = None
    encryption_keys: KeyService | str | os.PathLike[str] | None = None
    random_seed: int | None = None
    event_destinations: Mapping[str, str | OpenSender] = attrs.field(factory=dict, repr=False)  # URLs have secrets
    replication_destinations: Mapping[str, str | Remote] = attrs.field(factory=dict, repr=False)

    @classmethod
    def of(cls, options: OpenOptions, *, clock: Callable[[], int], **others: Any) -> Settings:
        """With those of the options that are not for a provider. The time of a program whose every run is the same is a
        fixed one, unless it has a clock of its own."""
        mine: Any = {name: value for name, value in options.items() if name in _OF_ALL_STORES}
        if options.get("random_seed") is not None and clock is now_ms:
            clock = TickingClock()
        return cls(clock=clock, **others, **mine)

    def __attrs_post_init__(self) -> None:
        _check_kind("owner", self.owner, Owner, "an Owner")
        _check_kind("inline_limit", self.inline_limit, int | None, "a number of bytes, or None")
        _check_kind("upload_expiry", self.upload_expiry, dt.timedelta, "a datetime.timedelta")
        _check_kind("restore_delay", self.restore_delay, dt.timedelta, "a datetime.timedelta")
        _check_kind("clock", self.clock, Callable, "a function that gives milliseconds")
        _check_kind("public_access_block", self.public_access_block, PublicAccessBlock | None, "a PublicAccessBlock")
        _check_kind("random_seed", self.random_seed, int | None, "a whole number, or None")
        if self.acl_defaults not in ACL_DEFAULTS:
            raise StoreError(f"acl_defaults: {self.acl_defaults!r} is neither 's3' nor 'legacy'")
        for name, destination in self.event_destinations.items():
            if not _DESTINATION.fullmatch(name):
                raise StoreError(f"event_destinations: {name!r} is no name of a queue: letters, numbers, _ . -")
            if isinstance(destination, str):
                open_sender(destination).close()
        for name, remote in self.replication_destinations.items():
            check_bucket_name(name)
            if isinstance(remote, str):
                open_remote(remote)

    @property
    def remotes(self) -> Mapping[str, Remote]:
        """The buckets elsewhere that versions may be copied to."""
        return {
            name: open_remote(one) if isinstance(one, str) else one
            for name, one in self.replication_destinations.items()
        }

    @property
    def senders(self) -> Mapping[str, OpenSender]:
        """What opens the senders of the destinations of events."""
        return {
            name: functools.partial(open_sender, one) if isinstance(one, str) else one
            for name, one in self.event_destinations.items()
        }

    @property
    def upload_expiry_ms(self) -> int:
        return self.upload_expiry // dt.timedelta(milliseconds=1)

    @property
    def restore_delay_ms(self) -> int:
        return max(self.restore_delay // dt.timedelta(milliseconds=1), 0)

    def with_inline_limit(self, default: int) -> Settings:
        """These settings, with `default` where no limit is given."""
        if self.inline_limit is not None:
            return self
        return Settings(
            owner=self.owner,
            inline_limit=default,
            upload_expiry=self.upload_expiry,
            restore_delay=self.restore_delay,
            clock=self.clock,
            acl_defaults=self.acl_defaults,
            public_access_block=self.public_access_block,
            encryption_keys=self.encryption_keys,
            random_seed=self.random_seed,
            event_destinations=self.event_destinations,
            replication_destinations=self.replication_destinations,
        )  # attrs.evolve takes ten times as long


class AccessOptions(TypedDict, total=False):
    """The options of `open` that say who may get at what by default, as its docstring says."""

    acl_defaults: str
    public_access_block: PublicAccessBlock | None


class EventOptions(TypedDict, total=False):
    """The options of `open` that say where events and copies go."""

    event_destinations: Mapping[str, str | OpenSender]
    replication_destinations: Mapping[str, str | Remote]


class SeedOptions(TypedDict, total=False):
    """The options of `open` that make the runs of a test equal."""

    random_seed: int | None


class StoreOptions(AccessOptions, EventOptions, SeedOptions, total=False):
    """These, and how long it takes until an archived object can be read."""

    restore_delay: dt.timedelta


class OpenOptions(StoreOptions, total=False):
    """These, and the options for a store at a provider."""

    catalog: str | os.PathLike[str] | None
    layout: str
    endpoint_url: str | None
    connections: int
    take_over: bool


_OF_ALL_STORES = frozenset(StoreOptions.__annotations__)


@attrs.frozen(kw_only=True)
class ProviderSettings:
    """The values of the options for a store at a provider."""

    catalog: str | os.PathLike[str] | None = None
    layout: str = "keys"
    endpoint_url: str | None = None
    connections: int = 16
    take_over: bool = False

    @classmethod
    def of(cls, options: OpenOptions) -> ProviderSettings:
        """Raises TypeError for an option that there is not."""
        unknown = options.keys() - OpenOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"open() has no option {min(unknown)!r}")
        mine: Any = {name: value for name, value in options.items() if name not in _OF_ALL_STORES}
        return cls(**mine)

    def __attrs_post_init__(self) -> None:
        _check_kind("connections", self.connections, int, "a number")
        check_location(self.catalog, "catalog")

    def gateway(self, url: str, settings: Settings) -> GatewaySettings:
        """The gateway at this URL. Raises StoreError."""
        if self.layout not in list(Layout):
            known = " nor ".join(repr(str(one)) for one in Layout)
            raise StoreError(f"the layout {self.layout!r} is neither {known}")
        if self.layout == Layout.KEYS and settings.inline_limit is not None and settings.inline_limit >= 0:
            raise StoreError(
                "inline_limit: in the layout 'keys' every object is stored at the provider, none in the catalog"
            )
        scheme, container, prefix = parse_url(url)
        return GatewaySettings(
            scheme=scheme,
            container=container,
            prefix=prefix,
            layout=Layout(self.layout),
            endpoint_url=self.endpoint_url,
            connections=self.connections,
        )


#: As a path it would be a folder named "s3:", also where pathlib has made one slash of two.
_LIKE_A_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]*:/")


def check_location(location: object, what: str, *, urls: bool = False) -> None:
    """Refuse what would become a folder by mistake. Raises StoreError, TypeError."""
    if location is None:
        return
    if not isinstance(location, str | os.PathLike):
        raise TypeError(
            f"{what} is a folder or a URL (str or os.PathLike), not {type(location).__name__}: {location!r}"
        )
    text = os.fspath(location)
    if not isinstance(text, str):
        raise TypeError(f"{what} is a str, not {type(text).__name__}: os.fsdecode() makes one")
    if not text:
        raise StoreError(f"{what} is empty: name a folder; open() without a path is a store in memory")
    if text == ":memory:":
        raise StoreError(f"{what}: ':memory:' is for `bleepstore serve`; open() without a path is a store in memory")
    if _LIKE_A_URL.match(text) and not (urls and is_gateway_url(location)):
        raise StoreError(
            f"{what}: {location!r} is no folder. The stores at a URL are open('s3://...'), 'gs://' and 'az://', as str."
        )
