"""Messages to a queue of Amazon SQS or a topic of Amazon SNS, or of what speaks their protocol.

`sqs+https://sqs.REGION.amazonaws.com/ACCOUNT/QUEUE` is the URL of a queue, `sns+https://sns.REGION.amazonaws.com/ARN`
names a topic. Credentials come from boto3's usual chain: environment, files, the machine's role. Option: `region`, for
queues at other hosts. Queues and topics whose names end in .fifo keep the order of a key; others do not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bleepstore.errors import StoreError
from bleepstore.senders.address import parse_address
from bleepstore.senders.connected import Batch, Numbered
from bleepstore.senders.messages import Message
from bleepstore.senders.sender import SendError

_BATCH = 10  # entries of a request, at most: for both services
_CONNECT = 5.0  # seconds


class _Service:
    """A service that takes batches, and answers for each entry. Raises StoreError for a URL that is wrong."""

    service: str
    body_field: str

    def __init__(self, url: str) -> None:
        self._address = parse_address(url, frozenset({"region"}))
        if self._address.user is not None:
            raise StoreError(f"{self._address}: credentials come from the environment, as boto3 finds them")
        self._endpoint = f"{self._address.scheme.partition('+')[2]}://{self._address.hosts[0]}"
        self._is_fifo = self._address.path.endswith(".fifo")
        self._client: Any = None

    def send(self, messages: Sequence[Message]) -> int:
        if self._client is None:
            self._client = self._make_client()
        batch = Batch(messages, self._address.timeout)
        try:
            for part in batch.rounds(_BATCH) if self._is_fifo else batch.parts(_BATCH):
                if batch.is_late:
                    raise SendError("it did not answer in time")
                self._send_part(part, batch)
        except (BotoCoreError, ClientError, ValueError, SendError) as error:
            if not batch.taken:
                raise SendError(f"{self._address}: {error}") from error
        return batch.taken

    def _send_part(self, part: Sequence[Numbered], batch: Batch) -> None:
        answer = self._request([{"Id": str(one.index), **self._entry(one.message)} for one in part])
        for taken in answer.get("Successful", ()):
            batch.acknowledge(int(taken["Id"]))
        for refused in answer.get("Failed", ()):
            raise SendError(f"{refused.get('Code')}: {refused.get('Message')}")

    def _request(self, entries: list[dict[str, Any]]) -> Any:
        raise NotImplementedError

    def _region(self) -> str | None:
        raise NotImplementedError

    def _entry(self, message: Message) -> dict[str, Any]:
        entry = {self.body_field: message.body.decode()}
        if self._is_fifo:
            # "Up to 128 alphanumeric characters and punctuation" each.
            entry["MessageGroupId"] = hashlib.sha256(message.group.encode()).hexdigest()
            entry["MessageDeduplicationId"] = hashlib.sha256(message.body).hexdigest()
        return entry

    def _make_client(self) -> Any:
        config = Config(
            connect_timeout=min(_CONNECT, self._address.timeout),
            read_timeout=self._address.timeout,
            retries={"total_max_attempts": 1},
            tcp_keepalive=True,
        )
        try:
            session: Any = boto3.Session()
            region = self._region() or session.region_name
            return session.client(self.service, region_name=region, endpoint_url=self._endpoint, config=config)
        except (BotoCoreError, ValueError) as error:
            raise SendError(f"{self._address}: {error}") from error

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


class Sqs(_Service):
    """A queue, by its URL."""

    service = "sqs"
    body_field = "MessageBody"

    def _request(self, entries: list[dict[str, Any]]) -> Any:
        return self._client.send_message_batch(QueueUrl=f"{self._endpoint}/{self._address.path}", Entries=entries)

    def _region(self) -> str | None:
        named = re.match(r"sqs\.([a-z0-9-]+)\.", self._address.hosts[0])
        return self._address.options.get("region", named[1] if named else None)


class Sns(_Service):
    """A topic, by its ARN."""

    service = "sns"
    body_field = "Message"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        if not re.fullmatch(r"arn:[a-z-]+:sns:[a-z0-9-]+:\d+:[\w.-]+", self._address.path):
            raise StoreError(f"{self._address} needs the ARN of a topic: .../arn:aws:sns:REGION:ACCOUNT:NAME")

    def _request(self, entries: list[dict[str, Any]]) -> Any:
        titled = [entry | {"Subject": "Amazon S3 Notification"} for entry in entries]
        return self._client.publish_batch(TopicArn=self._address.path, PublishBatchRequestEntries=titled)

    def _region(self) -> str | None:
        return self._address.path.split(":")[3]
