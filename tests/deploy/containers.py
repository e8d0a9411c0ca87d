"""Carries out a Containerfile without a container engine, in namespaces of Linux: for root alone.

Each stage is a folder. A step runs in it with the machine's /usr, /lib and /etc and with this Python: an official image
has others. The image runs like a container: its root cannot be written but for its volumes, its first process has the
number 1, and its user has no name.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

_SYSTEM = ("usr", "lib", "lib64", "bin", "sbin", "etc", "dev")


@attrs.frozen
class Step:
    word: str
    text: str

    def words(self) -> list[str]:
        """The words of a list in JSON, or of a line."""
        text = self.text[self.text.find("[") :] if self.word == "HEALTHCHECK" else self.text
        found: list[str] = json.loads(text) if text.startswith("[") else shlex.split(text)
        return found


def parse(path: Path) -> list[Step]:
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [Step(*line.split(maxsplit=1)) for line in lines]


@attrs.define
class Image:
    """What the steps of a stage made of it."""

    root: Path
    environ: dict[str, str] = attrs.field(factory=lambda: {"PATH": f"{sys.base_prefix}/bin:/usr/bin:/bin"})
    user: str = "0:0"
    folder: str = "/"
    volumes: list[str] = attrs.field(factory=list)
    settings: dict[str, list[str]] = attrs.field(factory=dict)

    def inside(self, path: str) -> Path:
        return self.root / path.removeprefix("/")

    def prepare(self) -> None:
        for name in (*_SYSTEM, "proc", "tmp", sys.base_prefix):
            self.inside(name).mkdir(parents=True, exist_ok=True)

    def mounts(self, read_only: bool) -> str:
        """A script that makes the machine's folders those of the image, in a mount namespace of its own."""
        root, python = shlex.quote(str(self.root)), shlex.quote(sys.base_prefix)
        lines = ["set -e", f"mount --bind {root} {root}", f"cd {root}"]
        lines += [f"mount --rbind -o ro /{name} ./{name}" for name in _SYSTEM]
        lines += [f"mount --bind -o ro {python} .{python}", "mount -t proc proc ./proc"]
        if read_only:
            lines += [f"mkdir -p .{volume} && mount --bind .{volume} .{volume}" for volume in self.volumes]
            lines += ["mount -o remount,ro,bind ."]
        return "; ".join(lines)

    def command(self, words: list[str], read_only: bool = False) -> list[str]:
        inner = ["env", "-C", self.folder, *words]
        enter = ["/usr/sbin/chroot", f"--userspec={self.user}", "--groups=", str(self.root), *inner]
        namespaces = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        return [*namespaces, "sh", "-c", f"{self.mounts(read_only)}; exec {shlex.join(enter)}"]


def need_namespaces() -> None:
    """Skip the test where nothing can be mounted; in CI it can."""
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True, check=False,
    ) if sys.platform == "linux" and os.geteuid() == 0 else None  # fmt: skip
    if done is None or done.returncode:
        assert "CI" not in os.environ, "the steps of a Containerfile need namespaces and root"
        pytest.skip("the steps of a Containerfile need namespaces and root")


def build(path: Path, context: Path, folder: Path, environ: Mapping[str, str]) -> Image:
    """The image of the last stage. `environ` is what steps that run have besides their own."""
    stages: list[Image] = []
    names: dict[str, Image] = {}
    for step in parse(path):
        if step.word == "FROM":
            stages.append(Image(folder / str(len(stages))))
            stages[-1].prepare()
            words = step.words()
            if "AS" in words:
                names[words[-1]] = stages[-1]
            continue
        image = stages[-1]
        match step.word:
            case "WORKDIR":
                image.folder = step.text
                image.inside(step.text).mkdir(parents=True, exist_ok=True)
            case "COPY":
                *sources, target = [word for word in step.words() if not word.startswith("--")]
                stage = re.match(r"--from=(\w+)", step.text)
                origin = names[stage[1]].root if stage else context
                _copy([origin / source.removeprefix("/") for source in sources], image, target)
            case "RUN":
                command = image.command(["sh", "-ec", step.text])
                done = subprocess.run(
                    command, env={**environ, **image.environ}, capture_output=True, text=True, check=False, timeout=600
                )
                assert done.returncode == 0, f"{step.text}: {done.stdout}{done.stderr}"
            case "ENV":
                image.environ |= dict(word.split("=", 1) for word in step.words())
            case "USER":
                image.user = step.text
            case "VOLUME":
                image.volumes += step.words()
            case "ENTRYPOINT" | "CMD" | "HEALTHCHECK" | "STOPSIGNAL" | "EXPOSE":
                image.settings[step.word] = step.words()
            case _:
                raise AssertionError(f"{step.word} is not known here")
    return stages[-1]


def _copy(sources: list[Path], image: Image, target: str) -> None:
    path = Path(os.path.normpath(image.inside(os.path.join(image.folder, target))))  # noqa: PTH118  # as in the image
    for source in sources:
        if source.is_dir():
            shutil.copytree(source, path, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            path.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path / source.name)
