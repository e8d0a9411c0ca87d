"""The XML documents of S3, each declared once: a frozen class whose fields name elements, order, lists and defaults.

A document is parsed and rendered from its declaration, by `declare.parse` and `declare.render`:

    @document("VersioningConfiguration")
    class VersioningConfiguration:
        status: Status | None = element("Status", choice(Status), default=None)
        mfa_delete: str | None = element("MfaDelete", default=None)

To add one, write its class in the file of its subject and name it in `tests/server/test_documents.py`, which compares
it with botocore's model. Elements that are not declared are ignored when a client sends them; what must not be ignored
is named in `refuses`.
"""
