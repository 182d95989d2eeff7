"""The reasons beside a verdict: medians over models, and nothing that the figures do not say."""

from dataclasses import replace

import pytest
from comparison_toys import model

from seqbelt.comparison.diagnostics import Diagnostics
from seqbelt.comparison.memory import EARLIER_STEPS
from seqbelt.plots.comparison_figures import diagnostics_figure
from seqbelt.training.gradient_reach import GradientReach


@pytest.fixture
def reasons():
    return Diagnostics(
        {"lstm": [model(0.9, 8), model(0.9, 16), model(0.5, 16)], "rnn": [model(0.5, 2)]}
    )


def test_the_median_model_speaks_for_a_cell(reasons):
    found = reasons.to_dict()
    assert found["lstm"]["memory_steps"] == dict.fromkeys(EARLIER_STEPS, 16)
    assert found["rnn"]["memory_steps"] == dict.fromkeys(EARLIER_STEPS, 2)
    assert found["rnn"]["gradient_half_life_steps"] == {"before": 40, "trained": 1}
    assert found["lstm"]["gradient_half_life_steps"]["trained"] == 7  # 0.9 ** 7 < 0.5
    assert found["rnn"]["gradient_reach_steps"]["trained"] == 10  # 0.5 ** 10 < 1e-3
    assert found["lstm"]["earliest_share"] == 1.0 and found["lstm"]["clipped"] == 0.25


def test_the_tables_hold_these_figures(reasons):
    text = reasons.markdown()
    assert "| LSTM | 40, 7 | 40, 40 of 40 | 25 % | 16, 16, 16 | 100 % |" in text
    assert "| RNN | 40, 1 | 40, 10 of 40 | 25 % | 2, 2, 2 | 100 % |" in text
    assert "| steps | 5 | 9 |" in text and "| RNN | 100.0 % | 0.0 % |" in text


def test_one_length_needs_no_table_by_length():
    text = Diagnostics({"gru": [model(0.9, 8, lengths=(7, 7))]}).markdown()
    assert "All test sequences are of one length." in text


def test_the_picture_has_a_line_for_each_cell_and_folds_may_differ_in_length(reasons):
    long, short = model(0.9, 2), model(0.8, 4)
    short = replace(
        short,
        trained=GradientReach(short.trained.curve[:20]),
        memory=replace(
            short.memory,
            last_steps=short.memory.last_steps[:-1],
            accuracy_by_suffix={
                how: short.memory.accuracy_by_suffix[how][:-1] for how in EARLIER_STEPS
            },
        ),
    )
    figure = diagnostics_figure({**reasons.models, "gru": [long, short]})
    names = ["reach", "half-life", "clipped", "past", "heads", "lengths"]
    found = {name: len(axes.get_legend().get_texts()) for name, axes in zip(names, figure.axes)}
    assert found == {"reach": 6, "half-life": 3, "clipped": 3, "past": 9, "heads": 3, "lengths": 3}


def test_half_lives_that_hardly_differ_have_numbers():
    same = replace(model(0.9, 1), half_lives=[(0, 79), (1, 79), (9, 80)])
    axes = diagnostics_figure({"lstm": [same]}).axes[1]
    low, high = axes.get_ylim()
    assert sum(low <= tick <= high for tick in axes.get_yticks()) >= 2


def test_models_at_chance_have_no_steps_that_are_enough():
    guess = replace(model(0.9, 1), has_learned=False)
    learned = model(0.9, 8)
    found = Diagnostics({"lstm": [guess], "rnn": [guess, learned]})
    assert found.to_dict()["lstm"]["memory_steps"] == dict.fromkeys(EARLIER_STEPS)
    assert found.to_dict()["lstm"]["earliest_share"] is None
    assert found.to_dict()["rnn"]["memory_steps"] == dict.fromkeys(EARLIER_STEPS, 8)
    assert "| none: at chance | none: at chance |" in found.markdown()
