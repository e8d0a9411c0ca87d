"""Commands and results on paper: frozen bytes for every tag, and a clear stop for everything else.

A golden file has two lines, a full record and a minimal one. It is never edited: a class whose form changes gets a new
tag, a new file, and a reader for the old one.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bleepstore import codec, errors
from bleepstore.codec import COMMAND_TAGS, RESULT_TAGS, MalformedRecord, UnknownTag
from bleepstore.commands import Done, RemovedMany, Written
from bleepstore.errors import BleepStoreError
from tests.library.samples import COMMANDS, RESULTS

GOLDEN = Path(__file__).parent / "golden"


def golden_name(tag: str) -> str:
    return tag.replace(":", "-").replace("/", "-") + ".json"


def golden_lines(tag: str) -> list[bytes]:
    path = GOLDEN / golden_name(tag)
    assert path.exists(), f"the tag {tag} has no golden file: write what the codec makes of the samples to {path.name}"
    return path.read_bytes().splitlines()


@pytest.mark.parametrize("cls", list(COMMAND_TAGS), ids=lambda cls: COMMAND_TAGS[cls])
def test_the_bytes_of_a_command_never_change(cls: type) -> None:
    lines = golden_lines(COMMAND_TAGS[cls])
    assert [codec.encode_command(command) for command in COMMANDS[cls]] == lines
    assert tuple(codec.decode_command(line) for line in lines) == COMMANDS[cls]


@pytest.mark.parametrize("cls", list(RESULT_TAGS), ids=lambda cls: RESULT_TAGS[cls])
def test_the_bytes_of_a_result_never_change(cls: type) -> None:
    lines = golden_lines(RESULT_TAGS[cls])
    assert [codec.encode_result(result) for result in RESULTS[cls]] == lines
    decoded = tuple(codec.decode_result(line) for line in lines)
    assert decoded == RESULTS[cls]
    assert [type(result) for result in decoded] == [cls, cls]


def test_every_golden_file_belongs_to_a_tag() -> None:
    tags = [*COMMAND_TAGS.values(), *RESULT_TAGS.values()]
    assert len(set(tags)) == len(tags)
    assert {path.name for path in GOLDEN.iterdir()} == {golden_name(tag) for tag in tags}


def test_records_are_canonical() -> None:
    """Equal commands give equal bytes: sorted keys, no spaces, UTF-8, nothing that is a default."""
    for full, minimal in COMMANDS.values():
        for command in (full, minimal):
            record = codec.encode_command(command)
            fields = json.loads(record)
            assert record == json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            assert None not in fields.values()


@pytest.mark.parametrize("tag", ["put-object/2", "put-object", "no-such-command/1", "done/1", "", "PUT-OBJECT/1"])
def test_an_unknown_tag_stops_the_reader(tag: str) -> None:
    with pytest.raises(UnknownTag, match="upgrade"):
        codec.decode_command(json.dumps({"type": tag}).encode())


def test_commands_and_results_are_not_each_other() -> None:
    with pytest.raises(UnknownTag):
        codec.decode_result(codec.encode_command(next(iter(COMMANDS.values()))[0]))
    with pytest.raises(UnknownTag):
        codec.decode_command(codec.encode_result(Done()))


GOOD = json.loads((GOLDEN / "put-object-1.json").read_bytes().splitlines()[0])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"put-object/1"',
        b"{}",
        b'{"type":1}',
        b'{"type":null}',
        b"\xff\xfe",
        b'{"type":"delete-bucket/1"}',
        json.dumps({**GOOD, "size": "many"}).encode(),
        json.dumps({**GOOD, "extra": 1}).encode(),
        json.dumps({**GOOD, "data": {"type": "tape", "handle": "h"}}).encode(),
        json.dumps({**GOOD, "data": {"type": "inline", "data": "not base64!"}}).encode(),
        json.dumps({**GOOD, "attributes": {"grants": [{"grantee": "id:a", "permission": "DANCE"}]}}).encode(),
        json.dumps({**GOOD, "condition": {"if_match": "x", "if_none_match": True}}).encode(),
        json.dumps({**GOOD, "checksum": {"algorithm": "CRC16", "value": ""}}).encode(),
        json.dumps({name: value for name, value in GOOD.items() if name != "bucket"}).encode(),
        b"[" * 100_000,
    ],
    ids=range(19),
)
def test_a_malformed_record_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedRecord) as refused:
        codec.decode_command(data)
    assert isinstance(refused.value, BleepStoreError)


def test_a_malformed_record_within_a_result_is_refused() -> None:
    with pytest.raises(MalformedRecord):
        codec.decode_result(b'{"type":"removed-many/1","outcomes":[1]}')
    with pytest.raises(UnknownTag):
        codec.decode_result(b'{"type":"removed-many/1","outcomes":[{"type":"removed/9","key":"k"}]}')


def test_a_refusal_within_a_result_keeps_its_class_and_facts() -> None:
    refusal = errors.PreconditionFailed(errors.Condition.IF_MATCH, "photos", "k")
    again = codec.decode_result(codec.encode_result(RemovedMany((refusal,))))
    assert isinstance(again, RemovedMany)
    assert again.outcomes == (refusal,)
    assert codec.decode_result(codec.encode_result(Written("null", 5))) == Written("null", 5)


def test_secrets_are_not_in_the_text_form() -> None:
    from bleepstore.commands import PutCredential
    from bleepstore.model import Owner

    command = PutCredential(request_id="r", time_ms=0, access_key="AKIA", secret_key="hush", owner=Owner("a"))
    assert "hush" not in repr(command)
