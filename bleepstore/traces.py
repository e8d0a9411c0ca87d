"""Spans of what an operation waits for, through OpenTelemetry (`bleepstore[traces]`): its commit, and its blobs.

    trace(store)

From then on each call of the committer and of the backend that is made within a span is a span below that:

    commit              from the submission of a change to its result; what comes before its batch is the wait for it
      commit.batch      all changes that share one transaction, below the first of them and linked to all
        commit.fsync    of it, for the disk alone
    cluster.read        until this node has all that the cluster acknowledged
    blob.put, .get, ... until the bytes are durable, or begin to come; each attempt of a call to a provider is an event

Without a span that is recorded nothing is made: jobs, and programs that follow nothing, cost two calls.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from opentelemetry import trace as api

from bleepstore.backends.base import Gateway
from bleepstore.backends.watching import CallOutcome
from bleepstore.commands import Command, Result
from bleepstore.errors import S3Error
from bleepstore.store import Store

#: The verbs of a backend that operations wait for, where it has them, and their spans.
_BLOBS = {
    "put_object": "blob.put",
    "get_object": "blob.get",
    "head_object": "blob.head",
    "delete_object": "blob.delete",
    "copy_object": "blob.copy",
    "begin_parts": "blob.begin_parts",
    "put_part": "blob.put_part",
    "assemble_parts": "blob.assemble",
    "delete_parts": "blob.delete_parts",
    "create_bucket": "blob.create_container",
    "delete_bucket": "blob.delete_container",
    "find": "blob.find",
    "remove": "blob.remove",
    "put_tags": "blob.put_tags",
}
_SECOND = 1_000_000_000


def trace(store: Store, tracer_provider: api.TracerProvider | None = None) -> None:
    """Have a store make spans, by the global tracer provider or by another. Call it once, before the store is used."""
    tracer = api.get_tracer("bleepstore", tracer_provider=tracer_provider)
    engine = store.engine
    committer, catalog, backend = engine.committer, engine.catalog, engine.backend
    commits = _Commits(tracer)
    # The two ports of an engine are small, and all that an operation waits for goes through them.
    _replace(committer, "submit", commits.around_submit)
    if committer.is_alone:
        _replace(catalog, "apply_next", commits.around_batch)
        catalog.time_syncs(commits.synced)
    else:
        _replace(committer, "read_barrier", functools.partial(_around, tracer, "cluster.read"))
    for verb, name in _BLOBS.items():
        if hasattr(backend, verb):
            _replace(backend, verb, functools.partial(_around, tracer, name))
    if isinstance(backend, Gateway):
        backend.calls.listener = functools.partial(_note_attempt, backend.calls.listener)


def _replace(owner: object, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    setattr(owner, name, around(getattr(owner, name)))


def _around(tracer: api.Tracer, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        if not api.get_current_span().is_recording():
            return function(*arguments, **options)
        with _span(tracer, name):
            return function(*arguments, **options)

    return call


@contextlib.contextmanager
def _span(tracer: api.Tracer, name: str, **options: Any) -> Iterator[api.Span]:
    """A span that is current in the block. It has the class of an error and not its message, which may have a key."""
    with tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False, **options) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(api.StatusCode.ERROR)
            raise


def _note_attempt(listener: Callable[[CallOutcome], object] | None, outcome: CallOutcome) -> None:
    if listener is not None:
        listener(outcome)
    api.get_current_span().add_event("attempt", {"bleepstore.outcome": outcome})


class _Commits:
    """Knows which spans wait for which changes. Changes of many threads are committed together by one of them."""

    def __init__(self, tracer: api.Tracer) -> None:
        self._tracer = tracer
        self._waiting: dict[str, api.Span] = {}

    def around_submit(self, submit: Callable[[Command], Result]) -> Callable[[Command], Result]:
        @functools.wraps(submit)
        def call(command: Command) -> Result:
            if not api.get_current_span().is_recording():
                return submit(command)
            with _span(self._tracer, "commit") as span:
                span.set_attribute("bleepstore.command", type(command).__name__)
                self._waiting[command.request_id] = span
                try:
                    result = submit(command)
                finally:
                    self._waiting.pop(command.request_id, None)  # another thread may have repeated it
                if isinstance(result, S3Error):
                    span.set_attribute("error.type", type(result).__name__)
                return result

        return call

    def around_batch(
        self, apply_next: Callable[[Callable[[], Sequence[Command]]], list[Result]]
    ) -> Callable[[Callable[[], Sequence[Command]]], list[Result]]:
        @functools.wraps(apply_next)
        def call(drain: Callable[[], Sequence[Command]]) -> list[Result]:
            with contextlib.ExitStack() as stack:

                def drain_and_begin() -> Sequence[Command]:
                    commands = drain()
                    spans = [self._waiting[one.request_id] for one in commands if one.request_id in self._waiting]
                    if spans:
                        stack.enter_context(self._batch(spans, len(commands)))
                    return commands

                return apply_next(drain_and_begin)

        return call

    @contextlib.contextmanager
    def _batch(self, spans: Sequence[api.Span], size: int) -> Iterator[None]:
        context = api.set_span_in_context(spans[0])
        links = [api.Link(span.get_span_context()) for span in spans]
        attributes = {"bleepstore.batch_size": size}
        with _span(self._tracer, "commit.batch", context=context, links=links, attributes=attributes) as batch:
            for span in spans[1:]:
                span.add_link(batch.get_span_context())
            yield

    def synced(self, seconds: float) -> None:
        """The disk took so long."""
        if api.get_current_span().is_recording():
            now = time.time_ns()
            self._tracer.start_span("commit.fsync", start_time=now - int(seconds * _SECOND)).end(now)
