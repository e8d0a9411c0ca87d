"""Words that made readers stop, in names, comments, docstrings, messages and docs, and what to write instead.

A picture that is clear to its author ("the blob lies there") costs everybody else a moment. Write the plain sentence
that an engineer of this field would say aloud, and prefer a known term.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Patterns of words -> what to write instead. In names an underscore counts as a space.
WORDS = {
    "lies|lying|lay|laid|lie": "is stored, is kept, is at, is in",
    "rooms?": "space, container, what is left",
    "places?": "location, container, position, index, module; instead of, replaces",
    "rid": "dispose of, remove",
    "nobody's": "not ours, none",
    "says no": "refuses; the errors of the store",
    "poke[ds]?|poking": "notify, wake",
    r"lets? (?:it |them |the \w+ )?go|letting (?:it |them )?go": "release, remove, disconnect",
    "judge[ds]?|judging|judge?ments?": "check, evaluate, decide",
    "settle[ds]?|settling": "resolve, decide, drain",
    "only over|check over|is anothers|is rid|swept away": "expected_current, belongs_to_another_store, fenced",
    "crowded|is crowded": "contended",
    "apply taken": "apply_next",
    "(?-i:Held|Coming|Unequal)": "BufferedBody, StreamingBody, PreconditionFailed",
    "(?-i:class (?:Noted|Passing|Gone|Meaning))": "HashingReader, Transient, NotFound, Classify",
    "(?-i:LEAST|MOST)": "MIN_, MAX_",
}
#: What is removed from a line before it is looked at -> why.
ALLOWED = {
    r"in[- ]place(?! of)|takes? place|placeholders?": "English: where something is already; to happen",
}
#: Whole files -> why.
ALLOWED_FILES = {
    "tests/test_words.py": "the list itself",
}


def texts() -> list[Path]:
    folders = [path for name in ("bleepstore", "bleepstore_server", "tests") for path in (ROOT / name).rglob("*.py")]
    return [*folders, *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]


def words_in(text: str) -> list[tuple[int, str, str]]:
    """(line, word, what to write instead)."""
    allowed = re.compile("|".join(ALLOWED), re.IGNORECASE)
    words = {
        re.compile(rf"(?<![A-Za-z-])(?:{pattern})(?![A-Za-z])", re.IGNORECASE): instead
        for pattern, instead in WORDS.items()
    }
    any_word = re.compile("|".join(pattern.pattern for pattern in words), re.IGNORECASE)
    return [
        (number, match[0], instead)
        for number, line in enumerate(text.splitlines(), 1)
        if any_word.search(spaced := line.replace("_", " "))
        for pattern, instead in words.items()
        for match in [pattern.search(allowed.sub("", spaced))]
        if match is not None
    ]


def test_the_words_are_found_in_names_and_in_prose() -> None:
    assert [word for _, word, _ in words_in("def is_anothers() -> bool:\n    # it lies there\n    x = 1")] == [
        "is anothers", "lies"
    ]  # fmt: skip
    assert not words_in("the file is changed in place; displaced; relay; a replay; bride")


def test_words_are_plain() -> None:
    found = [
        f"{name} line {line}: {word!r}: write {instead}"
        for path in texts()
        if (name := path.relative_to(ROOT).as_posix()) not in ALLOWED_FILES
        for line, word, instead in words_in(path.read_text())
    ]
    assert not found, "\n".join(found)
