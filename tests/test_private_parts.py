"""The parts of other packages that they keep to themselves, and we use: they are as they were.

A failure here means that a package has changed below us. Read what became of the part, mend the module that is named,
and this table; pyproject.toml has an upper bound for each of these packages, which is raised after that.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

_WORKER = "bleepstore_server/worker.py"
_IN_PROCESS = "bleepstore_server/clients.py, switchboard.py, transport.py"

#: (module, name in it, parameters) -> where we use it. Parameters None: it only has to be there.
CALLS: list[tuple[str, str, str | None, str]] = [
    ("gunicorn.workers.base", "Worker.init_process", "(self)", _WORKER),
    ("gunicorn.workers.base", "Worker.notify", "(self)", _WORKER),
    ("gunicorn.workers.base", "Worker.PIPE", None, _WORKER),
    ("gunicorn.sock", "ssl_context", "(conf)", _WORKER),
    ("gunicorn.workers.base", "Worker.init_signals", "(self)", _WORKER),
    ("gunicorn.arbiter", "Arbiter.__init__", "(self, app)", "bleepstore_server/arbiter.py"),
    ("gunicorn.arbiter", "Arbiter.handle_hup", "(self)", "bleepstore_server/arbiter.py"),
    ("gunicorn.arbiter", "Arbiter.spawn_worker", "(self)", "bleepstore_server/arbiter.py"),
    ("gunicorn.app.base", "BaseApplication.run", "(self)", "bleepstore_server/serving.py"),
    ("gunicorn.app.base", "BaseApplication.load_config", "(self)", "bleepstore_server/serving.py"),
    ("botocore.endpoint", "Endpoint._send", "(self, request)", _IN_PROCESS),
    ("botocore.handlers", "BUILTIN_HANDLERS", None, _IN_PROCESS),
    ("botocore.awsrequest", "AWSResponse.__init__", "(self, url, status_code, headers, raw)", _IN_PROCESS),
    ("botocore.httpsession", "URLLib3Session._get_request_timeout", "(self, request)", "backends/aws/client.py"),
    ("boto3", "DEFAULT_SESSION", None, _IN_PROCESS),
    ("pika", "SelectConnection._terminate_stream", None, "senders/rabbitmq.py"),
    ("google.cloud.storage", "Client._http", None, "backends/gcs/client.py"),
]

#: (module, name, what its source does) -> where we use it: attributes that only exist once it runs.
SOURCES: list[tuple[str, str, str, str]] = [
    ("gunicorn.workers.base", "Worker.init_process", r"self\.PIPE = os\.pipe\(\)", _WORKER),
    ("gunicorn.workers.base", "Worker.init_process", r"self\.run\(\)", _WORKER),
    ("gunicorn.workers.base", "Worker.init_signals", r"signal\.set_wakeup_fd\(self\.PIPE\[1\]\)", _WORKER),
    ("gunicorn.arbiter", "Arbiter.run", r'getattr\(self, "handle_%s" % signame', "bleepstore_server/arbiter.py"),
    ("gunicorn.arbiter", "Arbiter.reload", r"self\.spawn_worker\(\)", "bleepstore_server/arbiter.py"),
    ("gunicorn.workers.base", "Worker.handle_exit", r"self\.alive = False", _WORKER),
    ("gunicorn.workers.base", "Worker.load_wsgi", r"self\.wsgi = ", _WORKER),
    ("gunicorn.workers.base", "Worker.__init__", r"self\.max_requests = ", _WORKER),
    ("botocore.endpoint", "Endpoint", r"self\._endpoint_prefix = ", _IN_PROCESS),
    ("botocore.awsrequest", "HeadersDict.__setitem__", r"self\._dict\[_HeaderKey\(key\)\] = value", _IN_PROCESS),
    ("botocore.awsrequest", "_HeaderKey.__init__", r"self\._lower = key\.lower\(\)", _IN_PROCESS),
    ("botocore.endpoint", "Endpoint", r"self\.http_session = ", "backends/aws/client.py"),
    ("botocore.httpsession", "URLLib3Session.send", r"self\._get_request_timeout\(request\)", "backends/aws/client.py"),
    ("botocore.client", "BaseClient", r"self\._endpoint = ", "backends/aws/client.py"),
    ("nats.aio.client", "Client", r"self\._server_info", "senders/nats_streams.py"),
    ("google.cloud.storage.client", "Client", r"self\._connection = ", "backends/gcs/client.py"),
]

BOUNDED = ("gunicorn", "boto3", "pika", "nats-py", "google-cloud-storage", "azure-storage-blob")


def find(module: str, name: str, used_in: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        assert hasattr(found, part), f"{module} has no {name} any more: mend {used_in}"
        found = inspect.getattr_static(found, part) if inspect.isclass(found) else getattr(found, part)
    return found


@pytest.mark.parametrize(("module", "name", "parameters", "used_in"), CALLS, ids=str)
def test_what_we_call_or_override_takes_what_it_took(
    module: str, name: str, parameters: str | None, used_in: str
) -> None:
    found = find(module, name, used_in)
    if parameters is not None:
        assert str(inspect.signature(found)) == parameters, f"{module}.{name} takes something else now: mend {used_in}"


@pytest.mark.parametrize(("module", "name", "pattern", "used_in"), SOURCES, ids=str)
def test_what_we_look_at_is_still_kept(module: str, name: str, pattern: str, used_in: str) -> None:
    source = inspect.getsource(find(module, name, used_in))
    assert re.search(pattern, source), f"{module}.{name} does no more what {pattern!r} finds: mend {used_in}"


def test_azures_generated_client_can_be_called() -> None:
    """backends/azure/client.py sends Put Blob by it."""
    from azure.storage.blob import BlobClient

    with BlobClient("http://127.0.0.1:1/account", "container", "name") as blob:
        upload = blob._client.block_blob.upload
    assert callable(upload), "BlobClient._client.block_blob.upload is gone: mend backends/azure/client.py"
    names = inspect.signature(inspect.unwrap(upload)).parameters
    missing = {"content_length", "body"} - names.keys()
    takes_more = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in names.values())
    assert not missing, f"BlobClient._client.block_blob.upload lacks {missing}: mend backends/azure/client.py"
    assert takes_more, "BlobClient._client.block_blob.upload takes no headers and cls: mend backends/azure/client.py"


def test_googles_connection_has_its_address() -> None:
    """backends/gcs/client.py downloads from there."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client: Any = storage.Client(
        project="p",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": "http://127.0.0.1:1"},
    )
    assert client._connection.API_BASE_URL == "http://127.0.0.1:1", "mend backends/gcs/client.py"
    assert callable(client._http.request), "Client._http is no session any more: mend backends/gcs/client.py"
    assert callable(client._http.mount), "Client._http is no session any more: mend backends/gcs/client.py"
    client.close()


@pytest.mark.parametrize("package", BOUNDED)
def test_a_package_whose_private_parts_we_use_has_an_upper_bound(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    (requirement,) = [text for text in extras if re.match(rf"{package}\W", text)]
    bound = re.search(r",<(\d+)$", requirement)
    assert bound is not None, f"{requirement} has no upper bound"
    installed = importlib.metadata.version(package)
    assert int(installed.partition(".")[0]) < int(bound[1]), f"{package} {installed} is not tried: {requirement}"
