"""Every case of the corpus: read as it was meant, or refused with the words that help."""

import re
from pathlib import Path

import numpy as np
import pytest
from faults.cases import CASES, Case, as_array

from seqbelt.commands.prepare import prepare
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SeqbeltError
from seqbelt.experiment import Experiment
from seqbelt.settings import override

QUARANTINE = Path("data/prepared/t/quarantine.csv")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.shown}"[:60])
def test_a_case_is_read_as_meant_or_refused(case: Case, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    case.write(tmp_path)
    features = {"kind": case.features} | ({"min_count": 1} if case.features == "word" else {})
    data = {"source": case.source, "test_fraction": 0, "validation_fraction": 0}
    values = {"name": "t", "data": data, "features": features}
    experiment = Experiment.parse(override(values, case.settings))
    if not case.is_read:
        with pytest.raises(SeqbeltError, match=re.escape(case.message)):
            prepare(experiment)
        return
    with caplog.at_level("INFO", logger="seqbelt"):
        done = prepare(experiment).result
    store = SequenceStore(Path(done["store"]))
    assert done["num_quarantined"] == case.refused_row
    if case.values is not None:
        np.testing.assert_array_equal(store.sequence(0), as_array(case.values))
    if case.classes is not None:
        assert dict(store.class_counts) == case.classes
    said = QUARANTINE.read_text("utf-8-sig") if case.refused_row else caplog.text
    assert case.message in said
    assert prepare(experiment).result.get("readings", {}) == done.get("readings", {})
