"""What requests say of encryption comes back in headers: it is nothing that would begin another one."""

from __future__ import annotations

import base64
from xml.sax.saxutils import escape

import pytest

import bleepstore
from bleepstore.encryption import BucketEncryption, EncryptionKind, NamedKey
from bleepstore.errors import InvalidArgument
from tests.server.conftest import Server
from tests.server.tools import Answer, Wire

METHOD = "x-amz-server-side-encryption"
KEY_ID = f"{METHOD}-aws-kms-key-id"
#: The name of the key is at the end of an ARN, whatever is before it.
WRONG = [
    "arn:\r\nx-evil: 1\r\n:key/aws/s3",
    "arn:a\nb:key/aws/s3",
    "arn:\x00:key/aws/s3",
    "arn:日本:key/aws/s3",
    "arn:é:key/aws/s3",
    "arn: :key/aws/s3",
    f"arn:{'x' * 3000}:key/aws/s3",
    "x" * 3000,
]


def send_form(server: Server, wire: Wire, fields: dict[str, str]) -> Answer:
    conditions: list[object] = [["starts-with", f"${name}", ""] for name in fields]
    post = server.client().generate_presigned_post("photos", "made", dict(fields), conditions)
    lines = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in post["fields"].items()
    ]
    lines.append('--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ndata\r\n--b--\r\n')
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return wire.send("POST", "/photos", "".join(lines).encode(), headers, signed=False)


@pytest.mark.parametrize("key_id", WRONG, ids=range(len(WRONG)))
def test_the_id_of_a_key_is_printable(prepared: Wire, server: Server, key_id: str) -> None:
    configuration = (
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>"
        "<SSEAlgorithm>aws:kms</SSEAlgorithm>"
        f"<KMSMasterKeyID>{escape(key_id, {chr(13): '&#13;'})}</KMSMasterKeyID>"
        "</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
    )
    answers = [
        send_form(server, prepared, {METHOD: "aws:kms", KEY_ID: key_id}),
        prepared.send("PUT", "/photos?encryption", configuration.encode()),
    ]
    if "\n" not in key_id:
        sent = {METHOD: "aws:kms", KEY_ID: key_id.encode().decode("latin-1")}
        answers.append(prepared.send("PUT", "/photos/made", b"data", sent))
        answers.append(prepared.send("POST", "/photos/made?uploads", headers=sent))
    for answer in answers:
        assert (answer.status, answer.code) in ((400, "InvalidArgument"), (400, "MalformedXML")), answer
        assert "x-evil" not in answer.headers
    assert [found.key for found in server.store.list_objects("photos").objects] == ["kept"]
    assert server.store.get_bucket("photos").settings.encryption is None
    with pytest.raises(InvalidArgument):
        NamedKey(key_id=key_id)
    with pytest.raises(InvalidArgument):
        BucketEncryption(kind=EncryptionKind.NAMED, key_id=key_id)


def test_a_name_that_no_key_can_have_is_not_found(prepared: Wire) -> None:
    answer = prepared.send("PUT", "/photos/made", b"data", {METHOD: "aws:kms", KEY_ID: "x" * 200})
    assert (answer.status, answer.code) == (400, "KMS.NotFoundException")


def test_a_context_is_text(prepared: Wire, store: bleepstore.Store) -> None:
    """Half of a character can be written in JSON, and stored nowhere."""
    for text in ('{"a": "\\ud800"}', '{"\\udfff": "a"}'):
        context = base64.b64encode(text.encode()).decode()
        answer = prepared.send("PUT", "/photos/made", b"data", {METHOD: "aws:kms", f"{METHOD}-context": context})
        assert (answer.status, answer.code) == (400, "InvalidArgument")
    with pytest.raises(InvalidArgument):
        NamedKey(context={"a": "\ud800"})
    assert [found.key for found in store.list_objects("photos").objects] == ["kept"]
