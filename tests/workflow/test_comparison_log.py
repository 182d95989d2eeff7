from unittest.mock import Mock

import numpy as np

from seqbelt.comparison.comparison import Comparison
from seqbelt.comparison.conclusion_page import RunResult
from seqbelt.comparison.metrics import RunPredictions
from seqbelt.tracking.run import TrackedRun
from seqbelt.workflow.comparison_log import log_conclusion


def test_each_metric_of_a_pair_is_logged_under_its_own_name():
    labels = (np.arange(60) < 6).astype(int)  # skewed, so that macro-F1 is judged as well
    runs = {}
    for cell, num_wrong in (("lstm", 0), ("rnn", 6)):
        answers = RunPredictions(labels, np.where(np.arange(60) < num_wrong, 1 - labels, labels))
        scores = {"accuracy": 1 - num_wrong / 60}
        runs[cell] = [RunResult((), seed, answers, scores, 1, 1.0, 0.1) for seed in (0, 1, 2)]
    conclusion = Comparison(cells=("lstm", "rnn")).conclude(runs, ("most", "rare"))
    run = Mock(spec=TrackedRun)
    log_conclusion(run, conclusion, "", {})
    metrics, tags = {}, {}
    for call in run.log_metrics.call_args_list:
        assert not metrics.keys() & call.args[0].keys()
        metrics |= call.args[0]
    for call in run.log_tags.call_args_list:
        tags |= call.args[0]
    accuracy, macro_f1 = conclusion.verdicts
    assert accuracy.difference != macro_f1.difference
    assert metrics["verdict/lstm_less_rnn_difference"] == accuracy.difference
    assert metrics["verdict/lstm_less_rnn_macro_f1_difference"] == macro_f1.difference
    assert tags["verdict/lstm_less_rnn_word"] == accuracy.word
    assert tags["verdict/lstm_less_rnn_macro_f1_word"] == macro_f1.word
    assert tags["verdict/lstm_less_rnn_macro_f1_metric"] == "macro_f1"
    assert tags["verdict/lstm_less_rnn_unit"] == "row"
