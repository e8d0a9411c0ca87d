"""The imports of the packages go only in the directions of the architecture."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore.model import StructureShape

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "bleepstore"
SERVER = ROOT / "bleepstore_server"

#: Layer -> the layers of bleepstore that it may import. A layer is a module or package directly below bleepstore.
BASE = frozenset(
    {
        "errors", "posix", "clock", "object_lock", "encryption", "model", "preconditions", "pages", "attributes",
        "bucket_settings", "names", "tags", "digests", "lifecycle", "lifecycle_due", "cors", "ownership", "acl_rules",
        "configurations", "events", "quotas", "rates", "roles", "website", "access_log",
        "inventory", "replication", "cluster_status", "values", "threads", "cleanup",
    }
)  # fmt: skip
ALLOWED: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "posix": frozenset({"errors"}),
    "preconditions": frozenset({"errors"}),
    "clock": frozenset(),
    "digests": frozenset(),
    "object_lock": frozenset({"errors"}),
    "encryption": frozenset({"errors"}),
    "lifecycle": frozenset({"errors", "tags"}),
    "cors": frozenset({"errors"}),
    "configurations": frozenset({"errors"}),
    "events": frozenset(),
    "values": frozenset(),
    "threads": frozenset(),
    "cleanup": frozenset(),
    "replication": frozenset(),
    "cluster_status": frozenset(),
    "senders": frozenset({"errors", "events", "cleanup"}),
    "remotes": frozenset({"errors", "model", "encryption", "senders", "cleanup"}),
    "website": frozenset(),
    "access_log": frozenset(),
    "inventory": frozenset({"configurations", "encryption", "model"}),
    "ownership": frozenset(),
    "quotas": frozenset(),
    "rates": frozenset(),
    "acl_rules": frozenset({"errors", "model", "ownership"}),
    "model": frozenset(
        {
            "errors",
            "object_lock",
            "encryption",
            "digests",
            "lifecycle",
            "cors",
            "ownership",
            "configurations",
            "events",
            "rates",
            "replication",
            "values",
        }
    ),
    "pages": frozenset({"model"}),
    "roles": frozenset({"errors", "model"}),
    "attributes": frozenset({"model", "object_lock", "encryption", "replication", "values"}),
    "lifecycle_due": frozenset({"lifecycle", "model"}),
    "bucket_settings": frozenset({"model", "object_lock", "encryption", "attributes", "lifecycle", "cors", "ownership"})
    | {"configurations", "events", "replication"},
    "sealing": frozenset({"errors", "posix", "encryption", "digests"}),
    "names": frozenset({"errors", "model"}),
    "tags": frozenset({"errors"}),
    "access": frozenset({"errors", "model", "preconditions", "names", "object_lock", "encryption", "ownership"})
    | {"rates", "roles", "values"},
    "commands": BASE,
    "codec": BASE | {"commands"},
    "catalog": BASE | {"commands", "codec"},
    "committer": BASE | {"commands", "catalog"},
    "backends": frozenset({"errors", "posix", "threads", "cleanup", "model", "encryption", "sealing"}),
    "jobs": BASE | {"commands", "catalog", "committer", "backends", "senders"},
    "store": BASE | {"access", "commands", "catalog", "committer", "backends", "jobs", "sealing", "senders", "remotes"},
    "filesystem": BASE | {"commands", "store"},
    "traces": BASE | {"commands", "backends", "store"},
    "raft": frozenset({"errors", "cluster_status"}),
    "cluster": BASE | {"raft", "codec", "commands", "catalog", "committer", "store", "backends"},
}
#: What ships for tests stands above everything.
UNRESTRICTED = frozenset({"__init__", "testing"})

#: Third-party packages and who may import them.
THIRD_PARTY: dict[str, frozenset[str]] = {
    "attrs": frozenset(ALLOWED) | UNRESTRICTED,
    "cattrs": frozenset(),
    "apsw": frozenset({"catalog", "raft", "testing"}),
    "awscrt": frozenset({"digests", "backends"}),
    "zlib_ng": frozenset({"digests"}),
    "cryptography": frozenset({"sealing"}),
    "pyarrow": frozenset({"store"}),
    "boto3": frozenset({"backends", "senders", "remotes"}),
    "botocore": frozenset({"backends", "senders", "remotes"}),
    "redis": frozenset({"senders"}),
    "pika": frozenset({"senders"}),
    "confluent_kafka": frozenset({"senders"}),
    "nats": frozenset({"senders"}),
    "requests": frozenset({"backends"}),
    "urllib3": frozenset({"backends"}),
    "google": frozenset({"backends"}),
    "azure": frozenset({"backends"}),
    "fsspec": frozenset({"filesystem"}),
    "opentelemetry": frozenset({"traces"}),
    "pytest": frozenset({"testing"}),
    "hypothesis": frozenset({"testing"}),
}
#: Everything that knows of HTTP or XML.
WEB = frozenset({"http", "xml", "wsgiref", "socketserver", "html", "werkzeug", "flask", "gunicorn", "defusedxml"})
#: Who may import it all the same: what sends events, and backends, which get exceptions of `http` from clouds' SDKs.
SPEAKS_HTTP = frozenset({"backends", "senders"})

#: Modules that make `import bleepstore` slow, or that are an extra.
HEAVY = (
    "boto3", "botocore", "google", "azure", "requests", "urllib3", "werkzeug", "gunicorn", "defusedxml", "pytest",
    "hypothesis", "asyncio", "bleepstore_server", "cryptography",
    "redis", "pika", "confluent_kafka", "nats", "opentelemetry",
)  # fmt: skip


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import in a file, also of those within functions and of `from . import x`."""
    tree = ast.parse(path.read_text())
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            yield node.lineno, module
            if module == "bleepstore":
                # `from bleepstore import codec` imports the layer codec.
                yield from ((node.lineno, f"bleepstore.{alias.name}") for alias in node.names)


#: The only modules that know which database keeps the catalog, and Raft's log. (The disk that crashes is SQLite's.)
DATABASE = ("catalog/sqlite/", "raft/sqlite_log.py", "testing/crash_disk.py")


def layer_of(path: Path) -> str:
    relative = path.relative_to(LIBRARY)
    return relative.parts[0].removesuffix(".py")


def library_files() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


def is_layer(module: str) -> bool:
    name = module.split(".")[1]
    return (LIBRARY / f"{name}.py").exists() or (LIBRARY / name).is_dir()


@pytest.mark.parametrize("path", library_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_imports_only_downwards(path: Path) -> None:
    layer = layer_of(path)
    assert layer in ALLOWED or layer in UNRESTRICTED, f"{layer} is not in the table of layers: say where it stands"
    wrong = []
    for line, module in imports_of(path):
        top, *rest = module.split(".")
        if top == "bleepstore":
            if layer in UNRESTRICTED or not rest or not is_layer(module):
                continue
            if rest[0] != layer and rest[0] not in ALLOWED[layer]:
                wrong.append(f"line {line}: {layer} must not import {module}")
        elif top == "bleepstore_server":
            wrong.append(f"line {line}: the library must not import the server")
        elif top in WEB and layer not in SPEAKS_HTTP:
            wrong.append(f"line {line}: the library knows nothing of the web: {module}")
        elif top not in sys.stdlib_module_names and layer not in THIRD_PARTY.get(top, frozenset()):
            wrong.append(f"line {line}: {layer} must not import {module}")
    assert not wrong, "\n".join(wrong)


def test_one_folder_knows_the_database_of_the_catalog() -> None:
    """Its statements too: another database is one more folder."""
    statement = re.compile(r"SELECT .* FROM |INSERT (OR|INTO) |UPDATE \w+ SET|DELETE FROM |CREATE TABLE |PRAGMA ")
    for path in library_files():
        if str(path.relative_to(LIBRARY)).startswith(DATABASE):
            continue
        assert "apsw" not in {module.split(".")[0] for _line, module in imports_of(path)}, path
        assert not statement.search(path.read_text()), f"{path} holds a statement of SQL"


def test_what_commands_do_is_written_for_any_database() -> None:
    for path in (LIBRARY / "catalog").glob("*.py"):
        for line, module in imports_of(path):
            assert not module.startswith("bleepstore.catalog.sqlite"), f"{path}:{line} imports {module}"
    assert not any(
        module.startswith("bleepstore.catalog.sqlite") for _line, module in imports_of(LIBRARY / "committer.py")
    )


#: What opens stores, and what copies and checks the files of a catalog: this implementation does that beyond the port.
OF_CATALOG_FILES = {
    "opening", "provider", "rolled_back", "forking", "underlay", "snapshots", "archiving", "checking",
}  # fmt: skip


def test_a_store_needs_no_more_of_a_catalog_than_the_port() -> None:
    found = {
        path.stem
        for path in (LIBRARY / "store").glob("*.py")
        for _line, module in imports_of(path)
        if module.startswith("bleepstore.catalog.sqlite")
    }
    assert found == OF_CATALOG_FILES


def test_a_plain_import_of_the_package_is_an_arrow_to_everything(tmp_path: Path) -> None:
    """No layer goes round the table by `import bleepstore`."""
    for path in library_files():
        if layer_of(path) in UNRESTRICTED:
            continue
        for line, module in imports_of(path):
            assert module != "bleepstore" or _imports_layers_only(path, line), (
                f"{path}:{line} imports all of bleepstore"
            )


def _imports_layers_only(path: Path, line: int) -> bool:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.lineno == line:
            return all(is_layer(f"bleepstore.{alias.name}") for alias in node.names)
    return False


def test_the_table_allows_no_circle() -> None:
    seen: set[str] = set()

    def visit(layer: str, path: tuple[str, ...]) -> None:
        assert layer not in path, f"{' -> '.join((*path, layer))} is a circle"
        if layer not in seen:
            for below in ALLOWED[layer]:
                visit(below, (*path, layer))
            seen.add(layer)

    for layer in ALLOWED:
        visit(layer, ())


def modules() -> dict[str, Path]:
    """Every module of the two packages by its dotted name, packages by that of their folder."""
    files = sorted([*LIBRARY.rglob("*.py"), *SERVER.rglob("*.py")])
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def graph_of_imports() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports, also for its annotations alone and within functions."""
    known = modules()
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        found = graph[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                within = [f"{node.module}.{alias.name}" for alias in node.names]
                found.update(module if module in known else node.module for module in within)
        graph[name] = (found & known.keys()) - {name}
    return graph


def circles_of(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules each of which imports, by whatever way, all others of its group."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen, to_do = set[str](), [start]
        while to_do:
            for module in graph[to_do.pop()] - seen:
                seen.add(module)
                to_do.append(module)
        reached[start] = seen
    groups = {frozenset(other for other in reached[one] if one in reached[other]) for one in graph}
    return sorted(sorted(group) for group in groups if group)


def test_no_imports_go_in_a_circle() -> None:
    assert circles_of({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert circles_of(graph_of_imports()) == []


#: Private parts of libraries, each in the one module that must use it (see `test_private_parts`).
PRIVATE_PARTS = {
    "bleepstore.backends.aws.client": {"_endpoint", "_get_request_timeout"},
    "bleepstore.backends.azure.client": {"_client"},
    "bleepstore.backends.gcs.backend": {"_set_properties"},
    "bleepstore.backends.gcs.client": {"_connection", "_http"},
    "bleepstore.senders.nats_streams": {"_server_info"},
    "bleepstore.senders.rabbitmq": {"_terminate_stream"},
    "bleepstore.store.archiving": {"_Hash"},
    "bleepstore_server.completion": {"_actions", "_choices_actions"},
    "bleepstore_server.switchboard": {"_credentials", "_endpoint_prefix", "_request_signer", "_signing_name"},
    "bleepstore_server.transport": {"_dict", "_lower"},
}
#: Public, though their names say otherwise.
PUBLIC = {"_asdict", "_fields", "_make", "_replace", "_SubParsersAction", "_getframe", "_current_frames"}


def private_names_in(path: Path) -> Iterator[tuple[int, str]]:
    """(line, name) of the private names that a module uses and does not define."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    own |= {node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and is_of_self(node)}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, alias.name) for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own | PUBLIC:
            yield node.lineno, node.attr


def is_of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_no_module_uses_a_private_name_of_another() -> None:
    found: dict[str, set[str]] = {}
    wrong = []
    for module, path in modules().items():
        allowed = PRIVATE_PARTS.get(module, set())
        for line, name in private_names_in(path):
            if not (path.name == "__init__.py" or name in allowed or f"{module}.{name}" in modules()):
                wrong.append(f"{path.relative_to(ROOT)} line {line}: {name}")
            found.setdefault(module, set()).add(name)
    assert not wrong, "\n".join(wrong)
    for module, names in PRIVATE_PARTS.items():
        assert names <= found.get(module, set()), f"{module} uses no longer all of {names}: shorten the list"


def words_of_the_wire() -> set[str]:
    """What S3 calls its headers and the parameters of its queries, but for names that are plain English too."""
    service = botocore.session.get_session().get_service_model("s3")
    shapes = [service.shape_for(name) for name in service.shape_names]
    members = [member for shape in shapes if isinstance(shape, StructureShape) for member in shape.members.values()]
    names = {
        member.serialization["name"]
        for member in members
        if member.serialization.get("location") in ("header", "headers", "querystring")
    }
    return {name for name in names if "-" in name or not (name.islower() or name.istitle())} - {"ETag"}


def literals_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of the string literals of a file that are no docstrings."""
    tree = ast.parse(path.read_text())
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def test_the_library_speaks_no_word_of_the_wire() -> None:
    """Errors and records name the library's own arguments. A backend speaks the words of its provider, and what sends
    events, or copies, those of its destination."""
    names = words_of_the_wire()
    assert {"If-Match", "Content-MD5", "versionId", "partNumber", "upload-id-marker", "x-amz-acl"} <= names
    pattern = re.compile(rf"x-amz-|aws-chunked|\b(header|query parameter|{'|'.join(map(re.escape, names))})\b")
    found = [
        f"{path.relative_to(ROOT)} line {line}: {text!r}"
        for path in library_files()
        if layer_of(path) not in {"backends", "raft", "senders", "remotes"} | UNRESTRICTED
        and path.parent
        != LIBRARY / "access" / "policies"  # IAM's names of condition keys, which policies are written in
        for line, text in literals_of(path)
        if pattern.search(text)
    ]
    assert not found, "\n".join(found)


def test_the_wire_formats_need_no_server() -> None:
    """aws-chunked and the signatures are decoded without I/O, from the standard library and attrs alone."""
    for name in ("chunked", "sigv2", "sigv4", "post_policy", "errors", "tokens"):
        for line, module in imports_of(SERVER / "wire" / f"{name}.py"):
            top = module.split(".")[0]
            allowed = top in sys.stdlib_module_names or top == "attrs" or module.startswith("bleepstore_server.wire")
            assert allowed, f"wire/{name}.py line {line} imports {module}"


@pytest.mark.parametrize("path", sorted(SERVER.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_server_imports_no_test_tool_and_no_cloud(path: Path) -> None:
    for line, module in imports_of(path):
        top = module.split(".")[0]
        assert top not in {"pytest", "hypothesis", "google", "azure"} or path.name == "pytest_plugin.py", line
        assert not module.startswith("bleepstore.raft") or path.name in {"raft_http.py", "admin.py", "cli.py"}, line


@pytest.mark.parametrize("statement", ["import bleepstore", "import bleepstore\nbleepstore.open().close()"])
def test_importing_the_library_loads_nothing_heavy(statement: str) -> None:
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert "bleepstore.store" in loaded
    assert [name for name in loaded if name.split(".")[0] in HEAVY] == []
