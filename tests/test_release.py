"""What a release is made with fits what the project asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {name: texts for name, texts in PROJECT["optional-dependencies"].items() if name != "test"}
#: What the project asks of others; one of its extras may bring another.
ASKED = [
    Requirement(text)
    for text in [*PROJECT["dependencies"], *(text for texts in EXTRAS.values() for text in texts)]
    if Requirement(text).name != PROJECT["name"]
]


def constraints() -> dict[str, str]:
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), "every line is NAME==VERSION"
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("requirement", ASKED, ids=str)
def test_the_constraints_name_an_allowed_version_of_each_dependency(requirement: Requirement) -> None:
    known = constraints()
    name = canonicalize_name(requirement.name)
    assert name in known, f"{requirement.name} is not in .ci/constraints.txt: tox -e release -- --renew"
    assert requirement.specifier.contains(known[name]), f"{name}=={known[name]}: tox -e release -- --renew"


def test_a_release_has_all_extras_that_users_install() -> None:
    extras = re.search(r'^EXTRAS = "(.*)"$', (ROOT / ".ci" / "release.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert extras is not None
    assert sorted(extras[1].split(",")) == sorted(EXTRAS)
