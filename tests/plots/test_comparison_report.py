"""What the report of a comparison says first."""

import numpy as np
import pytest

from seqbelt.comparison.conclusion_page import Conclusion
from seqbelt.data.audit import Audit
from seqbelt.features.arrays.channels import Channels
from seqbelt.plots.comparison_report import ChosenFacts, DataFacts, comparison_report


def report_on(held_out_groups, language="en", kind="channels", can_reject=True):
    """The page on four right answers of two classes."""
    labels = np.array([0, 1, 0, 1])
    data = DataFacts(
        source="logs", prepared_on="2026-01-01", classes=("idle", "wear"),
        counts={part: np.array([9, 9]) for part in ("train", "validation", "test")},
        num_rows={"train": 18, "validation": 18, "test": 4}, lengths=(5.0, 6.0, 7.0), step_s=None,
        num_groups=3, num_folds=1, quarantined={}, audit=Audit((), 0.0), kind=kind,
    )  # fmt: skip
    chosen = ChosenFacts(
        cell="lstm", reason="validation", score="accuracy", num_models=2, num_networks=1,
        labels=labels, predictions=labels, units=None, held_out_groups=held_out_groups,
        crop=None, model_uri="models:/logs/1", can_reject=can_reject,
    )  # fmt: skip
    conclusion = Conclusion(runs={}, verdicts=(), confidence=0.95)
    return comparison_report(
        "logs", data, chosen, conclusion, Channels(kind="channels"), "", {}, language
    )


@pytest.mark.parametrize(
    ("groups", "language", "words", "absent"),
    [
        ((), "en", "All groups of the test are in training too", "Only one group"),
        (("press 4",), "en", "Only one group", "All groups of the test are in training"),
        (("press 4",), "ko", "'press 4' 하나뿐입니다", "모든 그룹이 학습에도"),
        (("press 4", "press 5"), "en", "In short", "Only one group"),
    ],
)
def test_the_summary_says_that_the_test_has_one_new_group(groups, language, words, absent):
    page = report_on(groups, language).replace("&#39;", "'")
    assert words in page and absent not in page


@pytest.mark.parametrize("can_reject", [True, False])
def test_only_commands_that_the_model_allows_are_proposed(can_reject):
    page = report_on((), can_reject=can_reject)
    assert ("--coverage" in page) == can_reject and "seqbelt explain" in page
    assert "seqbelt explain" not in report_on((), kind="steps")
