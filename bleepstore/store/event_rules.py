"""From the configuration of a bucket's notifications to the rules by which its events are kept."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from bleepstore.configurations import ConfigurationKind, destinations_of
from bleepstore.errors import InvalidArgument
from bleepstore.events import EventRule
from bleepstore.senders import Message, OpenSender

_log = logging.getLogger("bleepstore.events")

_ARNS = {
    "TopicConfigurations": "TopicArn",
    "QueueConfigurations": "QueueArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}
_LAMBDA_PARTS = 7  # arn:aws:lambda:region:account:function:name, and a version that may follow


def destination_of(arn: str) -> str:
    """The name under which the server's operator knows the queue, topic or function of an ARN."""
    parts = arn.split(":")
    return parts[_LAMBDA_PARTS - 1] if parts[2] == "lambda" and len(parts) >= _LAMBDA_PARTS else parts[-1]


def rules_of(notification: Mapping[str, Any], known: Mapping[str, OpenSender]) -> tuple[EventRule, ...]:
    """What is to be kept for destinations that are configured here; for others nothing is."""
    return tuple(
        EventRule(
            source=ConfigurationKind.NOTIFICATION,
            id=one["Id"],
            destination=destination_of(one[arn]),
            events=tuple(event.removeprefix("s3:") for event in one["Events"]),
            **_key_filter(one),
        )
        for kind, arn in _ARNS.items()
        for one in notification.get(kind, ())
        if destination_of(one[arn]) in known
    )


def _key_filter(one: Mapping[str, Any]) -> dict[str, str]:
    rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    return {rule["Name"].lower(): rule["Value"] for rule in rules}


def check_destinations(
    notification: Mapping[str, Any], known: Mapping[str, OpenSender], make_test: Callable[[], Message]
) -> None:
    """Send each destination a test message. Raises InvalidArgument for those that are not known, or do not take it."""
    arns = list(dict.fromkeys(destinations_of(notification)))
    failed = [arn for arn in arns if destination_of(arn) not in known]
    if not failed:
        # Many ARNs may name one destination: it is tried once, however long it takes to fail.
        takes = {name: _takes(known[name], make_test()) for name in dict.fromkeys(map(destination_of, arns))}
        failed = [arn for arn in arns if not takes[destination_of(arn)]]
    if failed:
        raise InvalidArgument(
            "Unable to validate the following destination configurations", argument_value=", ".join(failed)
        )


def _takes(open_sender: OpenSender, message: Message) -> bool:
    try:
        sender = open_sender()
        with contextlib.closing(sender):
            return sender.send([message]) == 1
    except Exception as error:  # noqa: BLE001  # whatever its client raises
        _log.warning("a destination of events did not take the test message: %s: %s", type(error).__name__, error)
        return False
