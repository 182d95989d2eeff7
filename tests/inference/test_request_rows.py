"""What a request's row may name, and what its error may say."""

import base64
import os
from pathlib import Path

import pytest

from seqbelt.errors import BadInput, SettingsError
from seqbelt.inference.request_rows import ServeLimits, read_row

SECRET = "root:x:0:0"


@pytest.fixture
def root(tmp_path):
    """A served folder, with a secret beside it and a way out of it."""
    folder = tmp_path / "served"
    folder.mkdir()
    (tmp_path / "secret.csv").write_text(SECRET)
    (folder / "good.csv").write_bytes(b"1,2\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "inside.csv").symlink_to(folder / "good.csv")
    (folder / "loop.csv").symlink_to(folder / "loop.csv")
    os.mkfifo(folder / "pipe.csv")
    return folder


def test_without_a_root_no_file_is_opened_and_none_is_told_from_another(root):
    texts = {
        str(read_row({"path": str(path)}, ServeLimits(), False))
        for path in (root / "good.csv", root / "none.csv", root / "pipe.csv", "/etc/passwd", "")
    }
    assert len(texts) == 1 and "SEQBELT_SERVE_ROOT" in texts.pop()


@pytest.mark.parametrize(
    "path",
    ["../secret.csv", "/etc/passwd", "link.csv", "loop.csv", "pipe.csv", "none.csv", ".", "a\0b",
     "x" * 5000, "file:///etc/passwd", "~/x"],
)  # fmt: skip
def test_below_a_root_what_leads_out_or_never_ends_is_refused(root, path):
    found = read_row({"path": path}, ServeLimits(root=root), False)
    assert isinstance(found, BadInput) and SECRET not in str(found)
    assert "secret" not in str(found)


@pytest.mark.parametrize("path", ["good.csv", "./good.csv", "inside.csv"])
def test_files_below_a_root_are_read(root, path):
    assert read_row({"path": path}, ServeLimits(root=root), False) == b"1,2\n"
    whole = {"path": str(root / "good.csv")}
    assert read_row(whole, ServeLimits(root=root), False) == b"1,2\n"


def test_a_text_is_never_a_path():
    assert read_row({"text": "/etc/passwd"}, ServeLimits(), True) == "/etc/passwd"
    found = read_row({"text": "/etc/passwd"}, ServeLimits(root=Path("/")), False)
    assert isinstance(found, BadInput) and "reads files, not texts" in str(found)


@pytest.mark.parametrize("row", [{}, {"text": None}, {"path": "a", "text": "b"}, {"base64": 3}])
def test_a_row_without_its_one_column_is_told_what_is_expected(row):
    found = read_row(row, ServeLimits(), True)
    assert isinstance(found, BadInput) and "one of path, text, base64" in str(found)


@pytest.mark.parametrize("value", ["é", "%", "abc", "a b"])
def test_what_is_no_base64_is_the_rows_own_error(value):
    found = read_row({"base64": value}, ServeLimits(), True)
    assert isinstance(found, BadInput) and "not base64" in str(found)


def test_contents_are_bounded_before_they_are_read(root):
    limits = ServeLimits(root=root, max_mb=2 / (1 << 20))
    for row in ({"path": "good.csv"}, {"text": "abcdefgh"},
                {"base64": base64.b64encode(b"x" * 9).decode()}):  # fmt: skip
        assert "SEQBELT_SERVE_MAX_MB" in str(read_row(row, limits, True))


def test_the_environment_sets_the_limits(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQBELT_SERVE_ROOT", str(tmp_path))
    monkeypatch.setenv("SEQBELT_SERVE_TIMEOUT_S", "2.5")
    found = ServeLimits.from_environment()
    assert (found.root, found.timeout_s, found.max_mb) == (tmp_path, 2.5, ServeLimits().max_mb)
    monkeypatch.setenv("SEQBELT_SERVE_MAX_MB", "much")
    with pytest.raises(SettingsError, match="SEQBELT_SERVE"):
        ServeLimits.from_environment()
