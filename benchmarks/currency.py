"""How current the dependencies are: installed version, newest release, days behind.

    python benchmarks/currency.py [--extras]

asks the package index that pip is configured with, once for each dependency in pyproject.toml
(``--extras``: of the extras too), for its files (PEP 691) and their times of upload (PEP 700). The
newest release is the newest final one that was not withdrawn and that this Python can install, as
pip and uv choose it. A star marks one that pyproject.toml does not allow. Where the index has no
times, days are left out. Exits with 1 if an index cannot be asked.
"""

import argparse
import json
import os
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

ROOT = Path(__file__).parent.parent
ACCEPT = "application/vnd.pypi.simple.v1+json"
TIMEOUT_S = 60


class Release(NamedTuple):
    """A version with the time of its first file, None where the index does not tell it."""

    version: Version
    uploaded: datetime | None


def read_requirements(pyproject: Path, extras: bool = False) -> list[Requirement]:
    """The dependencies of a project, each once, in their order."""
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    lines = [*project["dependencies"]]
    if extras:
        lines += [line for some in project["optional-dependencies"].values() for line in some]
    found: dict[str, Requirement] = {}
    for requirement in map(Requirement, lines):
        found.setdefault(canonicalize_name(requirement.name), requirement)
    return list(found.values())


def index_url() -> str:
    """The index that pip uses: of its environment or configuration, else its own default."""
    if given := os.environ.get("PIP_INDEX_URL"):
        return given
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
    )
    if asked.returncode == 0 and asked.stdout.strip():
        return asked.stdout.strip()
    from pip._internal.models.index import PyPI  # pip has no public name for its default

    return PyPI.simple_url


def ask_index(url: str, name: str) -> list[dict[str, Any]]:
    """The files of a package, as the index lists them."""
    request = urllib.request.Request(
        f"{url.rstrip('/')}/{canonicalize_name(name)}/", headers={"Accept": ACCEPT}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.load(answer)["files"]


def list_releases(files: Iterable[Mapping[str, Any]], python: str) -> list[Release]:
    """The final releases that a Python, such as ``3.11.7``, can install, oldest first."""
    found: dict[Version, datetime | None] = {}
    for file in files:
        number = _version_of(file["filename"])
        if number is None or number.is_prerelease or file.get("yanked"):
            continue
        needed = file.get("requires-python")
        if needed and python not in SpecifierSet(needed):
            continue
        time = file.get("upload-time")
        uploaded = datetime.fromisoformat(time) if time else None
        earlier = found.get(number)
        found[number] = min(filter(None, (uploaded, earlier)), default=None)
    return [Release(number, found[number]) for number in sorted(found)]


def _version_of(file_name: str) -> Version | None:
    try:
        if file_name.endswith(".whl"):
            return parse_wheel_filename(file_name)[1]
        return parse_sdist_filename(file_name)[1]
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None


def row(requirement: Requirement, installed: str | None, releases: Sequence[Release]) -> list[str]:
    """Name, installed version, newest release, its day, and the days between their uploads."""
    shown = installed or "not installed"
    if not releases:
        return [requirement.name, shown, "none", "", ""]
    newest = releases[-1]
    star = "" if newest.version in requirement.specifier else " *"
    day = f"{newest.uploaded:%Y-%m-%d}" if newest.uploaded else ""
    days = ""
    if installed is not None:
        public = Version(Version(installed).public)  # without a local label such as +cpu
        own = next((one for one in releases if one.version == public), None)
        if public >= newest.version:
            days = "0"
        elif own is not None and own.uploaded and newest.uploaded:
            days = str((newest.uploaded - own.uploaded).days)
    return [requirement.name, shown, f"{newest.version}{star}", day, days]


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns as wide as their longest value."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:{w}}" for cell, w in zip(one, widths)).rstrip() for one in rows]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extras", action="store_true", help="The optional dependencies too.")
    arguments = parser.parse_args()
    url, python = index_url(), ".".join(map(str, sys.version_info[:3]))
    rows = [["dependency", "installed", "newest", "released", "days behind"]]
    num_failed = 0
    for requirement in read_requirements(ROOT / "pyproject.toml", arguments.extras):
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            installed = None
        try:
            releases = list_releases(ask_index(url, requirement.name), python)
        except (OSError, ValueError, KeyError) as error:
            print(f"{requirement.name}: the index cannot be asked: {error}", file=sys.stderr)
            num_failed += 1
            continue
        rows.append(row(requirement, installed, releases))
    print(f"Python {python}")
    print(format_table(rows))
    if any("*" in one[2] for one in rows):
        print("* newer than pyproject.toml allows")
    return 1 if num_failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
