"""Every case of the corpus: read as it was meant, or refused with the words that help."""

from pathlib import Path

import numpy as np
import pytest
from faults.cases import CASES, Case, as_array

from seqbelt.commands.prepare import prepare
from seqbelt.errors import SeqbeltError
from seqbelt.experiment import Experiment
from seqbelt.settings import override


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_read_as_meant_or_refused(case: Case, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case.write(tmp_path)
    values = {"name": "t", "data": {"source": "lay"}, "features": {"kind": "channels"}}
    experiment = Experiment.parse(override(values, case.settings))
    if case.values is None:
        with pytest.raises(SeqbeltError, match=case.refused):
            prepare(experiment)
        assert "down/0.csv" in Path("data/prepared/t/quarantine.csv").read_text("utf-8-sig")
        return
    done = prepare(experiment).result
    from seqbelt.data.store.store import SequenceStore

    assert done["num_quarantined"] == 0
    found = SequenceStore(Path(done["store"])).sequence(0)
    np.testing.assert_array_equal(found, as_array(case.values))
    readings = done.get("readings", {})
    assert not case.said or any(case.said in said for said in readings)
    assert prepare(experiment).result.get("readings", {}) == readings
