"""A replicated catalog: the only module that joins Raft, which carries bytes, with commands.

    submit      encode -> propose -> the log of a quorum -> applied to the catalog of every node -> result
    barrier     ReadIndex: wait until this node's catalog has all that was committed when the call began

An entry is one command in an envelope: `valid_to`, the last index of the log at which it may still be applied, then the
command as the codec writes it. A proposal that is repeated carries the same envelope, and the catalog remembers
results for at least as many indexes as an envelope is valid, so a command never takes effect twice.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import attrs

from bleepstore.catalog.apply import REMEMBERED_REQUESTS
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.copying import make_file_durable
from bleepstore.catalog.sqlite.snapshot import hash_of, write_copy
from bleepstore.cleanup import on_error
from bleepstore.clock import SteadyClock
from bleepstore.cluster_status import ClusterStatus
from bleepstore.codec import MalformedRecord, decode_command, encode_command, encode_result
from bleepstore.commands import BeginSweep, Command, Result
from bleepstore.errors import CatalogDamaged, CatalogTooNew, ServiceUnavailable, SlowDown, StorageFull, StoreError
from bleepstore.raft.ids import check_id, new_id
from bleepstore.raft.messages import Accepted, ConfChange, Configuration, NodeId, Refusal, Role
from bleepstore.raft.node import Node
from bleepstore.raft.node_settings import DEFAULTS, Host, NodeSettings
from bleepstore.raft.node_status import status_of
from bleepstore.raft.sqlite_log import create_log, open_log, read_identity
from bleepstore.raft.state import RandomSource
from bleepstore.raft.state_machine import SnapshotRefused
from bleepstore.raft.storage import LogMisuse
from bleepstore.raft.transport import Transport
from bleepstore.raft.waiting import LowSpace, NodeEnded, Overloaded, ProposalRefused, RemovedFromCluster, TimedOut
from bleepstore.threads import map_in_threads

#: The file of a node's log, in its directory.
_LOG = "raft.db"
#: Says why the state beside it must not be used.
_CONDEMNED = "condemned"
#: The first byte of an entry: the form of its envelope.
_FORM = 1
#: Kept on the disk of each node for the log of what frees space.
RESERVED_BYTES = 16 << 20
#: How far behind the cluster a host's clock may be and still follow it.
MAX_BEHIND_MS = 3_600_000
_ENVELOPE = struct.Struct(">BQ")


def wrap(command: Command, valid_to: int) -> bytes:
    """The data of an entry."""
    return _ENVELOPE.pack(_FORM, valid_to) + encode_command(command)


def unwrap(data: bytes) -> tuple[int, Command]:
    """(valid_to, command) of an entry. Raises MalformedRecord or UnknownTag, which must stop the node."""
    if len(data) < _ENVELOPE.size or data[0] != _FORM:
        raise MalformedRecord("an entry of the log is in no known envelope: upgrade this node")
    return _ENVELOPE.unpack_from(data)[1], decode_command(data[_ENVELOPE.size :])


class CatalogStateMachine:
    """The catalog as the state machine of a node: see `bleepstore.raft.state_machine`.

    The file of `folder` in use is `catalog{name}.db`; each snapshot that is installed brings a new name, since a
    database is never replaced while it may be open.
    """

    def __init__(self, folder: Path, name: str = "") -> None:
        self._folder = folder
        self.name = name
        condemned = folder / _CONDEMNED
        if condemned.exists():
            raise CatalogDamaged(condemned.read_text() or f"{folder} holds a state that is not that of the others")
        self._numbers = itertools.count(1)
        path = self._path(name)
        if name and not path.exists():
            raise CatalogDamaged(
                f"{path} is missing, and the log begins after it: start this node anew with an empty directory"
            )
        self.catalog = Catalog(path, replicated=True)
        #: The time of the latest command that was applied since the start.
        self.latest_ms = 0
        #: One number: the time of the latest sweep, whose orphans are from before.
        self.swept_ms = [0]
        self._look()

    def _look(self) -> None:
        with self.catalog.read() as reader:
            self.applied = reader.applied_index()
            self.swept_ms[0] = reader.sweep_times()[0]

    def _path(self, name: str) -> Path:
        return self._folder / f"catalog{name}.db"

    def remove_others(self) -> None:
        """Remove what was received or prepared, and never became the state. Not before the log was found to go on from
        this state: if it does not, what is there may be all that is left of another one."""
        own = self._path(self.name).name
        for path in self._folder.iterdir():
            is_catalog = path.name.startswith("catalog") and path.name != own and not path.name.startswith(f"{own}-")
            if (is_catalog and path.suffix != ".lock") or path.name.startswith("incoming-"):
                path.unlink()

    def apply(self, batch: Sequence[tuple[int, bytes]], through: int) -> Sequence[object]:
        """One transaction; `through` becomes the catalog's applied index in it."""
        entries = []
        for index, data in batch:
            valid_to, command = unwrap(data)
            entries.append((index, valid_to, command))
            self.latest_ms = max(self.latest_ms, command.time_ms)
            if isinstance(command, BeginSweep):
                self.swept_ms[0] = max(self.swept_ms[0], command.until_ms)
        results = self.catalog.apply_log(entries, through)
        self.applied = through
        return results

    def fingerprint(self, result: object) -> bytes:
        return encode_result(cast("Result", result))

    def raise_level(self, level: int, through: int) -> None:
        """One transaction, as `apply`."""
        with self.catalog.transaction() as tables:
            tables.raise_level(level)
            tables.set_applied_index(through)
        self.applied = through

    def condemn(self, reason: str) -> None:
        """A file beside the catalog keeps it from being opened again."""
        (self._folder / _CONDEMNED).write_text(reason)
        make_file_durable(self._folder)

    def make_durable(self) -> int:
        index = self.catalog.make_durable()
        make_file_durable(self._folder)  # the write-ahead log may be a new file
        return index

    @property
    def size(self) -> int:
        return self._path(self.name).stat().st_size

    def write_snapshot(self, path: Path) -> int:
        return write_copy(self.catalog, path)

    def incoming(self) -> Path:
        return self._folder / f"incoming-{next(self._numbers)}.db"

    def prepare(self, path: Path, index: int) -> str:
        """Verify a received catalog: that it is one, whole, and at `index`."""
        try:
            received = Catalog(path, replicated=True)
        except (CatalogDamaged, CatalogTooNew) as error:
            raise SnapshotRefused(f"what came is no catalog: {error}") from error
        try:
            with received.read() as reader:
                applied = reader.applied_index()
                soundness = reader.soundness()
            if soundness != "ok":
                raise SnapshotRefused(f"the catalog that came is damaged: {soundness}")
            if applied != index:
                raise SnapshotRefused(f"the catalog that came is at {applied}, not {index}")
            received.make_durable()
        except CatalogDamaged as error:  # so badly that SQLite cannot even look for what is wrong
            raise SnapshotRefused(f"the catalog that came is damaged: {error}") from error
        finally:
            received.close()
            path.with_suffix(".lock").unlink(missing_ok=True)
        name = f"-{index}-{os.urandom(4).hex()}"
        path.rename(self._path(name))
        make_file_durable(self._folder)
        return name

    def install(self, name: str) -> None:
        """The catalog switches to the new file; queries under way end with the old file, which is removed."""
        old = self._path(self.name)
        self.catalog.switch_to(self._path(name))
        self.name = name
        self._look()
        for suffix in ("", "-wal", "-shm"):
            old.with_name(old.name + suffix).unlink(missing_ok=True)

    def discard(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def close(self) -> None:
        self.catalog.close()

    def hash(self) -> tuple[int, str]:
        """(applied index, hash of everything): equal on all nodes that have applied as much."""
        return hash_of(self.catalog)


class SpaceReserve:
    """A file of RESERVED_BYTES in the directory of a node, which is given up when the disk is full: so that the log has
    space for the commands that free some, whatever else fills the disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "reserve"
        self._is_made = self._path.exists()

    def free_bytes(self) -> int:
        """What is free on the disk, beside the reserve."""
        free = self._free()
        if self._is_made and free < RESERVED_BYTES:
            self._path.unlink(missing_ok=True)
            self._is_made = False
            free = self._free()
        elif not self._is_made and free >= 8 * RESERVED_BYTES:
            free -= self._make()
        return free

    def _free(self) -> int:
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize

    def _make(self) -> int:
        """Returns its size; 0: there is no space for it after all."""
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVED_BYTES)
        except OSError:
            self._path.unlink(missing_ok=True)
            return 0
        self._is_made = True
        return RESERVED_BYTES


class RaftCommitter:
    """The `Committer` of a node in a cluster: a command is durable on a quorum before its result is returned."""

    is_alone = False

    def __init__(self, node: Node, state_machine: CatalogStateMachine) -> None:
        self._node = node
        self._state_machine = state_machine

    def submit(self, command: Command) -> Result:
        """Raises ServiceUnavailable (the outcome may be unknown: a repeat with the same request id tells), SlowDown,
        or StorageFull.
        """
        level = self._node.core.configuration.level
        if command.level > level:
            raise ServiceUnavailable(
                f"The cluster is at feature level {level}, this change needs {command.level}: upgrade all nodes, then "
                "raise the level."
            )
        data = wrap(command, self._state_machine.applied + REMEMBERED_REQUESTS)
        try:
            proposed = self._node.propose(command.request_id, data, frees_space=command.frees_space)
            return cast("Result", proposed.result())
        except Overloaded as error:
            raise SlowDown("Too many changes wait for the cluster.") from error
        except LowSpace as error:
            raise StorageFull from error
        except ProposalRefused as error:
            raise ServiceUnavailable(f"The cluster did not take the change: {error}.") from error
        except (RemovedFromCluster, NodeEnded) as error:
            raise ServiceUnavailable(f"{error}.") from error
        except TimedOut as error:
            raise ServiceUnavailable("The cluster did not answer in time: no leader, or no majority.") from error

    def read_barrier(self) -> None:
        """Linearizable: everything that any node acknowledged before this call can be seen by queries here.

        Raises ServiceUnavailable if no majority of the cluster answers.
        """
        try:
            self._node.read_barrier().result()
        except (RemovedFromCluster, NodeEnded) as error:
            raise ServiceUnavailable(f"{error}.") from error
        except TimedOut as error:
            raise ServiceUnavailable("The cluster did not answer in time: no leader, or no majority.") from error

    def cluster_status(self) -> ClusterStatus:
        """See the `Committer`."""
        return status_of(self._node)


def clocks_of(state_machine: CatalogStateMachine, source: Callable[[], int]) -> tuple[SteadyClock, Callable[[], int]]:
    """The clocks of a store on a node whose host has the clock `source`: that of blobs and sweeps, and that of people
    (`bleepstore.jobs.parts.Parts`).

    Hosts disagree. A sweep that another node began would refuse every new blob of one whose clock is behind, and what
    replaces an object would seem older than it. So both clocks are at least where the cluster is; that of people only
    within MAX_BEHIND_MS, for a clock that is so far ahead is more likely wrong than all others.
    """
    steady = SteadyClock(source)
    steady.follow(state_machine.swept_ms)

    def wall() -> int:
        now, latest = source(), state_machine.latest_ms
        return latest if now < latest <= now + MAX_BEHIND_MS else now

    return steady, wall


class LeaderLease:
    """The lease of the jobs of a store in a cluster (`bleepstore.jobs.lease.Lease`): the leader has it."""

    poll_seconds = 4.0

    def __init__(self, node: Node) -> None:
        self._node = node

    def acquire(self) -> bool:
        return self._node.status.role is Role.LEADER

    def release(self) -> None:
        """It goes with the lead."""


@attrs.frozen
class Member:
    """A running node of a replicated catalog."""

    node: Node
    state_machine: CatalogStateMachine
    committer: RaftCommitter

    @property
    def id(self) -> NodeId:
        return self.node.id

    @property
    def catalog(self) -> Catalog:
        return self.state_machine.catalog

    def propose_change(self, change: ConfChange) -> Accepted | Refusal:
        """Propose a change of the membership, at the leader: see `Raft.propose_conf`. Accepted is not yet decided.

        Raises LogMisuse if a new member has an id that `create_member` cannot have made, NodeEnded.
        """
        for one in change.learn:
            check_id(one)
        return self.node.call(lambda core: core.propose_conf(change)).result()

    @property
    def level(self) -> int:
        """The feature level that is in effect here."""
        return self.node.core.configuration.level

    def raise_level(self) -> Accepted | Refusal:
        """Propose, at the leader, the highest feature level that all members have announced. Refused as BAD_CHANGE if
        that is in effect already. It cannot be taken back. Raises NodeEnded.
        """
        return self.node.call(lambda core: core.propose_conf(ConfChange(level=core.announced_level()))).result()

    def stop(self, *, hand_over: bool = True) -> None:
        """End it orderly: see `Node.stop`."""
        self.node.stop(hand_over=hand_over)


@attrs.frozen
class NodeIdentity:
    """Who a node is: ids that were made here, and are never used again."""

    cluster: str
    node: NodeId


def create_member(folder: Path, cluster: str | None = None) -> NodeIdentity:
    """Make the directory of a new node, and say which ids it has. Where there is a node already, it keeps its own.

    Without `cluster` the node begins a new cluster, alone. With the id of a cluster it will join that one: once it
    runs, `Member.propose_change` at the leader makes its id a learner's, and then a voter's. Nobody chooses an id: a
    node whose log is lost has forgotten what it promised, and what replaces it is another node.

    Raises LogMisuse if the directory is that of a node of another cluster, of a node that runs, or of one whose log is
    lost; LogDamaged or LogTooNew if its log is so.
    """
    if cluster is not None:
        check_id(cluster)
    found = read_identity(folder / _LOG)
    if found is None:
        node = new_id()
        found = (cluster or new_id(), node)
        _set_up(folder, *found, voters=(node,) if cluster is None else ())
    elif cluster not in (None, found[0]):
        raise LogMisuse(f"{folder} is that of a node of the cluster {found[0]}, not of {cluster}")
    return NodeIdentity(*found)


def _set_up(folder: Path, cluster: str, node: NodeId, voters: Sequence[NodeId]) -> None:
    _make_folder(folder)
    left = sorted(path.name for path in folder.glob("catalog*"))
    if left:
        raise LogMisuse(
            f"{folder} holds the state of a node already ({left[0]}). If its log is lost, so is what it has promised: "
            "make a node with a NEW id in an empty directory, and remove the old id from the cluster"
        )
    create_log(folder / _LOG, cluster=cluster, node=node, configuration=Configuration(tuple(voters))).close()


def _make_folder(folder: Path) -> None:
    """With every directory above it that is missing, each durable before the next one is made. A crash may have kept
    the last one that exists from becoming durable, so it counts as new, unless this user cannot have made it.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    there = missing[-1].parent if missing else folder
    with contextlib.suppress(PermissionError):
        make_file_durable(there.parent)
    for path in reversed(missing):
        path.mkdir(mode=0o700 if path == folder else 0o777, exist_ok=True)
        make_file_durable(path.parent)


def open_member(
    folder: Path,
    transport: Transport,
    *,
    settings: NodeSettings = DEFAULTS,
    rng: RandomSource | None = None,
    on_failure: Callable[[BaseException], None] | None = None,
) -> Member:
    """Start the node that `create_member` made.

    Raises LogDamaged, LogTooNew, LogMisuse, CatalogDamaged, CatalogTooNew.
    """

    log = open_log(folder / _LOG)
    with on_error(log.close):
        state_machine = CatalogStateMachine(folder, log.snapshot().name)
    with on_error(log.close, state_machine.close):
        node = Node(
            log,
            state_machine,
            transport,
            settings=settings,
            host=Host(rng=rng, free_bytes=SpaceReserve(folder).free_bytes),
            on_failure=on_failure,
        )
    with on_error(functools.partial(node.stop, hand_over=False)):
        state_machine.remove_others()
        node.start()
    return Member(node, state_machine, RaftCommitter(node, state_machine))


class LocalCluster:
    """Several members in one process, for tests and to try things out. Use it in a `with` block."""

    def __init__(
        self,
        folder: Path,
        transport: Transport,
        size: int = 3,
        *,
        settings: NodeSettings = DEFAULTS,
        rng: Callable[[], RandomSource] | None = None,
    ) -> None:
        """Start a new cluster of `size` members, each in a directory of its own below `folder`, named after its id.

        `rng` makes the generator of each start; by default the operating system seeds them.
        """
        self._folder = folder
        self._transport = transport
        self._settings = settings
        self._rng = rng
        self.cluster = new_id()
        self.ids = tuple(new_id() for _ in range(size))
        self.members: dict[NodeId, Member] = {}
        for node in self.ids:
            _set_up(folder / node, self.cluster, node, voters=self.ids)
        with on_error(self.close):
            for node in self.ids:
                self.start(node)

    def start(self, node: NodeId) -> Member:
        """Start a member that is down."""
        if node in self.members:
            raise StoreError(f"{node} runs already")
        rng = None if self._rng is None else self._rng()
        member = open_member(self._folder / node, self._transport, settings=self._settings, rng=rng)
        self.members[node] = member
        return member

    def stop(self, node: NodeId) -> None:
        self.members.pop(node).stop()

    def crash(self, node: NodeId) -> None:
        """End a member as if its process had died."""
        self.members.pop(node).node.crash()

    def leader(self) -> Member | None:
        """The member that leads the latest term, if one does."""
        leaders = [one for one in self.members.values() if one.node.status.role is Role.LEADER]
        return max(leaders, key=lambda one: one.node.status.term, default=None)

    def close(self) -> None:
        # All of them end, so there is nobody to hand over to.
        members = list(self.members.values())
        map_in_threads(functools.partial(Member.stop, hand_over=False), members, len(members))
        self.members.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
