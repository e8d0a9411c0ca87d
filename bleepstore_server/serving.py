"""From a configuration to a running server."""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import bleepstore
from bleepstore import Store
from bleepstore.backends.gateway.settings import GatewaySettings, open_gateway, parse_url
from bleepstore_server import gunicorn_conf
from bleepstore_server.app import create_app
from bleepstore_server.config import TIMEOUT_VARIABLE, WELL_KNOWN, ConfigError, ServerConfig, load_config

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def open_configured_store(config: ServerConfig, *, take_over: bool = False) -> Store:
    """The store that `config` names. Raises what `bleepstore.open` does."""
    data = None if config.in_memory else config.data
    expiry = dt.timedelta(days=config.upload_expiry_days)
    if config.backend_url is None:
        return bleepstore.open(data, inline_limit=config.inline_limit, upload_expiry=expiry, read_only=config.read_only)
    return bleepstore.open(
        config.backend_url,
        catalog=data,
        layout=config.backend_layout,
        endpoint_url=config.backend_endpoint_url,
        connections=max(config.threads, 4),
        inline_limit=config.inline_limit,
        upload_expiry=expiry,
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
    return make_app(load_config(environ=os.environ))


def make_app(config: ServerConfig) -> WSGIApplication:
    """The WSGI app of the store that `config` names, with the faults that it asks for."""
    store = open_configured_store(config)
    # A worker that ends in order leaves no write-ahead log: catalog.db alone is then the whole catalog.
    atexit.register(store.close)
    app = create_app(store, config)
    if config.faults:
        from bleepstore_server.faults import Faults, parse_rule

        faults = Faults([parse_rule(text) for text in config.faults], seed=config.fault_seed)
        app = faults.wrap(app, config.domains)
    return app


def first_keys(config: ServerConfig) -> tuple[str, str] | None:
    """Make a random access key for a store that has none and is configured with none; returns it with its secret.

    The store is opened in any case: what is wrong with it is one line here, and pages of traceback in a worker.
    """
    if config.in_memory:
        if config.backend_url is not None:
            check_backend(config.backend_url, config.backend_endpoint_url)
        return None
    with open_configured_store(config) as store:
        if config.read_only or config.access_key is not None or config.allow_well_known_key or store.list_credentials():
            return None
        pair = "BLEEP" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30)
        store.put_credential(*pair)
        return pair


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@contextlib.contextmanager
def _held_port(host: str, port: int) -> Iterator[int]:
    """The port to listen on, held for the workers, each of which binds it again.

    The first bind, without SO_REUSEPORT, fails if another server has the port: we must not share it by accident.
    """
    try:
        with socket.socket(_family(host)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            free = probe.getsockname()[1]
        with socket.socket(_family(host)) as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if gunicorn_conf.reuse_port:
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                holder.bind((host, free))
            yield free
    except OSError as error:
        raise ConfigError(f"host and port: cannot listen on {host} port {port}: {error.strerror}") from error


def _warning(config: ServerConfig) -> str:
    return f"  FAULTS      on purpose: {', '.join(config.faults)}\n" if config.faults else ""


def _banner(config: ServerConfig, url: str, keys: tuple[str, str] | None) -> str:
    if keys is not None:
        access_key, secret_key, note = (
            *keys,
            f" (made now; `bleepstore keys list --show-secrets --data {config.data}` shows it again)",
        )
    elif config.access_key is not None:
        access_key, secret_key, note = config.access_key, "", " (as configured)"
    elif config.allow_well_known_key:
        access_key, secret_key, note = *WELL_KNOWN, " (well known: for tests only)"
    else:
        access_key, secret_key, note = "", "", f"see `bleepstore keys list --show-secrets --data {config.data}`"
    access_key, secret_key = access_key or "ACCESS_KEY", secret_key or "SECRET_KEY"
    verify = ", verify=CERTIFICATE" if config.tls_cert else ""
    return (
        f"BleepStore {bleepstore.__version__} serves {config.data} at {url}\n{_warning(config)}"
        f"  access key  {access_key}\n"
        f"  secret key  {secret_key}{note}\n"
        f"  boto3       boto3.client('s3', endpoint_url='{url}', aws_access_key_id='{access_key}', "
        f"aws_secret_access_key='{secret_key}', region_name='{config.region}'{verify})\n"
        f"  AWS CLI     AWS_ACCESS_KEY_ID={access_key} AWS_SECRET_ACCESS_KEY={secret_key} AWS_REGION={config.region} "
        f"aws --endpoint-url {url} s3 ls\n"
    )


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


def serve(config: ServerConfig) -> None:
    """Run gunicorn until SIGTERM or SIGINT. Raises ConfigError, and what `bleepstore.open` does."""
    from gunicorn.app.base import BaseApplication

    if config.in_memory and config.workers != 1:
        raise ConfigError("workers: a store in memory belongs to one process; set workers to 1")
    keys = first_keys(config)
    with _held_port(config.host, config.port) as port:
        host = f"[{config.host}]" if ":" in config.host else config.host
        shown = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
        url = config.public_endpoint or f"{'https' if config.tls_cert else 'http'}://{shown}:{port}"
        os.environ[TIMEOUT_VARIABLE] = str(config.client_timeout)
        settings = {name: value for name, value in vars(gunicorn_conf).items() if name in _gunicorn_names()}
        settings |= {
            "bind": f"{host}:{port}",
            "workers": config.workers,
            "threads": config.threads,
            "certfile": config.tls_cert,
            "keyfile": config.tls_key,
            "accesslog": "-" if config.access_log else None,
            "post_worker_init": _say_when_all_listen(config.workers, _banner(config, url, keys)),
        }

        class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no type information
            def load_config(self) -> None:
                for name, value in settings.items():
                    self.cfg.set(name, value)

            def load(self) -> WSGIApplication:
                return make_app(config)

        Server().run()


def _gunicorn_names() -> frozenset[str]:
    from gunicorn.config import KNOWN_SETTINGS

    return frozenset(setting.name for setting in KNOWN_SETTINGS)
