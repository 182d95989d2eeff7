"""Tables of segments as annotation programs write them."""

import wave

import numpy as np
import pytest

from seqbelt.data.audit import audit_store
from seqbelt.data.labels.segments import Segment, read_segments
from seqbelt.errors import BadInput, SeqbeltError, SettingsError
from seqbelt.experiment import Experiment
from seqbelt.workflow.prepared_data import prepare_data

RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tSpecies"


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


class TestFormats:
    def test_milliseconds_in_columns_that_say_so(self, tmp_path):
        table = write(tmp_path / "a.csv", "start_ms,end_ms,label", "500,1500,wren")
        assert read_segments(table) == [Segment(0.5, 1.5, "wren")]

    @pytest.mark.parametrize(
        "lines",
        [("start_s;end_s;label", "0,5;1,500;wren"), ("start_s\tend_s\tlabel", "0.5\t1.5\twren"),
         ("sep=;", "start_s;end_s;label", "0,5;1,5;wren"),
         ("start_s,end_s,label", '"0,5","1,500",wren')],
    )  # fmt: skip
    def test_other_delimiters_and_decimal_commas(self, tmp_path, lines):
        assert read_segments(write(tmp_path / "a.csv", *lines)) == [Segment(0.5, 1.5, "wren")]

    def test_a_comma_that_may_separate_thousands_is_refused(self, tmp_path):
        table = write(tmp_path / "a.csv", "start_ms,end_ms,label", '0,"1,500",wren')
        with pytest.raises(BadInput, match=r"segment 1: from '0' to '1,500'"):
            read_segments(table)

    def test_a_table_is_read_by_the_encoding_that_its_refusal_names(self, tmp_path):
        table = tmp_path / "a.csv"
        table.write_bytes("start_s,end_s,label\n1,2,걷기\n2,3,뛰기\n".encode("cp949"))
        with pytest.raises(BadInput, match=r"data\.encoding: cp949 reads"):
            read_segments(table)
        assert read_segments(table, encoding="cp949")[1] == Segment(2, 3, "뛰기")

    def test_a_label_track_of_audacity_with_frequencies(self, tmp_path):
        lines = ("2.5\t4.0\tsong thrush", "\\\t100\t900", "0.5\t1.0\twren", "")
        assert read_segments(write(tmp_path / "a.txt", *lines)) == [
            Segment(0.5, 1.0, "wren"),
            Segment(2.5, 4.0, "song thrush"),
        ]

    def test_a_selection_table_of_raven_names_each_selection_once(self, tmp_path):
        lines = (
            RAVEN,
            "1\tWaveform 1\t1\t0.5\t1.5\t100\twren",
            "1\tSpectrogram 1\t1\t0.5\t1.5\t100\twren",
        )
        assert read_segments(write(tmp_path / "a.txt", *lines)) == [Segment(0.5, 1.5, "wren")]

    def test_two_columns_that_may_be_ravens_labels_are_refused_until_one_is_named(self, tmp_path):
        lines = (RAVEN + "\tAnnotation", "1\tWaveform 1\t1\t0.5\t1.5\t100\twren\tloud")
        table = write(tmp_path / "a.txt", *lines)
        with pytest.raises(BadInput, match=r"both Annotation and Species.*data\.label_column"):
            read_segments(table)
        assert read_segments(table, "Species") == [Segment(0.5, 1.5, "wren")]

    def test_a_table_of_several_recordings_is_refused_with_the_line(self, tmp_path):
        lines = (
            RAVEN + "\tBegin File",
            "1\tWaveform 1\t1\t0.5\t1.5\t100\twren\ta.wav",
            "2\tWaveform 1\t1\t0.5\t1.5\t100\twren\tb.wav",
        )
        with pytest.raises(BadInput, match=r"a\.txt, line 3: a second recording .*'b\.wav'"):
            read_segments(write(tmp_path / "a.txt", *lines))

    def test_another_text_is_refused_with_the_line(self, tmp_path):
        table = write(tmp_path / "a.txt", "0.5\t1.0\twren", "recorded on Monday")
        with pytest.raises(
            BadInput, match=r"a\.txt, line 2: 'recorded on Monday' is neither a label"
        ):
            read_segments(table)

    def test_a_table_without_rows_is_a_recording_without_a_segment(self, tmp_path):
        assert read_segments(write(tmp_path / "a.csv", "start_s,end_s,label")) == []
        assert read_segments(write(tmp_path / "a.txt", "")) == []


class TestOverlap:
    def test_segments_of_one_label_become_one(self, tmp_path):
        lines = ("start_s,end_s,label", "0,2,wren", "1,1.5,wren", "1.8,3,wren", "3,4,wren")
        table = write(tmp_path / "a.csv", *lines)
        assert read_segments(table) == [Segment(0, 3, "wren"), Segment(3, 4, "wren")]

    def test_segments_of_two_labels_are_refused(self, tmp_path):
        table = write(tmp_path / "a.csv", "start_s,end_s,label", "0,2,wren", "1,3,robin")
        with pytest.raises(BadInput, match="'robin' begins at 1 s, before 'wren' has ended at 2 s"):
            read_segments(table)


RATE = 1000


class TestBackground:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        """Three recordings of two seconds; one has a call from 0.5 to 1 s, one has an empty table
        and one has none."""
        monkeypatch.chdir(tmp_path)
        folder = tmp_path / "calls"
        folder.mkdir()
        random = np.random.default_rng(0)
        for name in ("a", "b", "c"):
            with wave.open(str(folder / f"{name}.wav"), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                file.writeframes(random.integers(-9000, 9000, 2 * RATE).astype("<i2").tobytes())
        write(folder / "a.txt", "0.5\t1.0\tcall")
        write(folder / "b.txt", "")
        return folder

    def prepare(self, **data):
        values = {
            "name": "t",
            "data": {"source": "calls", "labels": "per_step", "test_fraction": 0, **data},
            "features": {"kind": "log_mel", "sample_rate": RATE, "num_bands": 8},
        }
        return prepare_data(Experiment.parse(values))

    def test_what_no_segment_covers_is_background_and_negatives_are_kept(self):
        store = self.prepare(background="silence", validation_fraction=0).store
        assert store.classes == ("call", "silence")
        counts = {
            name: np.bincount(store.step_labels(row), minlength=2).tolist()
            for row, name in enumerate(store.split("train").column("id"))
        }
        steps = sum(counts["a.wav"])
        assert counts["a.wav"][0] == pytest.approx(steps / 4, abs=1)
        assert counts["b.wav"] == counts["c.wav"] == [0, steps]

    def test_the_audit_counts_steps_and_proposes_class_weights(self):
        store = self.prepare(background="silence", validation_fraction=0).store
        (finding,) = [one for one in audit_store(store).findings if one.check == "steps"]
        assert finding.severity == "warning" and "class_weights: balanced" in finding.sentence
        assert "0.0 % without a label; of the others 'call' 8" in finding.sentence
        assert finding.examples[0].startswith("call: ")

    def test_the_audit_states_the_share_without_a_label(self):
        store = self.prepare(validation_fraction=0).store
        (finding,) = [one for one in audit_store(store).findings if one.check == "steps"]
        assert finding.severity == "ok"
        assert "75." in finding.sentence and "'call' 100.0 %" in finding.sentence

    def test_recordings_without_a_table_are_stated(self):
        experiment = Experiment.parse(
            {
                "name": "t",
                "data": {"source": "calls", "labels": "per_step", "background": "silence"},
                "features": {"kind": "log_mel", "sample_rate": RATE},
            }
        )
        notes = experiment.data.load(experiment.features).notes
        assert any("without a table of segments: 1 of 3; all" in note for note in notes)

    def test_without_a_background_they_are_quarantined(self):
        store = self.prepare(validation_fraction=0).store
        assert store.split("train").column("id") == ["a.wav"]

    def test_milliseconds_in_columns_of_seconds_are_refused_with_the_remedy(self, folder):
        write(folder / "a.segments.csv", "start_s,end_s,label", "500,1000,call")
        with pytest.raises(SeqbeltError, match="start_ms and end_ms"):
            self.prepare()

    def test_a_segment_after_the_end_is_refused(self, folder):
        write(folder / "a.segments.csv", "start_s,end_s,label", "4,5,call")
        with pytest.raises(SeqbeltError, match="begins at 4 s, after the end of the recording"):
            self.prepare()

    def test_a_segment_that_ends_long_after_the_recording_is_said_to_be_cut(self, folder, caplog):
        write(folder / "a.segments.csv", "start_s,end_s,label", "0.2,9,call")
        self.prepare()
        assert "a.segments.csv: to 9 s of" in caplog.text and "where it is cut" in caplog.text

    def test_a_segment_that_ends_with_the_recording_is_ordinary(self, folder, caplog):
        write(folder / "a.segments.csv", "start_s,end_s,label", "0.2,1.1,call")
        self.prepare()
        assert "cut" not in caplog.text

    def test_background_of_sequences_is_refused(self):
        with pytest.raises(SettingsError, match="labels: per_step"):
            self.prepare(labels="per_sequence", background="silence")
