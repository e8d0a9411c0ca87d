"""Configuration of the app."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class AppConfig:
    """What `create_app` can be told.

    `domains`: host names below which the first label names a bucket (virtual-host style). `region` is shown, and with
    `strict_region` also demanded of signatures. `public_endpoint` is the URL that clients see, behind a proxy.
    `trusted_proxies` are the networks whose X-Forwarded-Proto and X-Forwarded-Host are believed.
    """

    domains: tuple[str, ...] = ()
    region: str = "us-east-1"
    strict_region: bool = False
    public_endpoint: str | None = None
    trusted_proxies: tuple[str, ...] = ()
