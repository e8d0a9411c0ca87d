"""From a configuration to a running server."""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import functools
import logging
import os
import secrets
import ssl
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import attrs

import bleepstore
from bleepstore import Store
from bleepstore.backends.gateway.settings import GatewaySettings, open_gateway, parse_url
from bleepstore.errors import BleepStoreError
from bleepstore_server import beginning, gunicorn_conf
from bleepstore_server.admin.app import AdminApp
from bleepstore_server.admin.control import LogLevel
from bleepstore_server.admin.services import check_traces, services_of
from bleepstore_server.app import create_app
from bleepstore_server.app_config import ConfigError
from bleepstore_server.banner import (
    ShownKeys,
    keys_configured,
    keys_made,
    keys_stored,
    keys_well_known,
    render_banner,
    storage_note,
    url_of,
)
from bleepstore_server.config import OF_WORKERS, PREFIX, ServerConfig, load_config
from bleepstore_server.console import console_on_demand
from bleepstore_server.console.shared import Shared
from bleepstore_server.layers.record import start_access_log
from bleepstore_server.listeners import Listeners, pre_fork
from bleepstore_server.master_keys import configured_keys
from bleepstore_server.metrics.page import Page
from bleepstore_server.rates import RateMeter

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = logging.getLogger("bleepstore.server")
_WORKER = "bleepstore_server.worker"

_MAX_PORT = 65535
#: Where the console is at the admin address.
CONSOLE = "/console"


def open_configured_store(config: ServerConfig, *, take_over: bool = False) -> Store:
    """The store that `config` names. Raises what `bleepstore.open` does."""
    data = None if config.in_memory else config.data
    open_store = functools.partial(
        bleepstore.open,
        inline_limit=config.inline_limit,
        upload_expiry=dt.timedelta(days=config.upload_expiry_days),
        restore_delay=dt.timedelta(seconds=config.restore_delay),
        encryption_keys=configured_keys(config.encryption_key_file, config.encryption_keys),
        acl_defaults=config.acl_defaults,
        public_access_block=config.blocked_everywhere,
        event_destinations=config.destinations,
        replication_destinations=config.remotes,
    )
    if config.backend_url is None:
        return open_store(data, read_only=config.read_only)
    return open_store(
        config.backend_url,
        catalog=data,
        layout=config.backend_layout,
        endpoint_url=config.backend_endpoint_url,
        connections=max(config.threads, 4),
        take_over=take_over,
    )


def check_backend(url: str, endpoint_url: str | None) -> None:
    """Raise if a provider cannot be used as configured. To open a store without a catalog would list all objects."""
    scheme, container, prefix = parse_url(url)
    settings = GatewaySettings(scheme=scheme, container=container, prefix=prefix, endpoint_url=endpoint_url)
    with contextlib.closing(open_gateway(settings)) as gateway:
        gateway.check()


def app_from_env() -> WSGIApplication:
    """The WSGI app that the BLEEPSTORE_* environment describes; call it in each worker, after the fork."""
    _check_worker()
    config = load_config(environ=os.environ)
    store = open_to_serve(config)
    return make_app(config, store, make_admin(config, store))


def _check_worker() -> None:
    """Warn of a gunicorn that was not told which worker to run: it says so in the environment of its processes, and has
    imported the worker before the app."""
    if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/") and _WORKER not in sys.modules:
        _log.warning(
            "gunicorn serves this app with a worker of its own, such as sync: a client that stalls keeps it from all "
            "others, and metadata whose names have an underscore is lost. Give it the option "
            "-c python:bleepstore_server.gunicorn_conf (or at least -k %s.Worker).",
            _WORKER,
        )


def admin_from_env() -> WSGIApplication:
    """The WSGI app of the admin address for the store that the BLEEPSTORE_* environment describes, for servers that
    have one app. It counts no requests, which are other processes'."""
    config = load_config(environ=os.environ)
    return make_admin(config, open_to_serve(config))


def open_to_serve(config: ServerConfig, *, begins: bool = True) -> Store:
    """The store that `config` names, with its jobs; it is closed at the end of the process. If it `begins` here, it is
    given what the configuration says (`beginning`)."""
    store = open_configured_store(config)
    # A worker that ends in order leaves no write-ahead log: catalog.db alone is then the whole catalog.
    atexit.register(store.close)
    if begins:
        beginning.begin(store, config)
    if config.scrub_interval_days:
        interval = dt.timedelta(days=config.scrub_interval_days)
        store.scrub_every(interval, rate=config.scrub_rate)
    elif store.path is not None:
        store.scrub_when_asked(rate=config.scrub_rate)
    store.jobs.start()
    return store


def make_admin(
    config: ServerConfig,
    store: Store,
    *,
    page: Page | None = None,
    meter: RateMeter | None = None,
    shared: Shared | None = None,
    log_level: LogLevel | None = None,
) -> AdminApp:
    """The app of the admin address. `page` has the figures of all workers, and `log_level` is that of all; for the
    others see `Console`."""
    services = services_of(store, config, page, log_level)
    mounts: dict[str, WSGIApplication] = {}
    if config.console:
        mounts[CONSOLE] = console_on_demand(services, meter=meter, shared=shared)
    return AdminApp(services, mounts=mounts)


def make_app(config: ServerConfig, store: Store, admin: AdminApp, meter: RateMeter | None = None) -> WSGIApplication:
    """The S3 app of a store, with the faults that `config` asks for. For `meter` see `create_app`."""
    record = start_access_log() if config.access_log else None
    app = create_app(store, config, record=record, meter=meter, monitoring=admin.monitoring())
    if config.faults:
        from bleepstore_server.faults import Faults, parse_rule

        faults = Faults([parse_rule(text) for text in config.faults], seed=config.fault_seed)
        app = faults.wrap(app, config.domains)
    return app


def keys_for(config: ServerConfig) -> tuple[ServerConfig, ShownKeys]:
    """The configuration to serve with, and the keys to show. Where there are none, they are made: random ones.

    A store in a folder keeps its new key; one in memory begins in the worker, so its key goes into the configuration.
    The store is opened in any case: what is wrong with it is one line here, and pages of traceback in a worker.
    """
    known: list[str] | None = None
    note = ""
    pair = "BLEEP" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30)
    is_configured = config.access_key is not None or config.allow_well_known_key
    if not config.in_memory:
        with open_configured_store(attrs.evolve(config, event_destinations=(), replication_destinations=())) as store:
            beginning.begin(store, config)
            credentials = store.list_credentials()
            if not is_configured and not credentials and not config.read_only:
                store.put_credential(*pair)
            elif not is_configured:
                own_first = sorted(credentials, key=lambda known: known.owner != store.owner)
                known = [credential.access_key for credential in own_first if credential.enabled]
            note = storage_note(*store.accounts.count_secrets())
    elif config.backend_url is not None:
        check_backend(config.backend_url, config.backend_endpoint_url)
    if config.access_key is not None:
        shown = keys_configured(config)
    elif config.allow_well_known_key:
        shown = keys_well_known()
    elif known is not None:
        shown = keys_stored(config, known)
    else:
        shown = keys_made(config, pair)
        if config.in_memory:
            config = attrs.evolve(config, access_key=pair[0], secret_key=pair[1])
    return config, attrs.evolve(shown, storage_note=note)


def _bind(listeners: Listeners, config: ServerConfig) -> ServerConfig:
    """`config` with the ports that are bound: that of S3, and that of the admin address, or None if there is none."""
    port = listeners.bind(config.host, config.port, count=config.workers, names="host and port")
    return attrs.evolve(config, port=port, admin_port=_bind_admin(listeners, config, port) if config.admin else None)


def _bind_admin(listeners: Listeners, config: ServerConfig, port: int) -> int:
    """All workers listen there on one socket: few ask."""
    wanted, names = config.admin_port, "admin_host and admin_port"
    if wanted is not None:
        if wanted == port:
            raise ConfigError(f"admin_port: {port} is the S3 port already")
        return listeners.bind(config.admin_host, wanted, count=1, names=names)
    try:
        beside = 0 if config.port == 0 or port == _MAX_PORT else port + 1
        return listeners.bind(config.admin_host, beside, count=1, names=names)
    except ConfigError:  # nobody asked for this very port
        return listeners.bind(config.admin_host, 0, count=1, names=names)


def _with_console_url(config: ServerConfig) -> ServerConfig:
    """`config` has the admin port that was found."""
    if not config.console or config.admin_port is None or config.console_url is not None:
        return config
    return attrs.evolve(config, console_url=f"{url_of(config, config.admin_host, config.admin_port)}{CONSOLE}/")


def _say_when_all_listen(workers: int, text: str) -> Any:
    """A gunicorn hook for each worker that has begun to listen; the last of the first ones prints `text`.

    The workers count down through a pipe that holds a byte for each of them.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.write(writing, bytes(reversed(range(min(workers, 256)))))
    os.close(writing)

    def post_worker_init(_worker: object) -> None:
        if os.read(reading, 1) == b"\0":
            sys.stdout.write(text)
            sys.stdout.flush()

    return post_worker_init


#: What a running server keeps of its configuration when it is told to read it again.
_FIXED = (
    "data", "host", "port", "admin", "admin_host", "admin_port", "log_format", "backend_url", "backend_layout",
    "backend_endpoint_url",
)  # fmt: skip


def _reloaded(serving: ServerConfig, load: Callable[[], ServerConfig], *, has_made_key: bool) -> ServerConfig | None:
    """The configuration to go on with after SIGHUP; None if workers could not begin with it, for a worker that cannot
    begin ends the server. It goes on with the key that it `has_made`, but with no configured one that is configured no
    more."""
    try:
        new = load()
        kept = {name: getattr(serving, name) for name in _FIXED if getattr(serving, name) != getattr(new, name)}
        # Who leaves a port to the system has no other in mind than the one that was found.
        told = [name for name in kept if name not in ("port", "admin_port") or getattr(new, name)]
        if serving.in_memory and new.access_key is None:
            if not has_made_key:
                raise ConfigError(
                    "access_key: a store in memory has no other key than the configured one, which was taken away: "
                    "configure another"
                )
            kept |= {"access_key": serving.access_key, "secret_key": serving.secret_key}
        new = _with_console_url(attrs.evolve(new, **kept))
        _check(new)
        with open_configured_store(attrs.evolve(new, event_destinations=())) as store:
            if new.in_memory and new.backend_url is None:  # its worker begins anew
                beginning.begin(store, new)
    except (BleepStoreError, OSError) as error:
        _log.error("the configuration is not read again, and the old one stays: %s", error)
        return None
    if told:
        _log.warning("these settings only change when the server is started again: %s", ", ".join(told))
    _log.warning("the configuration and the certificate are read again: new workers take over")
    return new


def _check(config: ServerConfig) -> None:
    """Raise ConfigError, or StoreError, for what would only show in a worker."""
    if config.traces:
        check_traces()
    if config.in_memory and config.workers != 1:
        raise ConfigError("workers: a store in memory belongs to one process; set workers to 1")
    if config.tls_cert is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(config.tls_cert, config.tls_key)
        except OSError as error:  # of which SSLError is one
            raise ConfigError(f"tls_cert and tls_key: they cannot be used together: {error}") from error
    _check_files("event_destinations", config.destinations)
    _check_files("replication_destinations", config.remotes)


#: Options of destinations that name files, which are read for each connection.
_FILES = ("password_file", "secret_file", "ca_file", "cert_file", "key_file")


def _check_files(setting: str, destinations: Mapping[str, str]) -> None:
    """Raise ConfigError for a file that a destination names and nobody can read."""
    for name, url in destinations.items():
        parts = urlsplit(url)
        for option, path in parse_qsl(f"{parts.query}&{parts.fragment}"):
            if option in _FILES:
                try:
                    Path(path).read_bytes()
                except OSError as error:
                    raise ConfigError(f"{setting}: {name}: {option}: {path}: {error.strerror}") from None


def _gunicorn_settings(config: ServerConfig, bind: list[str]) -> dict[str, Any]:
    logger = "bleepstore_server.json_logs.JsonLogger" if config.log_format == "json" else "gunicorn.glogging.Logger"
    settings = {name: value for name, value in vars(gunicorn_conf).items() if name in _gunicorn_names()}
    return settings | {
        "bind": bind,
        "reuse_port": False,  # see `listeners`
        "pre_fork": pre_fork,
        "workers": config.workers,
        "threads": config.threads,
        "worker_connections": config.max_connections,
        "certfile": config.tls_cert,
        "keyfile": config.tls_key,
        "logger_class": logger,
    }


def serve(config: ServerConfig, read_again: Callable[[], ServerConfig] | None = None) -> None:
    """Run gunicorn until SIGTERM or SIGINT. On SIGHUP new workers take over, with the configuration that
    `read_again` gives.

    Raises ConfigError, and what `bleepstore.open` does.
    """
    from gunicorn.app.base import BaseApplication

    from bleepstore_server.arbiter import Arbiter

    _check(config)
    has_made_key = config.access_key is None
    config, keys = keys_for(config)
    meter, page, shared = RateMeter(shared=True), Page(), Shared()  # before the workers are forked
    log_level = LogLevel()
    with contextlib.closing(Listeners()) as listeners:
        config = _with_console_url(_bind(listeners, config))
        url = config.public_endpoint or url_of(config, config.host, config.port)
        say = _say_when_all_listen(config.workers, render_banner(config, url, keys))
        bind = listeners.give_to_gunicorn()

        class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no type information
            serving = config
            #: For the worker: the app of the admin address, and its port.
            admin: AdminApp | None = None
            admin_port: int | None = None
            on_tick = staticmethod(log_level.look)

            def load_config(self) -> None:
                """gunicorn calls this at the start, and for SIGHUP in `reload`; an error here would end it."""
                for name in OF_WORKERS:
                    os.environ[PREFIX + name.upper()] = str(getattr(self.serving, name))
                for name, value in _gunicorn_settings(self.serving, bind).items():
                    self.cfg.set(name, value)
                self.cfg.set("post_worker_init", say)

            def run(self) -> None:
                Arbiter(self, self.read_again).run()

            def read_again(self) -> bool:
                if read_again is not None:
                    new = _reloaded(self.serving, read_again, has_made_key=has_made_key)
                    if new is None:
                        return False
                    self.serving = new
                return True

            def load(self) -> WSGIApplication:
                store = open_to_serve(self.serving, begins=self.serving.in_memory)
                self.admin = make_admin(self.serving, store, page=page, meter=meter, shared=shared, log_level=log_level)
                self.admin_port = self.serving.admin_port
                log_level.look()  # of a worker that begins later
                return make_app(self.serving, store, self.admin, meter)

        Server().run()


def _gunicorn_names() -> frozenset[str]:
    from gunicorn.config import KNOWN_SETTINGS

    return frozenset(setting.name for setting in KNOWN_SETTINGS)
