"""What a server shows of the cluster that its store is on."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import attrs
import pytest
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import Client

import bleepstore
from bleepstore import Store, WriteCondition
from bleepstore.catalog.sqlite import Catalog
from bleepstore.errors import PreconditionFailed
from bleepstore.raft.comparison import WINDOW
from bleepstore.raft.messages import Role
from bleepstore.raft.node_settings import NodeSettings
from bleepstore_server import client_for, load_config
from bleepstore_server.admin.app import AdminApp
from bleepstore_server.admin.services import services_of
from bleepstore_server.cli import main
from tests.cluster_store import Nodes, open_nodes

TOKEN = "a-token-of-enough-characters"
PATIENCE = 60.0
#: Elections take 0.1 to 0.2 seconds.
QUICK = NodeSettings(tick_seconds=0.01, answer_ticks=1500)


@attrs.define
class Served:
    """A store on a node, and its admin address."""

    store: Store
    client: Client

    def ask(self, path: str) -> tuple[int, Any]:
        answer = self.client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
        return answer.status_code, json.loads(answer.data)

    def applied_index(self) -> int:
        status = self.store.cluster_status()
        assert status is not None
        return status.applied_index

    def check(self) -> tuple[int, str, str]:
        """Of the cluster: status of the answer, state and detail."""
        status, found = self.ask("/health")
        check = found["checks"]["cluster"]
        return status, check["state"], check["detail"]

    def metrics(self) -> dict[tuple[str, str], float]:
        """By the name without its prefix and the values of the labels; the others are left out."""
        return {
            (sample.name.removeprefix("bleepstore_raft_"), ",".join(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(self.client.get("/metrics").text)
            for sample in family.samples
            if sample.name.startswith("bleepstore_raft_")
        }


def until(condition: Callable[[], object]) -> None:
    """Nodes notice each other's silence after a while, and tell nobody when."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def app_of(store: Store) -> AdminApp:
    return AdminApp(services_of(store, attrs.evolve(load_config(), admin_token=TOKEN)))


@contextlib.contextmanager
def serve_nodes() -> Iterator[tuple[Nodes, list[Served]]]:
    with open_nodes(QUICK) as nodes, contextlib.ExitStack() as stack:
        stores = [stack.enter_context(nodes.open_at(member)) for member in nodes.cluster.members.values()]
        yield nodes, [Served(store, Client(app_of(store))) for store in stores]


@pytest.fixture
def three() -> Iterator[tuple[Nodes, list[Served]]]:
    with serve_nodes() as found:
        yield found


def leader_first(nodes: Nodes, served: list[Served]) -> list[Served]:
    until(lambda: nodes.cluster.leader() is not None)
    roles = [one.node.status.role for one in nodes.cluster.members.values()]
    return sorted(served, key=lambda one: roles[served.index(one)] is not Role.LEADER)


def test_each_node_tells_what_it_knows(three: tuple[Nodes, list[Served]]) -> None:
    leader, follower, other = leader_first(*three)
    leader.store.create_bucket("photos")
    follower.store.put_object("photos", "k", b"x")
    until(lambda: len({one.applied_index() for one in (leader, follower, other)}) == 1)
    status, at_leader = leader.ask("/admin/v1/cluster")
    assert status == 200
    assert at_leader["role"] == "leader"
    assert at_leader["leader"] == at_leader["node"]
    assert [one["is_voter"] for one in at_leader["members"]] == [True] * 3
    assert all(one["is_heard_of"] and one["match"] >= 2 and one["level"] >= 1 for one in at_leader["members"])
    assert at_leader["last_index"] == at_leader["committed_index"] == at_leader["applied_index"]
    assert at_leader["counters"]["entries_appended"] >= 2
    assert at_leader["counters"]["leaderships"] == 1
    _status, at_follower = follower.ask("/admin/v1/cluster")
    assert (at_follower["role"], at_follower["leader"]) == ("follower", at_leader["node"])
    assert at_follower["cluster"] == at_leader["cluster"]
    strangers = [one for one in at_follower["members"] if one["id"] != at_follower["node"]]
    assert [one["match"] for one in strangers] == [None, None], "the leader alone knows that"
    document = json.loads(leader.client.get("/openapi.json").data)
    shape = document["paths"]["/admin/v1/cluster"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    for found in (at_leader, at_follower):
        Draft202012Validator({**shape, "components": document["components"]}).validate(found)
    assert leader.client.get("/admin/v1/cluster").status_code == 401
    assert leader.check() == (200, "ok", "leader of 3")
    assert follower.check() == (200, "ok", "follower of 3")


def test_the_metrics_are_those_of_the_node(three: tuple[Nodes, list[Served]]) -> None:
    leader, follower, _other = leader_first(*three)
    leader.store.create_bucket("photos")
    found = leader.metrics()
    assert found["role", "leader"] == found["has_leader", ""] == 1
    assert found["role", "follower"] == found["has_trouble", ""] == found["is_condemned", ""] == 0
    assert found["voters", ""] == found["members", ""] == 3
    assert found["entries_appended_total", ""] >= 1
    assert found["log_bytes", ""] > 0
    assert len([name for name, _label in found if name == "member_lag"]) == 3
    found = follower.metrics()
    assert (found["role", "leader"], found["role", "follower"]) == (0, 1)
    assert not [name for name, _label in found if name == "member_lag"]
    help_of = [
        line for line in leader.client.get("/metrics").text.splitlines() if line.startswith("# HELP bleepstore_raft")
    ]
    assert all(len(line.split(" ", 3)[3]) > 10 for line in help_of)


def test_who_is_cut_off_is_not_ready_and_the_others_say_who_is_silent(three: tuple[Nodes, list[Served]]) -> None:
    nodes, served = three
    old, *others = leader_first(nodes, served)
    old.store.create_bucket("photos")
    status = old.store.cluster_status()
    assert status is not None
    nodes.network.isolate(status.node)
    until(lambda: old.check()[:2] == (503, "failure"))
    assert old.check()[2] == f"no leader of the cluster is known to the node {status.node}"
    assert old.client.get("/readyz").status_code == 503
    assert old.metrics()["has_leader", ""] == 0
    assert old.ask("/health")[1]["checks"]["catalog"]["state"] == "ok", "the catalog can be read"
    until(lambda: any(one.metrics()["role", "leader"] for one in others))
    new = next(one for one in others if one.metrics()["role", "leader"])
    until(lambda: new.check()[1] == "warning")
    assert new.check() == (200, "warning", f"silent: {status.node}")
    assert new.metrics()["member_heard_of", status.node] == 0
    assert new.client.get("/readyz").status_code == 200, "a majority goes on"
    new.store.put_object("photos", "k", b"x")
    nodes.network.heal()
    until(lambda: old.check()[:2] == (200, "ok"))
    until(lambda: new.metrics()["member_lag", status.node] == 0)
    assert old.store.get_object("photos", "k").read() == b"x"


def damage(catalog: Catalog) -> None:
    """Something has changed this catalog behind its back: an object is gone."""
    with catalog.transaction() as tables:
        tables.connection.execute("DELETE FROM object_version WHERE key = 'there'")


def test_a_node_whose_state_is_wrong_says_that_it_is_lost(three: tuple[Nodes, list[Served]]) -> None:
    nodes, served = three
    leader, wrong, _other = leader_first(nodes, served)
    leader.store.create_bucket("photos")
    leader.store.put_object("photos", "there", b"x")
    status = wrong.store.cluster_status()
    assert status is not None
    member = nodes.cluster.members[status.node]
    member.committer.read_barrier()
    damage(member.catalog)
    for _ in range(2 * WINDOW):  # it alone takes them
        with pytest.raises(PreconditionFailed):
            leader.store.put_object("photos", "there", b"x", condition=WriteCondition(if_none_match=True))
    until(member.node.ended.is_set)
    until(lambda: wrong.check()[:2] == (503, "failure"))
    assert "not that of the others" in wrong.check()[2]
    assert wrong.client.get("/readyz").status_code == 503
    assert wrong.metrics()["is_condemned", ""] == 1
    found = wrong.ask("/admin/v1/cluster")[1]
    assert (found["is_for_good"], found["leader"]) == (True, None)
    assert leader.client.get("/readyz").status_code == 200


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


@contextlib.contextmanager
def listening(app: AdminApp) -> Iterator[str]:
    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_command_line_shows_it(
    three: tuple[Nodes, list[Served]], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLEEPSTORE_ADMIN_TOKEN", TOKEN)
    with listening(app_of(three[1][0].store)) as url:
        assert main(["admin", "cluster", "--server", url]) == 0
    assert len(json.loads(capfd.readouterr().out)["members"]) == 3


def test_a_store_on_one_node_has_no_cluster(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLEEPSTORE_ADMIN_TOKEN", TOKEN)
    with bleepstore.open() as store:
        assert store.cluster_status() is None
        app = app_of(store)
        assert "cluster" not in json.loads(Client(app).get("/health").data)["checks"]
        assert "bleepstore_raft" not in Client(app).get("/metrics").text
        with listening(app) as url:
            assert main(["admin", "cluster", "--server", url]) == 1
    assert "NoCluster: This store is not on a cluster" in capfd.readouterr().err


def test_s3_is_served_at_each_node(three: tuple[Nodes, list[Served]]) -> None:
    leader, follower, _other = leader_first(*three)
    with contextlib.closing(client_for(follower.store)) as s3:
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="k", Body=b"hello")
    assert leader.store.get_object("photos", "k").read() == b"hello"
