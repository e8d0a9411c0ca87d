"""Diagrams drawn from the core's own tables, for the documentation; a test compares them with the page."""

from __future__ import annotations

from bleepstore.raft.core import CONVERSATION
from bleepstore.raft.endings import Ending
from bleepstore.raft.messages import Role
from bleepstore.raft.state import TRANSITIONS


def role_diagram() -> str:
    """Which role follows which, and why."""
    roles = [role.value for role in Role]
    width = max(map(len, roles))
    lines = []
    for role in Role:
        for (before, after), reason in TRANSITIONS.items():
            if before is role:
                lines.append(f"{before.value:<{width}}  -->  {after.value:<{width}}  {reason}")
        lines.append("")
    return "\n".join(lines).rstrip()


def message_diagram() -> str:
    """Who sends what to whom, and what answers it."""
    width = max(len(kind.__name__) for asked, _, _, answer in CONVERSATION for kind in (asked, answer) if kind) + 2
    left = max(len(sender.value) for _, sender, _, _ in CONVERSATION)
    lines = []
    for asked, sender, receiver, answer in CONVERSATION:
        lines.append(f"{sender.value:<{left}}  --{asked.__name__:-^{width}}-->  {receiver.value}")
        if answer is not None:
            lines.append(f"{'':<{left}}  <-{answer.__name__:-^{width}}---")
    return "\n".join(lines)


def ending_table() -> str:
    """Why a node ends, the status for its supervisor, and what to do."""
    return "\n".join(
        f"{ending.name.lower().replace('_', '-'):<11}  {ending.exit_status:>2}   "
        f"{'restart   ' if ending.may_restart else 'stays down'}  {ending.advice}"
        for ending in Ending
    )
