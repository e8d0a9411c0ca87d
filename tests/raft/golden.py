"""Golden scenarios as files: reading, running, writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from bleepstore.errors import BleepStoreError
from tests.raft.script import Script

FOLDER = Path(__file__).parent / "scenarios"


@attrs.frozen
class Block:
    """Comment lines and commands, and what the commands are to print."""

    source: tuple[str, ...]
    expected: tuple[str, ...]

    @property
    def commands(self) -> Iterator[str]:
        return (line for line in self.source if line and not line.startswith("#"))


def scenario_files() -> list[Path]:
    return sorted(path for path in FOLDER.glob("*.txt") if path.name != "README.txt")


def parse(text: str) -> list[Block]:
    """The blocks of a scenario, which are separated by empty lines."""
    blocks = []
    for part in text.strip("\n").split("\n\n"):
        lines = part.split("\n")
        if "----" in lines:
            cut = lines.index("----")
            blocks.append(Block(tuple(lines[:cut]), tuple(lines[cut + 1 :])))
        else:
            blocks.append(Block(tuple(lines), ()))
    return blocks


def run(blocks: list[Block], make_script: Callable[[], Script] = Script) -> list[Block]:
    """The same blocks with what they print now."""
    script = make_script()
    results = []
    for block in blocks:
        script.lines.clear()
        for command in block.commands:
            try:
                script.run(command)
            except BleepStoreError as error:
                script.say(f"{command}: {type(error).__name__}: {error}")
        results.append(Block(block.source, tuple(script.lines)))
    return results


def render(blocks: list[Block]) -> str:
    parts = []
    for block in blocks:
        lines = [*block.source]
        if any(block.commands):
            lines += ["----", *block.expected]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"
