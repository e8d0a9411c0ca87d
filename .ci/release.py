"""What a release consists of, in dist/: the sdist, the wheel, constraints with exact versions, and an SBOM (CycloneDX).

tox -e release              with the versions of .ci/constraints.txt
tox -e release -- --renew   with the newest that pyproject.toml allows, which are written to .ci/constraints.txt
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
EXTRAS = "server,oidc,aws,gcs,azure,encryption,fsspec,inventory,progress,redis,rabbitmq,kafka,nats,traces"
_HEADER = (
    f"# The versions that a release is made and tried with: pip install -c constraints.txt 'bleepstore[{EXTRAS}]'\n"
)


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, cwd=ROOT)


def main(renew: bool) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST)
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(DIST.iterdir()))
    (wheel,) = DIST.glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        pinned = [] if renew else ["--constraint", CONSTRAINTS]
        run(python, "-m", "pip", "install", "--quiet", *pinned, f"{wheel}[{EXTRAS}]")
        frozen = subprocess.run(
            [python, "-m", "pip", "freeze", "--exclude", "bleepstore"], check=True, capture_output=True, text=True
        ).stdout
        if renew:
            CONSTRAINTS.write_text(_HEADER + frozen, encoding="utf-8")
        shutil.copyfile(CONSTRAINTS, DIST / f"bleepstore-{version}-constraints.txt")
        run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools")  # no part of the release
        bom = ["environment", "--output-reproducible", "--pyproject", ROOT / "pyproject.toml"]
        run(sys.executable, "-m", "cyclonedx_py", *bom, "-o", DIST / f"bleepstore-{version}.cdx.json", python)


if __name__ == "__main__":
    main(renew="--renew" in sys.argv[1:])
