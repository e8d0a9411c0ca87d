"""Commands and results on paper: frozen bytes for every tag, and a clear stop for everything else.

A golden file has two records, a full one and a minimal one, in hexadecimal where they hold raw bytes. It is never
edited: a class whose form changes gets a new tag, a new file, and an up-caster from the old one, whose file stays.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest

from bleepstore import catalog, codec, errors
from bleepstore import commands as c
from bleepstore.attributes import ATTRIBUTES
from bleepstore.codec import MalformedRecord, UnknownTag
from bleepstore.codec.forms import COMMAND_FORMS, COMMANDS, EVENT_FORMS, EVENTS, RESULT_FORMS, RESULTS
from bleepstore.codec.kinds import TEXT
from bleepstore.codec.records import Fields, RecordForm, Records, Struct, form, optional
from bleepstore.commands import Command, Done, RemovedMany, Written
from bleepstore.errors import BleepStoreError, S3Error
from bleepstore.model import NO_ATTRIBUTES, Inline, ObjectAttributes
from tests.library import samples
from tests.library.test_attributes import FULL

GOLDEN = Path(__file__).parent / "golden"
CATALOG = Path(catalog.__file__).parent
FORMS = (*COMMAND_FORMS, *RESULT_FORMS, *EVENT_FORMS)


def golden_name(tag: str) -> str:
    return tag.replace("/", "-") + ".txt"


def golden_records(tag: str) -> list[bytes]:
    """Each line is the text of a record, or that text and, behind a blank, the hexadecimal of its raw bytes."""
    path = GOLDEN / golden_name(tag)
    assert path.exists(), f"the tag {tag} has no golden file: write what the codec makes of the samples to {path.name}"
    return [_record(line) for line in path.read_bytes().splitlines()]


def _record(line: bytes) -> bytes:
    text, marker, raw = line.rpartition(b"}+")
    return b"%s}\n%s" % (text, bytes.fromhex(raw.decode())) if marker else line


def as_line(record: bytes) -> bytes:
    """What `golden_records` reads."""
    text, newline, raw = record.partition(b"\n")
    return text + b"+" + raw.hex().encode() if newline else text


def tag_of(found: RecordForm) -> str:
    return found.tag


@pytest.mark.parametrize("found", COMMAND_FORMS, ids=tag_of)
def test_the_bytes_of_a_command_never_change(found: RecordForm) -> None:
    records, commands = golden_records(found.tag), samples.COMMANDS[found.struct.cls]
    assert [codec.encode_command(command) for command in commands] == records
    assert tuple(codec.decode_command(record) for record in records) == commands


@pytest.mark.parametrize("found", RESULT_FORMS, ids=tag_of)
def test_the_bytes_of_a_result_never_change(found: RecordForm) -> None:
    records, results = golden_records(found.tag), samples.RESULTS[found.struct.cls]
    assert [codec.encode_result(result) for result in results] == records
    decoded = tuple(codec.decode_result(record) for record in records)
    assert decoded == results
    assert [type(result) for result in decoded] == [found.struct.cls] * 2


def test_the_bytes_of_an_event_never_change() -> None:
    (found,) = EVENT_FORMS
    records = golden_records(found.tag)
    assert [codec.encode_event(event) for event in samples.EVENTS] == records
    assert tuple(codec.decode_event(record) for record in records) == samples.EVENTS


@pytest.mark.parametrize("records", [COMMANDS, RESULTS, EVENTS], ids=["commands", "results", "events"])
def test_what_any_release_wrote_is_read(records: Records) -> None:
    for tag in records.successors:
        assert [records.decode(record) for record in golden_records(tag)], tag


def test_every_golden_file_belongs_to_a_tag() -> None:
    tags = [*(found.tag for found in FORMS), *COMMANDS.successors, *RESULTS.successors, *EVENTS.successors]
    assert len(set(tags)) == len(tags)
    assert {path.name for path in GOLDEN.iterdir()} == {golden_name(tag) for tag in tags}


# -- the forms and the classes


def structs_of(struct: Struct) -> Iterator[Struct]:
    yield struct
    for kind in struct.fields.values():
        if kind.struct is not None:
            yield from structs_of(kind.struct)


@pytest.mark.parametrize("found", FORMS, ids=tag_of)
def test_a_class_cannot_change_without_a_new_form(found: RecordForm) -> None:
    for struct in structs_of(found.struct):
        fields = {field.name for field in attrs.fields(struct.cls)}
        assert set(struct.fields) == fields, (
            f"{struct.cls.__name__} has changed, so {found.tag} is no longer its form. Give the new form the next tag, "
            "and add an up-caster from this one: see bleepstore.codec.forms"
        )


def test_every_command_and_every_refusal_of_apply_has_a_form() -> None:
    assert {found.struct.cls for found in COMMAND_FORMS} == set(get_args(Command))
    imported = {
        alias.name
        for path in CATALOG.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "bleepstore.errors"
        for alias in node.names
    }
    classes = [cls for name in imported if isinstance(cls := getattr(errors, name), type)]
    refusals = {cls for cls in classes if issubclass(cls, S3Error) and cls is not S3Error}
    assert refusals
    assert refusals <= {found.struct.cls for found in RESULT_FORMS}


# -- older forms, invented here


def _from_the_first_form(fields: Fields) -> Fields:
    """Attributes had no value of their own, and the owner was an id alone."""
    attributes = {name: fields.pop(name) for name in ("system", "metadata", "storage_class")}
    acl = fields.pop("acl")
    fields["attributes"] = {**attributes, "grants": None if acl is None else acl["grants"]}
    return fields


def _from_the_second_form(fields: Fields) -> Fields:
    """The id of the bucket came with a change of the class, and so did a condition, an origin and who made it."""
    condition = {**fields["condition"], "replaces_only_of": None}
    return {**fields, "bucket_id": None, "condition": condition, "origin": None, "creator_id": None}


OLD_PUT = (
    b'{"type":"put-object/1","request_id":"r","time_ms":1,"bucket":"photos","key":"k","owner":{"id":"a",'
    b'"display_name":""},"size":3,"etag":"e","data":{"inline":3},"stored_ms":null,"system":{"content_type":"x/y"},'
    b'"metadata":{"a":"1"},"storage_class":"GLACIER","acl":{"owner_id":"a","grants":[[true,"AllUsers","READ"]]},'
    b'"checksum":null,"crc64nvme":null,"parts":[],"condition":{"if_match":null,"if_none_match":false}}'
    b"\n\n\xff\x00"
)


def test_an_older_form_of_a_command_is_read_as_the_present_one() -> None:
    put = next(one for one in COMMAND_FORMS if one.struct.cls is c.PutObject)
    later = Records(
        [RecordForm("put-object/3", put.struct)],
        {
            "put-object/1": ("put-object/2", _from_the_first_form),
            "put-object/2": ("put-object/3", _from_the_second_form),
        },
    )
    command = later.decode(OLD_PUT)
    assert isinstance(command, c.PutObject)
    assert command.data == Inline(b"\n\xff\x00")
    assert command.attributes.storage_class == "GLACIER"
    assert command.attributes.metadata == {"a": "1"}
    assert [grant.grantee for grant in command.attributes.grants or ()] == ["AllUsers"]
    assert later.encode(command).startswith(b'{"type":"put-object/3"')
    assert later.decode(later.encode(command)) == command


def test_an_older_form_of_a_result_is_read_as_the_present_one() -> None:
    later = Records(
        [
            form("removed/2", c.Removed, key=TEXT, version_id=TEXT, delete_marker_id=optional(TEXT)),
            next(one for one in RESULT_FORMS if one.struct.cls is RemovedMany),
        ],
        {"removed/1": ("removed/2", lambda fields: {**fields, "version_id": fields["version_id"] or "null"})},
    )
    assert later.decode(codec.encode_result(c.Removed("k"))) == c.Removed("k", "null")


@pytest.mark.parametrize("number", range(len(ATTRIBUTES)), ids=[attribute.name for attribute in ATTRIBUTES])
def test_only_attributes_that_say_something_are_written(number: int) -> None:
    """So a node that does not know an attribute yet reads the records of objects that have none."""
    full, none = samples.COMMANDS[c.CreateUpload]
    assert isinstance(full, c.CreateUpload)
    name = ATTRIBUTES[number].name
    attributes = ObjectAttributes(**{name: getattr(FULL, name)})
    record = codec.encode_command(attrs.evolve(full, attributes=attributes))
    assert list(json.loads(record)["attributes"]) == [name]
    read = codec.decode_command(record)
    assert isinstance(read, c.CreateUpload)
    assert read.attributes == attributes
    assert json.loads(codec.encode_command(none))["attributes"] == {}


def test_absent_attributes_that_are_written_out_are_read() -> None:
    record = json.loads(codec.encode_command(samples.COMMANDS[c.CreateUpload][1]))
    record["attributes"] = {attribute.name: attribute.absent for attribute in ATTRIBUTES}
    assert codec.decode_command(json.dumps(record).encode()) == samples.COMMANDS[c.CreateUpload][1]


def test_an_attribute_that_a_record_does_not_know_is_absent() -> None:
    record = json.loads(codec.encode_command(samples.COMMANDS[c.CreateUpload][0]))
    record["attributes"] = {"storage_class": "GLACIER"}
    command = codec.decode_command(json.dumps(record).encode())
    assert isinstance(command, c.CreateUpload)
    assert command.attributes == ObjectAttributes(storage_class="GLACIER")
    record["attributes"] = {"colour": "red"}
    with pytest.raises(UnknownTag, match="upgrade"):
        codec.decode_command(json.dumps(record).encode())


# -- the bytes


def test_records_are_canonical() -> None:
    """Equal commands give equal bytes: the order of the form, no spaces, UTF-8, and every field of it."""
    for cls, pair in samples.COMMANDS.items():
        found = next(one for one in COMMAND_FORMS if one.struct.cls is cls)
        for command in pair:
            text = codec.encode_command(command).partition(b"\n")[0]
            fields = json.loads(text)
            assert list(fields) == ["type", *found.struct.fields]
            assert text == json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    put, other = samples.COMMANDS[c.PutObject]
    assert isinstance(put, c.PutObject)
    turned = dict(reversed(list(put.attributes.metadata.items())))
    again = attrs.evolve(put, attributes=attrs.evolve(put.attributes, metadata=turned))
    assert codec.encode_command(again) == codec.encode_command(put)
    assert isinstance(other, c.PutObject)
    assert other.attributes is NO_ATTRIBUTES


@pytest.mark.parametrize("data", [b"", b"\n", b"{}\n", bytes(range(256)) * 64])
def test_inline_bytes_follow_as_they_are(data: bytes) -> None:
    put = samples.COMMANDS[c.PutObject][1]
    assert isinstance(put, c.PutObject)
    command = attrs.evolve(put, data=Inline(data))
    record = codec.encode_command(command)
    assert record.endswith(b"}\n" + data)
    assert codec.decode_command(record) == command


@pytest.mark.parametrize("tag", ["put-object/2", "put-object", "no-such-command/1", "done/1", "", "PUT-OBJECT/1"])
def test_an_unknown_tag_stops_the_reader(tag: str) -> None:
    with pytest.raises(UnknownTag, match="upgrade"):
        codec.decode_command(json.dumps({"type": tag}).encode())


def test_commands_and_results_are_not_each_other() -> None:
    with pytest.raises(UnknownTag):
        codec.decode_result(codec.encode_command(next(iter(samples.COMMANDS.values()))[0]))
    with pytest.raises(UnknownTag):
        codec.decode_command(codec.encode_result(Done()))


def test_what_has_no_form_or_lacks_a_field_is_not_written() -> None:
    with pytest.raises(KeyError):
        codec.encode_result(errors.MalformedACL("none"))
    with pytest.raises(TypeError, match="modified_ms of Written is None"):
        codec.encode_result(Written("null", None))  # type: ignore[arg-type]  # on purpose


GOOD = json.loads(codec.encode_command(samples.COMMANDS[c.PutObject][0]))


def changed(**fields: Any) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


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
        changed(size="many"),
        changed(size=True),
        changed(bucket=None),
        changed(extra=1),
        changed(data={"tape": "h"}),
        changed(data={"handle": "h", "inline": 1}),
        changed(data={"handle": "h"}) + b"\nmore",
        changed(data={"inline": 4}),
        changed(data={"inline": 4}) + b"\nabc",
        changed(data={"inline": 4}) + b"\nabcde",
        changed(attributes={"grants": [[False, "a", "DANCE"]]}),
        changed(attributes={"system": {"content_typ": "x"}}),
        changed(condition={"if_match": "x", "if_none_match": True}),
        changed(condition={"if_match": "x"}),
        changed(checksum={"algorithm": "CRC16", "value": "", "type": "COMPOSITE"}),
        changed(parts=[[1, 2, None]]),
        json.dumps({name: value for name, value in GOOD.items() if name != "bucket"}).encode(),
        b"[" * 100_000,
    ],
    ids=range(28),
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
