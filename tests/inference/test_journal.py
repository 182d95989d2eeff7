import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.errors import BadInput, SeqbeltError
from seqbelt.inference.journal import Input, Journal, JournalEntry

SHARES = np.array([0.25, 0.75], np.float32)


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "j", "model-a")
    yield journal
    journal.close()


def test_rows_come_in_input_order_joined_with_their_answers(journal):
    journal.record([Input(2, "c", "h1")], [JournalEntry("h1", 5, SHARES)], [])
    journal.record(
        [Input(0, "a", "h2"), Input(1, "b", None, "unreadable: gone")],
        [JournalEntry("h2", 0, BadInput("silent", "no sound"))],
        [],
    )
    first, second, third = journal.rows()
    assert (first.name, first.error, first.probabilities) == ("a", "silent: no sound", None)
    assert (second.name, second.error, second.content_hash) == ("b", "unreadable: gone", None)
    assert (third.name, third.num_steps, third.error) == ("c", 5, None)
    np.testing.assert_array_equal(third.probabilities, SHARES)


def test_answers_outlive_the_process_and_inputs_do_not(tmp_path):
    first = Journal(tmp_path / "j", "m")
    first.record([Input(0, "a", "h")], [JournalEntry("h", 3, SHARES)], [(7, "h")])
    first.close()
    again = Journal(tmp_path / "j", "m")
    assert again.contains("h")
    assert again.hash_of(7) == "h"
    assert list(again.rows()) == []
    again.close()


def test_another_model_knows_no_answers_but_knows_the_files(tmp_path, journal):
    journal.record([], [JournalEntry("h", 3, SHARES)], [(7, "h")])
    other = Journal(tmp_path / "j", "model-b")
    assert not other.contains("h")
    assert other.hash_of(7) == "h"
    other.record([Input(0, "a", "h")], [JournalEntry("h", 3, SHARES[::-1])], [])
    journal.record([Input(0, "a", "h")], [], [])
    np.testing.assert_array_equal(next(other.rows()).probabilities, SHARES[::-1])
    np.testing.assert_array_equal(next(journal.rows()).probabilities, SHARES)
    other.close()


def test_the_first_answer_stays(journal):
    journal.record([Input(0, "a", "h")], [JournalEntry("h", 3, SHARES)], [])
    journal.record([], [JournalEntry("h", 9, SHARES[::-1])], [])
    (row,) = journal.rows()
    assert row.num_steps == 3
    np.testing.assert_array_equal(row.probabilities, SHARES)


def test_a_failed_transaction_leaves_nothing(journal):
    journal.record([Input(0, "a", "h")], [], [])
    with pytest.raises(SeqbeltError, match="cannot be written"):
        journal.record([Input(0, "twice", "k")], [JournalEntry("k", 1, SHARES)], [(3, "k")])
    assert not journal.contains("k")
    assert journal.hash_of(3) is None


@given(st.integers(0, 2**64 - 1))
def test_any_64_bit_stamp_is_found_again(tmp_path_factory, stamp):
    journal = Journal(tmp_path_factory.mktemp("j") / "j", "m")
    journal.record([], [], [(stamp, "h")])
    assert journal.hash_of(stamp) == "h"
    assert journal.hash_of(stamp ^ 1) is None
    journal.close()


@pytest.mark.parametrize(
    "name",
    ["new\nline", "caf\udce9", "\0", "' ; DROP TABLE answers", "é"],
    ids=["new-line", "surrogate", "nul", "quote", "accent"],
)
def test_any_name_and_message_can_be_journalled(journal, name):
    journal.record(
        [Input(0, name, "h"), Input(1, "b", None, f"unreadable: {name}")],
        [JournalEntry("h", 0, BadInput("silent", name))],
        [],
    )
    first, second = journal.rows()
    for text in (first.name, first.error, second.error):
        text.encode("utf-8")
        assert text.isascii() == name.isascii() or "\\udce9" in text
    if "\udce9" not in name:
        assert first.name == name


def test_many_may_open_and_write_one_new_journal_at_once(tmp_path):
    errors = []
    start = threading.Barrier(6)

    def work(number):
        start.wait()
        try:
            journal = Journal(tmp_path / "j", "m")
            journal.record(
                [Input(0, "a", "h")], [JournalEntry("h", number, SHARES)], [(number, "h")]
            )
            journal.close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_file_that_is_no_journal_is_refused_by_name(tmp_path):
    (tmp_path / "j.journal").write_bytes(b"this is no database, whatever its name says" * 99)
    with pytest.raises(SeqbeltError, match=r"j\.journal"):
        Journal(tmp_path / "j.journal", "m")


def test_a_journal_without_a_folder_is_refused_by_name(tmp_path):
    with pytest.raises(SeqbeltError, match="none"):
        Journal(tmp_path / "none" / "j", "m")
