"""Which release counts as the newest, and how far behind it an installed version is."""

from pathlib import Path

from currency import format_table, list_releases, read_requirements, row
from packaging.requirements import Requirement

FILES = [
    {"filename": "x-1.0-py3-none-any.whl", "upload-time": "2026-01-01T10:00:00Z"},
    {"filename": "x-1.0.tar.gz", "upload-time": "2026-01-01T09:00:00Z"},
    {
        "filename": "x-1.10.tar.gz",
        "upload-time": "2026-03-02T00:00:00Z",
        "requires-python": ">=3.9",
    },
    {"filename": "x-1.9.tar.gz", "upload-time": "2026-02-01T00:00:00Z"},
    {"filename": "x-2.0rc1.tar.gz"},
    {"filename": "x-2.0.tar.gz", "yanked": "broken"},
    {"filename": "x-3.0.tar.gz", "requires-python": ">=3.14"},
    {"filename": "x-1.0.exe"},
]


def test_the_newest_release_is_one_that_can_be_installed():
    releases = list_releases(FILES, "3.11.7")
    assert [str(one.version) for one in releases] == ["1.0", "1.9", "1.10"]
    assert str(list_releases(FILES, "3.14.0")[-1].version) == "3.0"


def test_days_are_counted_between_the_uploads():
    releases = list_releases(FILES, "3.11.7")
    assert row(Requirement("x>=1"), "1.0+cpu", releases) == [
        "x",
        "1.0+cpu",
        "1.10",
        "2026-03-02",
        "59",
    ]
    assert row(Requirement("x<1.10"), "1.10", releases)[2:] == ["1.10 *", "2026-03-02", "0"]
    absent = row(Requirement("x"), None, releases)
    assert absent == ["x", "not installed", "1.10", "2026-03-02", ""]
    untimed = list_releases([{"filename": "x-1.tar.gz"}, {"filename": "x-2.tar.gz"}], "3.11.7")
    assert row(Requirement("x"), "1", untimed) == ["x", "1", "2", "", ""]
    assert row(Requirement("x"), "1", []) == ["x", "1", "none", "", ""]
    assert format_table([["a", "bb"], ["ccc", "d"]]) == "a    bb\nccc  d"


def test_every_dependency_is_asked_for_once():
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    needed = [one.name for one in read_requirements(pyproject)]
    assert "torch" in needed and len(needed) == len(set(needed))
    assert {"onnx", "optuna"} <= {one.name for one in read_requirements(pyproject, extras=True)}
