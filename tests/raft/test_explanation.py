"""The page that explains Raft shows what the code's tables say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bleepstore.raft.diagrams import ending_table, message_diagram, role_diagram

PAGE = (Path(__file__).parent.parent.parent / "docs" / "explanation" / "raft.md").read_text()


@pytest.mark.parametrize(
    ("name", "drawn"), [("roles", role_diagram()), ("messages", message_diagram()), ("endings", ending_table())]
)
def test_the_diagram_is_the_one_of_the_code(name: str, drawn: str) -> None:
    found = re.search(rf"<!-- {name} -->\n```text\n(.*?)\n```", PAGE, re.DOTALL)
    assert found is not None, f"the page has no diagram of the {name}"
    assert found[1] == drawn, f"draw it again: bleepstore.raft.diagrams\n{drawn}"
