"""How far a request goes through the code, and how wide the engine is: `python -m tests.benchmarks.bench_structure`.

A request's row holds three figures: its own calls, the files that they are in, and how often a call is in another file
than the one before it. *Own* are the functions below bleepstore/ and bleepstore_server/; a generator counts each time
it goes on. They are counted with `sys.setprofile` in the thread that asks, from boto3 without a socket, which signs and
adds checksums as it does by default; what stands in for the socket (`TRANSPORT`) is left out. The store is in a folder,
so a PUT is durable, and each request was made some times before.

*Parameters* are those of a function of the engine (bleepstore/store, catalog, committer, jobs) without self.
*Private names* are what the classes of the store have in their bodies. *Import circles* are groups of modules that
import each other, wherever in the file they do it.

With `--server` there are rows of what a server does for PUT, GET and HEAD of 1 KiB: from the call of the WSGI app to
its return, in a folder; and of the same with metrics and an audit log in a file.

None of this depends on the speed of the machine: two runs of one tree give the same figures. The aims are those that
were set before policies, versions, quotas and events were there; docs/adr/0054-fewer-modules.md says why files and
switches stay above them.
"""

from __future__ import annotations

import argparse
import ast
import functools
import io
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import attrs
import boto3

import bleepstore
from bleepstore_server import client_for, create_app
from bleepstore_server.app_config import WELL_KNOWN, AppConfig
from bleepstore_server.audit import AuditLog, FileTarget
from bleepstore_server.clients import EVENT
from bleepstore_server.metrics.counting import RequestCounts
from bleepstore_server.metrics.page import Page
from bleepstore_server.monitoring import Monitoring
from bleepstore_server.transport import InProcessTransport

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse

ROOT = Path(bleepstore.__file__).parent.parent
PACKAGES = ("bleepstore", "bleepstore_server")
#: Files of bleepstore_server that stand in for the socket between botocore and the WSGI app.
TRANSPORT = ("blocks.py", "clients.py", "intercept.py", "switchboard.py", "transport.py")
ENGINE = ("store", "catalog", "committer", "jobs")
WARM_UP = 20
_OWN = tuple(f"{ROOT}/{name}/" for name in PACKAGES)
_TRANSPORT = frozenset(f"{ROOT}/bleepstore_server/{name}" for name in TRANSPORT)


@attrs.frozen
class Figures:
    """How far a request goes."""

    calls: int
    files: int
    switches: int

    def __str__(self) -> str:
        return f"{self.calls} / {self.files} / {self.switches}"


def follow(request: Callable[[], object]) -> Figures:
    """Carry out `request` and count."""
    seen: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            name = frame.f_code.co_filename
            if name.startswith(_OWN) and name not in _TRANSPORT:
                seen.append(name)

    sys.setprofile(note)
    try:
        request()
    finally:
        sys.setprofile(None)
    switches = sum(one != other for one, other in itertools.pairwise(seen))
    return Figures(len(seen), len(set(seen)), switches)


def requests_of(s3: Any) -> Iterator[tuple[str, Figures, str]]:
    """(what, figures, aim) of each request of the table."""
    s3.create_bucket(Bucket="bench")
    s3.put_object(Bucket="bench", Key="large", Body=os.urandom(64 << 10))
    numbers = iter(range(1_000_000))

    def put() -> Callable[[], object]:
        key = f"small-{next(numbers)}"
        return lambda: s3.put_object(Bucket="bench", Key=key, Body=b"x" * 1024)

    def read() -> object:
        return s3.get_object(Bucket="bench", Key="large")["Body"].read()

    def get() -> Callable[[], object]:
        return read

    def complete() -> Callable[[], object]:
        where = {"Bucket": "bench", "Key": f"whole-{next(numbers)}"}
        upload = {**where, "UploadId": s3.create_multipart_upload(**where)["UploadId"]}
        etag = s3.upload_part(**upload, PartNumber=1, Body=b"x" * 1024)["ETag"]
        parts = {"Parts": [{"ETag": etag, "PartNumber": 1}]}
        return lambda: s3.complete_multipart_upload(**upload, MultipartUpload=parts)

    for what, prepare, aim in (
        ("PUT 1 KiB, durable", put, "120 / 18 / 40"),
        ("GET 64 KiB", get, "110 / 15 / 30"),
        ("CompleteMultipartUpload, one part", complete, "250 / 22 / 60"),
    ):
        for _ in range(WARM_UP):
            prepare()()
        yield what, follow(prepare()), aim


class Capture(InProcessTransport):
    """Keeps what the app is called with, and calls it."""

    environ: WSGIEnvironment
    body: bytes
    served: WSGIApplication

    def app(self, host: str) -> WSGIApplication:
        self.served = super().app(host)

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            self.environ, self.body = dict(environ), b"".join(iter(partial(environ["wsgi.input"].read, 65536), b""))
            return self.again(start_response)

        return app

    def again(self, start_response: StartResponse, app: WSGIApplication | None = None) -> object:
        """Have the request answered once more, by another app of the same store if one is given."""
        return (app or self.served)({**self.environ, "wsgi.input": io.BytesIO(self.body)}, start_response)


def served(store: bleepstore.Store, folder: Path) -> Iterator[tuple[str, Figures, str]]:
    """(what, figures, "") of what a server does. The audit log is in the folder."""
    config = AppConfig(allow_well_known_key=True)
    capture = Capture(store, config)
    audit = AuditLog([FileTarget(folder / "audit.log", 0, 0)], reads=False, refuses=False, failed=lambda _lost: None)
    watched = create_app(
        store,
        attrs.evolve(config, domains=("s3.amazonaws.com",)),
        monitoring=Monitoring(counts=RequestCounts(Page().claim()), audit=audit),
    )

    def send(request: AWSPreparedRequest, **_event: object) -> AWSResponse:
        return capture.send(request)

    key, secret = WELL_KNOWN
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1")
    s3: Any = session.client("s3")
    s3.meta.events.register(EVENT, send)
    where = {"Bucket": "bench", "Key": "served"}
    calls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("PUT", lambda: s3.put_object(**where, Body=b"x" * 1024)),
        ("GET", lambda: s3.get_object(**where)),
        ("HEAD", lambda: s3.head_object(**where)),
    )
    for what, call in calls:
        call()
        for app, how in ((capture.served, ""), (watched, ", metrics and audit log")):
            for _ in range(WARM_UP):
                capture.again(_start, app)
            yield f"the app, {what} 1 KiB{how}", follow(partial(capture.again, _start, app)), ""
    audit.close()
    s3.close()


def _start(status: str, _headers: object, _error: object = None) -> Any:
    assert status.startswith("200"), status


@attrs.frozen
class Function:
    name: str
    parameters: int


def functions_of_the_engine() -> Iterator[Function]:
    for layer in ENGINE:
        module, package = ROOT / "bleepstore" / f"{layer}.py", ROOT / "bleepstore" / layer
        for path in [module] if module.exists() else sorted(package.rglob("*.py")):
            where = ".".join(path.relative_to(ROOT / "bleepstore").with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef):
                    given = node.args
                    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
                    yield Function(f"{where}.{node.name}", sum(name not in {"self", "cls"} for name in names))


def modules() -> dict[str, Path]:
    """Dotted name -> file of each module of ours."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imports_of(path: Path, known: Mapping[str, Path]) -> set[str]:
    """The modules of ours that a file imports, within functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            submodules = {f"{base}.{alias.name}" for alias in node.names} & known.keys()
            found |= submodules
            if len(submodules) < len(node.names):
                found.add(base)
    return {name for name in found if name in known and known[name] != path}


@functools.cache
def circles() -> tuple[tuple[str, ...], ...]:
    """The strongly connected components of more than one module."""
    known = modules()
    above = {name: imports_of(path, known) for name, path in known.items()}
    reached: dict[str, set[str]] = {}
    for name in known:
        seen: set[str] = set()
        left = [name]
        while left:
            new = above[left.pop()] - seen
            seen |= new
            left.extend(new)
        reached[name] = seen
    found = {tuple(sorted(b for b in reached[a] if a in reached[b])) for a in known if a in reached[a]}
    return tuple(sorted(found))


def structure() -> Iterator[tuple[str, str, str]]:
    """(what, figure, aim) of what can be read from the source."""
    functions = sorted(functions_of_the_engine(), key=lambda one: (-one.parameters, one.name))
    inner = [one for one in functions if one.name.rpartition(".")[2] not in names_of_store(public=True)]
    for what, widest, aim in (
        ("parameters of the widest function of the engine", functions[0], "7"),
        ("parameters of its widest one that is no method of Store", inner[0], "7"),
    ):
        yield what, f"{widest.parameters} ({widest.name})", aim
    yield "classes in the store's MRO", str(len(bleepstore.Store.__mro__) - 1), "2"
    yield "private names in it", str(len(names_of_store(public=False))), "under 20"
    yield "import circles", str(len(circles())), "0"


def names_of_store(*, public: bool) -> set[str]:
    names = {name for kind in bleepstore.Store.__mro__ for name in vars(kind) if not name.startswith("__")}
    return {name for name in names if name.startswith("_") is not public}


def main(*, server: bool = False) -> None:
    rows: list[tuple[str, str, str]] = []
    missing = [name for name in _TRANSPORT if not Path(name).exists()]
    assert not missing, f"say in TRANSPORT what stands in for the socket now: {missing}"
    with tempfile.TemporaryDirectory() as folder, bleepstore.open(folder) as store:
        s3 = client_for(store)
        rows.extend((what, str(figures), aim) for what, figures, aim in requests_of(s3))
        if server:
            rows.extend((what, str(figures), aim) for what, figures, aim in served(store, Path(folder)))
        s3.close()
    rows.extend(structure())
    print("| | now | aim |\n| --- | --- | --- |")
    for row in rows:
        print("|", " | ".join(row), "|")
    for circle in circles():
        print("\ncircle:", ", ".join(circle))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", action="store_true", help="what a server does, too")
    main(server=parser.parse_args().server)
