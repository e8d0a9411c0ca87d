"""boto3 without a socket: botocore's requests reach a store of this process.

One client, which nothing else shares:

    client = client_for(store)              # a new boto3 client
    attach(client, store)                   # one that exists

All S3 clients of the process, for the length of a block, also those that were made before it:

    with in_process() as store:
        boto3.client("s3").create_bucket(Bucket="photos")

A request goes from botocore's `before-send` event through the same WSGI app that serves HTTP: signatures, checksums,
conditions and XML are all real; only the socket is missing. Bodies stream in both directions. Services other than
S3 and STS are left alone, and so is what goes to a `live_server` of this process: it has a store of its own.

requests, urllib3, urllib and httpx reach the store of a block by presigned URLs. What else speaks no botocore (pyarrow,
obstore, other languages) or speaks it asynchronously (aiobotocore, s3fs) needs a socket: `live_server`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import bleepstore
from bleepstore import Store
from bleepstore.errors import StoreError
from bleepstore_server.app_config import WELL_KNOWN, AppConfig
from bleepstore_server.clients import client_environ, test_config
from bleepstore_server.decorating import decorate
from bleepstore_server.switchboard import Block, switchboard
from bleepstore_server.transport import InProcessTransport

if TYPE_CHECKING:
    from bleepstore_server.faults import Faults
    from bleepstore_server.layers.record import Recorder

_Target = TypeVar("_Target", bound=Callable[..., Any])


class in_process:
    """A `with` block in which every S3 client of this process reaches `store`, or a new one in memory.

    As a decorator, `@in_process()`, it is such a block around each call of a function, a coroutine or a generator (a
    fixture that yields), and around each test of a class, unittest's or pytest's, with its set-up and teardown; with a
    new store for each. `start()` gives the store and `stop()` ends the block where there is no `with`.

    The block gives the store. Within it the environment has an access key that the store accepts, so that
    `boto3.client("s3")` just works; with `environment=False` it is left alone, and the keys of the clients must be
    known to the store. With `accept_any_key=True` the store accepts whatever key the clients of this process have: the
    block sees the secret when they sign, so that signatures, expiry and digests are verified as ever.

    What requests, urllib3, urllib and httpx send to Amazon S3, or to a host for which a client presigned a URL within
    the block, reaches the store too. Blocks nest: the innermost counts. A store that was passed in stays open.
    `record` is called with a `Record` for each request (see `create_app`). `acl_defaults="legacy"` is for code that
    needs ACLs: what the buckets of a new store are set to, `random_seed` makes the answers of a new store the same in
    each run (for both see `bleepstore.open`).

    Raises StoreError on entry while another thread is in such a block.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        config: AppConfig | None = None,
        faults: Faults | None = None,
        record: Recorder | None = None,
        environment: bool = True,
        accept_any_key: bool = False,
        acl_defaults: str = "s3",
        random_seed: int | None = None,
    ) -> None:
        if callable(store):
            raise TypeError("write @in_process() with parentheses")
        self._given = store
        self._config = config or test_config()
        self._faults = faults
        self._record = record
        self._environment = environment
        self._accept_any_key = accept_any_key
        self._acl_defaults = acl_defaults
        self._random_seed = random_seed
        self._entered: list[contextlib.ExitStack] = []

    def __call__(self, target: _Target) -> _Target:
        return decorate(target, self._again)

    def _again(self) -> in_process:
        """A block with the same options: calls may overlap, as those of coroutines do, and end in any order."""
        return in_process(
            self._given,
            config=self._config,
            faults=self._faults,
            record=self._record,
            environment=self._environment,
            accept_any_key=self._accept_any_key,
            acl_defaults=self._acl_defaults,
            random_seed=self._random_seed,
        )

    def __enter__(self) -> Store:
        with contextlib.ExitStack() as stack:
            store = self._given
            if store is None:
                store = stack.enter_context(
                    bleepstore.open(acl_defaults=self._acl_defaults, random_seed=self._random_seed)
                )
            environ = self._wanted_environ() if self._environment else None
            pair = self._pair() or WELL_KNOWN
            transport = InProcessTransport(store, self._config, self._faults, self._record)
            block = Block(transport, environ, self._accept_any_key, pair)
            switchboard.enter(block)
            stack.callback(switchboard.leave, block)
            self._entered.append(stack.pop_all())
        return store

    def __exit__(self, *error: object) -> None:
        self._entered.pop().close()

    def start(self) -> Store:
        """Begin the block, where no `with` can be written; `stop` must follow."""
        return self.__enter__()

    def stop(self) -> None:
        """End the block that `start` began. Raises StoreError if there is none."""
        if not self._entered:
            raise StoreError("stop() without start(): this in_process() block has not begun, or has ended.")
        self.__exit__()

    def _pair(self) -> tuple[str, str] | None:
        config = self._config
        if config.access_key is not None and config.secret_key is not None:
            return config.access_key, config.secret_key
        return WELL_KNOWN if config.allow_well_known_key else None

    def _wanted_environ(self) -> dict[str, str | None]:
        pair = self._pair()
        if pair is None:
            raise StoreError(
                "This configuration has no access key for the environment: set access_key and secret_key, or "
                "allow_well_known_key, or pass environment=False."
            )
        environ: dict[str, str | None] = dict(client_environ(*pair, self._config.region))
        return environ | dict.fromkeys(("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE"))
