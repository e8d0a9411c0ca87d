"""User metadata in headers: encoded words (RFC 2047).

S3: "Values of such headers are character decoded as per RFC 2047 before storing and encoded as per RFC 2047 to make
them mail-safe before returning. If the string contains only US-ASCII characters, it is presented as is."
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re

_WORD = re.compile(r"=\?([!-~]{1,40}?)\?([BbQq])\?([!-<>@-~=]*?)\?=")
#: White space between two encoded words belongs to neither (section 6.2).
_BETWEEN = re.compile(r"(\?=)[ \t]+(?==\?[!-~]{1,40}?\?[BbQq]\?)")
#: Those that mail uses; Python knows others that take quadratic time, or make something else than text.
_CHARSETS = re.compile(r"utf-?8|us-ascii|iso-8859-\d{1,2}|windows-125\d", re.IGNORECASE)


def decode_words(text: str) -> str:
    """`text` with its encoded words decoded. What cannot be decoded stays as it is."""
    if "=?" not in text:
        return text
    return _WORD.sub(_decode, _BETWEEN.sub(r"\1", text))


def _decode(word: re.Match[str]) -> str:
    charset, encoding, content = word.groups()
    charset = charset.partition("*")[0]  # RFC 2231 lets a language follow
    if not _CHARSETS.fullmatch(charset):
        return word[0]
    try:
        if encoding in "Bb":
            raw = base64.b64decode(content, validate=True)
        else:
            raw = quopri.decodestring(content.replace("_", "=20").encode(), header=False)
        return raw.decode(charset)
    except (binascii.Error, ValueError, LookupError):
        return word[0]


def encode_word(text: str) -> str:
    """Text as a header shows it: as it is, or as one encoded word if not all of it is ASCII."""
    if text.isascii():
        return text
    return f"=?UTF-8?B?{base64.b64encode(text.encode('utf-8', 'replace')).decode()}?="
