"""`bleepstore admin`: the admin API of a server that runs, here or elsewhere.

The other commands work in the folder of a store, beside a running server too, and need no server. This one is for a
server whose folder is not here.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from bleepstore.errors import StoreError
from bleepstore_server.addresses import NotThere
from bleepstore_server.app_config import ConfigError
from bleepstore_server.config import PREFIX, read_secret_file
from bleepstore_server.extras import needing

if TYPE_CHECKING:
    from http.client import HTTPResponse

_PATHS = "/admin/v1/"
_SERVER = "http://127.0.0.1:9001"
_PIECE = 64 * 1024
_SECONDS = 120
_EPILOG = """\
examples:
  bleepstore admin buckets
  bleepstore admin buckets/photos/quota PUT '{"max_bytes": 1000000}'
  bleepstore admin keys POST '{"user": "app"}' --server https://s3.example.org:9001
  bleepstore admin jobs/scrub/run POST

Requests are signed with the credentials that the AWS CLI would use (AWS_ACCESS_KEY_ID, ..., --profile), which have to
be an administrator's, or carry the token in BLEEPSTORE_ADMIN_TOKEN or --token-file. AWS_CA_BUNDLE names a file with
the certificates to trust. The status is 1 if what the path names is not there, and 2 for any other refusal.
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "admin",
        help="ask the admin API of a server",
        description="Ask the admin API of a server that runs, also on another machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="PATH", help=f"below {_PATHS}: buckets, users, keys, roles, jobs, ...")
    parser.add_argument(
        "method", metavar="METHOD", nargs="?", default="GET", choices=["GET", "POST", "PUT", "DELETE"], help="or GET"
    )
    parser.add_argument("body", metavar="JSON", nargs="?", help="- is standard input")
    parser.add_argument("--server", metavar="URL", default=_SERVER, help=f"its admin address (default: {_SERVER})")
    parser.add_argument("--profile", metavar="NAME", help="credentials, from the AWS configuration")
    parser.add_argument("--token-file", metavar="FILE", help="a file whose one line is the token")
    parser.set_defaults(run=_admin)


def _admin(arguments: argparse.Namespace) -> None:
    url = f"{arguments.server.rstrip('/')}{_PATHS}{arguments.path.removeprefix(_PATHS).lstrip('/')}"
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"--server: {arguments.server} is no URL by http or https")
    body = _body(arguments)
    request = urllib.request.Request(url, body, _headers(arguments, url, body), method=arguments.method)
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS, context=_trusted()) as answer:
            _write(answer)
    except urllib.error.HTTPError as error:
        with error:
            told = _told(error)
        raise (NotThere if error.code == 404 else StoreError)(told) from None
    except (OSError, ValueError) as error:  # of which URLError is one
        raise StoreError(f"{url}: {getattr(error, 'reason', error)}") from None


def _trusted() -> ssl.SSLContext:
    """Whose certificates count: those of the system, or of the file that the AWS CLI would take instead."""
    file = os.environ.get("AWS_CA_BUNDLE") or None
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:  # of which SSLError is one
        raise ConfigError(f"AWS_CA_BUNDLE: {file}: {error}") from None


def _body(arguments: argparse.Namespace) -> bytes | None:
    if arguments.body is None:
        return b"{}" if arguments.method == "POST" and arguments.path.endswith("/rotate") else None
    text = sys.stdin.read() if arguments.body == "-" else arguments.body
    try:
        json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the body is no JSON: {error}") from None
    return text.encode()


def _headers(arguments: argparse.Namespace, url: str, body: bytes | None) -> dict[str, str]:
    """Those that say who asks."""
    headers = {} if body is None else {"Content-Type": "application/json"}
    token = os.environ.get(f"{PREFIX}ADMIN_TOKEN")
    if arguments.token_file is not None:
        token = read_secret_file(arguments.token_file, "--token-file")
    if token is not None:
        return {**headers, "Authorization": f"Bearer {token}"}
    with needing("server,aws"):
        import boto3
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError
    try:
        session = boto3.Session(profile_name=arguments.profile)
        credentials = session.get_credentials()
    except BotoCoreError as error:
        raise ConfigError(str(error)) from None
    if credentials is None:
        raise ConfigError("there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --token-file")
    request = AWSRequest(method=arguments.method, url=url, data=body or b"")
    S3SigV4Auth(credentials.get_frozen_credentials(), "s3", session.region_name or "us-east-1").add_auth(request)
    return headers | dict(request.headers.items())


def _write(answer: HTTPResponse) -> None:
    while piece := answer.read(_PIECE):
        sys.stdout.buffer.write(piece)
    sys.stdout.flush()


def _told(error: urllib.error.HTTPError) -> str:
    """The refusal of a server, or of something else that answers there."""
    try:
        told = json.loads(error.read(_PIECE))["error"]
        return f"{told['code']}: {told['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{error.url} answers {error.code}: is this the admin address?"
