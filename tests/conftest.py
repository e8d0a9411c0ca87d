"""Fixtures that all tests share."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import bleepstore
from tests.cluster_store import open_on_follower

# The contract suites are tests that ship in the package.
pytest.register_assert_rewrite("bleepstore.testing")

#: Where a tested store may be: by default in memory and in a folder; others by `--store`.
LOCAL = ("memory", "local")
#: A follower of three nodes of this process: see tests/cluster_store.py.
CLUSTER = "cluster"
STORES = (*LOCAL, CLUSTER, *(f"{kind}-{layout}" for kind in ("aws", "azure", "gcs") for layout in ("keys", "blobs")))

#: The folders whose tests run before providers too: what a store does with bytes that are stored far away.
S3_SUITE = frozenset({"server", "store", "library"})
#: Those that CI runs in the layout `blobs` too. What the server does with a store does not depend on the layout.
BLOBS_SUITE = frozenset({"store", "library"})
#: Tests of what the server refuses, reads and writes before and after it asks the store: one kind is enough.
WIRE_SUITE = frozenset(
    f"server/test_{name}.py"
    for name in (
        "access_logs", "app", "bad_chunks", "bad_input", "cors", "errors", "https", "lifecycle", "object_lock",
        "operations_buckets", "operations_listings", "ownership", "pages", "policies", "presigned", "restore",
        "quotas", "rates", "roles", "sessions", "stored_configurations", "tagging", "web_identities", "website",
    )
)  # fmt: skip
#: Tests of what a command decides, wherever the bytes are: in memory, and in CI in a folder and in a cluster too.
CATALOG_SUITE = frozenset(
    {
        "embedding/test_arguments.py", "filesystem/test_abstract.py", "store/lifecycle/test_lifecycle.py",
        "store/lifecycle/test_refused_rules.py", "store/test_accounts.py", "store/test_authority.py",
        "store/test_configurations.py",
        "store/test_object_lock.py", "store/test_ownership.py", "store/test_users.py",
    }
)  # fmt: skip
#: Tests of rules that are kept above the backends: of the providers one is enough for them.
ONE_PROVIDER_SUITE = frozenset(
    {
        "server/test_object_checksums.py", "server/test_operations_objects.py", "server/test_versions.py",
        "store/test_authority.py",
    }
)  # fmt: skip


def kinds_of(name: str, in_ci: bool) -> Sequence[str]:
    """Where the tests of a file run, if no option says so."""
    folder = name.split("/", maxsplit=1)[0]
    if name in WIRE_SUITE:
        return ("memory",)
    if not in_ci:
        return ("memory",) if name in CATALOG_SUITE else LOCAL
    all_kinds = [kind for kind in STORES if folder in BLOBS_SUITE or not kind.endswith("-blobs")]
    if name in ONE_PROVIDER_SUITE:
        return [kind for kind in all_kinds if not kind.startswith(("azure", "gcs"))]
    return (*LOCAL, CLUSTER) if name in CATALOG_SUITE else all_kinds


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--store",
        action="append",
        choices=STORES,
        help="run the tests of the store and the server on this backend; may be repeated (default: memory and local, "
        "or memory alone: see kinds_of)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """In CI these tests run before every provider too; elsewhere `--store` asks for it."""
    if "store_kind" in metafunc.fixturenames:
        path = metafunc.definition.path.relative_to(Path(__file__).parent)
        wanted = metafunc.config.getoption("store") or kinds_of(path.as_posix(), "CI" in os.environ)
        kinds = [kind for kind in wanted if kind in LOCAL or path.parts[0] in S3_SUITE]
        metafunc.parametrize("store_kind", kinds, scope="session")


#: What an emulator does otherwise than the provider documents.
EMULATORS_LACK = {
    (
        "gcs-keys",
        "test_of_many_uploads_that_want_a_new_key_exactly_one_is_completed",
    ): "fake-gcs-server composes whatever ifGenerationMatch says",
}


@pytest.fixture(scope="session")
def far_end_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Callable[[], tuple[str, str]]]]:
    """By the kind of a provider: what gives (URL, endpoint) of a new empty container there."""
    from tests.backends import providers

    with contextlib.ExitStack() as stack:

        @functools.cache
        def start(kind: str) -> Callable[[], tuple[str, str]]:
            return stack.enter_context(providers.PROVIDERS[kind](tmp_path_factory.mktemp(kind)))

        yield start


def acl_defaults_of(request: pytest.FixtureRequest) -> str:
    """What the stores of a test are opened with: tests that need access control lists are marked."""
    return "s3" if request.node.get_closest_marker("legacy_acls") is None else "legacy"


@pytest.fixture
def store(store_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[bleepstore.Store]:
    """An empty store, of each kind."""
    defaults = acl_defaults_of(request)
    if store_kind in ("memory", "local"):
        path = None if store_kind == "memory" else tmp_path / "store"
        with bleepstore.open(path, acl_defaults=defaults) as opened:
            yield opened
        return
    if store_kind == CLUSTER:
        with open_on_follower(acl_defaults=defaults) as opened:
            yield opened
        return
    kind, _, layout = store_kind.partition("-")
    if (reason := EMULATORS_LACK.get((store_kind, request.node.originalname))) is not None:
        pytest.skip(reason)
    url, endpoint = request.getfixturevalue("far_end_of")(kind)()
    options = {"catalog": tmp_path / "store", "layout": layout, "endpoint_url": endpoint}
    with bleepstore.open(url, acl_defaults=defaults, **options) as opened:
        yield opened


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests measured: `record_property("figure", text)`; with pytest-xdist their own prints are lost."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    figures = [value for report in reports for name, value in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("figures")
        for figure in figures:
            terminalreporter.write_line(str(figure))
