"""What a shell needs to complete the command line, as a script made of its parser.

It is static: no Python starts when somebody presses TAB.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence

import attrs

PROGRAM = "bleepstore"


@attrs.frozen(kw_only=True)
class Command:
    """A command, as the words that name it: ("keys", "add"). The program itself has none."""

    words: tuple[str, ...]
    help: str
    #: Flag -> its help.
    flags: Mapping[str, str]
    #: Flag -> the values that it takes, where they are known.
    choices: Mapping[str, Sequence[str]]
    #: What it is followed by.
    commands: Sequence[str]


def commands_of(parser: argparse.ArgumentParser, words: tuple[str, ...] = (), help: str = "") -> Iterator[Command]:
    """A parser's command and all that are within it."""
    flags: dict[str, str] = {}
    choices: dict[str, Sequence[str]] = {}
    within: dict[str, tuple[argparse.ArgumentParser, str]] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            within = {name: (one, helps.get(name, "")) for name, one in action.choices.items()}
        for flag in action.option_strings:
            if flag.startswith("--"):
                flags[flag] = action.help or ""
                if action.choices is not None:
                    choices[flag] = [str(choice) for choice in action.choices]
    yield Command(words=words, help=help, flags=flags, choices=choices, commands=sorted(within))
    for name, (one, said) in sorted(within.items()):
        yield from commands_of(one, (*words, name), said)


_BASH = """\
# bash completion of {program}: source it, or put it into ~/.local/share/bash-completion/completions/{program}
_{program}() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" path="" word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path $word" in
{known}
        esac
    done
    case "$path $previous" in
{choices}
    esac
    case "$path" in
{words}
    esac
}}
complete -o default -o bashdefault -F _{program} {program}
"""


def _words(command: Command) -> str:
    return " ".join(command.commands or command.flags)


def bash(commands: Sequence[Command]) -> str:
    """For bash 4 and later."""
    paths = {command.words: " ".join(command.words) for command in commands}
    known = "\n".join(
        f"            {shlex.quote(f'{paths[command.words[:-1]]} {command.words[-1]}')}) "
        f"path={shlex.quote(paths[command.words])} ;;"
        for command in commands
        if command.words
    )
    choices = "\n".join(
        f"        {shlex.quote(f'{paths[command.words]} {flag}')}) "
        f'COMPREPLY=($(compgen -W {shlex.quote(" ".join(values))} -- "$current")); return ;;'
        for command in commands
        for flag, values in command.choices.items()
    )
    words = "\n".join(
        f"        {shlex.quote(paths[command.words])}) "
        + ('[[ "$current" == -* ]] || return; ' if not command.commands else "")
        + f'COMPREPLY=($(compgen -W {shlex.quote(_words(command))} -- "$current")) ;;'
        for command in commands
    )
    return _BASH.format(program=PROGRAM, known=known, choices=choices, words=words)


def zsh(commands: Sequence[Command]) -> str:
    """zsh runs the functions of bash."""
    return f"#compdef {PROGRAM}\nautoload -Uz bashcompinit && bashcompinit\n{bash(commands)}"


def fish(commands: Sequence[Command]) -> str:
    """With the help of each word."""
    lines = [f"# fish completion of {PROGRAM}: put it into ~/.config/fish/completions/{PROGRAM}.fish"]
    for command in commands:
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in command.words) or "__fish_use_subcommand"
        known = {one.words[-1]: one.help for one in commands if one.words[:-1] == command.words and one.words}
        if known and command.words:
            seen += f"; and not __fish_seen_subcommand_from {' '.join(known)}"
        lines += [
            f"complete -c {PROGRAM} -n {_fish(seen)} -f -a {word} -d {_fish(said)}" for word, said in known.items()
        ]
        for flag, said in command.flags.items():
            values = f" -x -a {_fish(' '.join(command.choices[flag]))}" if flag in command.choices else ""
            lines.append(f"complete -c {PROGRAM} -n {_fish(seen)} -l {flag[2:]}{values} -d {_fish(said)}")
    return "\n".join(lines) + "\n"


def _fish(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}
