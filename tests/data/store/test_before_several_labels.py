"""What was saved before ordered classes and several labels keeps its identity."""

from toys import toy_store

from seqbelt.experiment import Experiment
from seqbelt.workflow.comparison_run import _NOT_TRAINED, _digest


def test_a_store_of_one_class_has_the_fingerprint_it_had(tmp_path):
    store = toy_store(tmp_path)
    assert store.fingerprint == "f1af897e7fed298c9a5592701eefca4d"
    assert "ordered" not in store.about and store.target.name == "per_sequence"


def test_a_comparison_is_named_as_before_unless_the_new_settings_are_used():
    def name(**data):
        values = {"name": "x", "data": {"source": "y", **data}, "features": {"kind": "word"},
                  "training": {"distillation": 0}}  # fmt: skip
        return _digest(Experiment.parse(values), _NOT_TRAINED)

    plain = name()
    assert plain == PLAIN
    assert len({plain, name(label_map={"a": "b"}), name(order=["a", "b", "c"])}) == 3


PLAIN = "b9423c46"
