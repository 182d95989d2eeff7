"""What the table of versions says of a run of tests."""

from version_matrix import Outcome, format_table, summarize


def test_the_counts_of_the_last_lines_are_taken():
    log = (
        "tests/a.py .F\n3 passed of them\n\n2 failed, 4515 passed, 55 skipped in 178.2s\nleaked 4\n"
    )
    assert summarize(log) == "2 failed, 4,515 passed, 55 skipped"
    assert summarize("1 error in 0.3s\n") == "1 error"
    assert summarize("killed\n") == "none"


def test_a_row_names_python_set_and_versions():
    one = Outcome(
        "/opt/python3.12", "newest", {"python": "3.12.3", "torch": "2.15.0"}, "9 passed", 90.0, True
    )
    row = format_table([one]).splitlines()[-1]
    assert row.startswith("| 3.12.3 | newest | 2.15.0 |") and row.endswith("| 9 passed | 1.5 |")
    absent = one._replace(versions={}, summary="not installed")
    assert format_table([absent]).splitlines()[-1].startswith("| python3.12 | newest |")
