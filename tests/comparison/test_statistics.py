import time

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats import contingency_tables, multitest, proportion, weightstats

from seqbelt.comparison.statistics import (
    Component,
    Difference,
    Estimate,
    accuracy_difference,
    bootstrap_difference,
    holm,
    mcnemar,
    mean_interval,
    wilson_interval,
)

BOOTSTRAP = {"confidence": 0.95, "num_resamples": 2000, "seed": 0}


def test_mean_interval_is_students():
    values = np.array([0.91, 0.94, 0.90, 0.95, 0.93])
    found = mean_interval(values, 0.9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.value == pytest.approx(0.926)


def test_one_seed_has_no_interval():
    found = mean_interval(np.array([0.9]), 0.95)
    assert found.value == 0.9
    assert np.isnan([found.low, found.high]).all()


def test_wilson_agrees_with_newcombes_published_example():
    """81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table I, method 3)."""
    found = wilson_interval(81, 263, 0.95)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_mcnemar_by_hand():
    # 6 examples only a gets right, 1 only b: twice P(X <= 1) for 7 fair coins = 2 * 8 / 128.
    a = np.array([True] * 6 + [False] + [True] * 10 + [False] * 4)
    b = np.array([False] * 6 + [True] + [True] * 10 + [False] * 4)
    assert mcnemar(a, b) == pytest.approx(0.125)
    assert mcnemar(b, a) == pytest.approx(0.125)
    assert mcnemar(a, a) == 1.0


@pytest.mark.parametrize("only_a", [0, 3, 10, 11, 20, 500])
@pytest.mark.parametrize("only_b", [0, 7, 10])
def test_mcnemar_is_scipys_binomial_test(only_a, only_b):
    a = np.repeat([True, False], [only_a, only_b])
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if len(a) else 1.0
    assert mcnemar(a, ~a) == pytest.approx(expected)


def test_holm_on_the_textbook_example():
    found = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.7])).max() == 1.0


def test_mcnemar_on_a_published_table():
    """Approval of the Prime Minister asked twice (Agresti 1990, table 10.1): 150 and 86 changed."""
    a = np.repeat([True, True, False, False], [794, 150, 86, 570])
    b = np.repeat([True, False, True, False], [794, 150, 86, 570])
    table = [[794, 150], [86, 570]]
    expected = contingency_tables.mcnemar(table, exact=True)
    assert mcnemar(a, b) == pytest.approx(expected.pvalue, rel=1e-9)
    # The published statistic, z squared, is 17.36.
    asymptotic = contingency_tables.mcnemar(table, exact=False, correction=False)
    assert asymptotic.statistic == pytest.approx(17.36, abs=0.005)
    assert mcnemar(a, b) == pytest.approx(asymptotic.pvalue, rel=0.4)


def test_holm_is_statsmodels(rng):
    p_values = rng.random(12) ** 3
    expected = multitest.multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(expected)


def test_wilson_is_statsmodels():
    expected = proportion.proportion_confint(81, 263, method="wilson")
    found = wilson_interval(81, 263, 0.95)
    assert (found.low, found.high) == pytest.approx(expected)


def test_paired_bootstrap_of_two_models_is_scipys(rng):
    """One seed each: only the examples are drawn anew, for both at once."""
    difficulty = rng.random(400)
    a, b = (rng.random(400) < base + 0.4 * difficulty for base in (0.6, 0.5))

    def difference(one, other, axis):
        return one.mean(axis=axis) - other.mean(axis=axis)

    expected = stats.bootstrap(
        (a, b), difference, paired=True, method="percentile", n_resamples=4000, rng=0
    ).confidence_interval
    found = bootstrap_difference(a[None], b[None], **BOOTSTRAP)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.006)


def test_holm_leaves_one_test_alone():
    assert holm(np.array([0.03])) == pytest.approx([0.03])


@pytest.fixture
def cells(rng):
    difficulty = rng.random(500)
    a = rng.random((5, 500)) < 0.6 + 0.4 * difficulty
    b = rng.random((4, 500)) < 0.5 + 0.4 * difficulty
    return a, b


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_bootstrap_resamples_what_a_loop_would(cells):
    """The multinomial shortcut against the definition: rows and seeds drawn one by one."""
    a, b = cells
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(2000):
        examples = rng.integers(0, 500, 500)
        seeds_a, seeds_b = rng.integers(0, 5, 4), rng.integers(0, 4, 3)
        drawn.append(a[seeds_a][:, examples].mean() - b[seeds_b][:, examples].mean())
    found = bootstrap_difference(a, b, **BOOTSTRAP)
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.004)


def test_bootstrap_repeats_by_seed(cells):
    assert bootstrap_difference(*cells, **BOOTSTRAP) == bootstrap_difference(*cells, **BOOTSTRAP)
    other = bootstrap_difference(*cells, **{**BOOTSTRAP, "seed": 1})
    assert other != bootstrap_difference(*cells, **BOOTSTRAP)


def test_groups_of_one_are_examples(cells):
    alone = accuracy_difference(*cells, groups=np.arange(500))
    assert [part.variance for part in alone.components] == pytest.approx(
        [part.variance for part in accuracy_difference(*cells).components]
    )


@pytest.mark.parametrize("method", ["bootstrap", "components"])
def test_whole_groups_widen_the_interval(rng, method):
    """Ten copies of one example in each group are one observation, not ten."""
    a, b = (np.tile(np.repeat(rng.random(40) < p, 10), (5, 1)) for p in (0.8, 0.7))
    groups = np.repeat(np.arange(40), 10)

    def width(given):
        if method == "bootstrap":
            found = bootstrap_difference(a, b, groups=given, **BOOTSTRAP)
        else:
            found = accuracy_difference(a, b, given).interval(0.95)
        return found.high - found.low

    once = accuracy_difference(a[:, ::10], b[:, ::10]).interval(0.95)
    assert width(groups) > 2 * width(None)
    assert width(groups) == pytest.approx(once.high - once.low, rel=0.35)


def test_paired_seeds_cancel_what_they_share(rng):
    """Seeds that lift both cells alike say nothing about their difference."""
    luck = np.linspace(-0.3, 0.3, 5)[:, None]
    a, b = (rng.random((5, 2000)) < 0.6 + luck for _ in range(2))
    unpaired, paired = (
        accuracy_difference(a, b, seeds_paired=is_paired) for is_paired in (False, True)
    )
    assert paired.half_width(0.05) < 0.5 * unpaired.half_width(0.05)
    narrow = bootstrap_difference(a, b, seeds_paired=True, **BOOTSTRAP)
    wide = bootstrap_difference(a, b, **BOOTSTRAP)
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)


def test_one_component_is_the_t_test(rng):
    values = rng.normal(0.1, 0.2, 6)
    one = Difference(values.mean(), (Component(values.var(ddof=1) / 6, 5),))
    expected = stats.ttest_1samp(values, 0)
    assert one.p_value() == pytest.approx(expected[1], rel=1e-6)
    interval = expected.confidence_interval(0.95)
    found = one.interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_equivalence_is_two_one_sided_t_tests(rng):
    values = rng.normal(0, 0.1, 8)
    values += 0.03 - values.mean()
    one = Difference(values.mean(), (Component(values.var(ddof=1) / 8, 7),))
    for margin in (0.01, 0.05, 0.1):
        below = stats.ttest_1samp(values, margin, alternative="less")[1]
        above = stats.ttest_1samp(values, -margin, alternative="greater")[1]
        assert one.equivalence_p(margin) == pytest.approx(np.maximum(below, above), rel=1e-6)


def test_equivalence_is_statsmodels_on_a_paired_sample(rng):
    before, after = rng.normal(0.90, 0.02, 10), rng.normal(0.905, 0.02, 10)
    expected = weightstats.ttost_paired(before, after, -0.02, 0.02)[0]
    gaps = before - after
    one = Difference(gaps.mean(), (Component(gaps.var(ddof=1) / 10, 9),))
    assert one.equivalence_p(0.02) == pytest.approx(expected, rel=1e-6)


def test_p_value_and_interval_tell_the_same(cells):
    found = accuracy_difference(*cells)
    edge = found.interval(1 - found.p_value())
    assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0, abs=1e-9)


def test_no_difference_of_accuracies_is_beyond_a_hundred_points():
    found = Difference(0.1, (Component(0.2, 1),))
    assert found.half_width(0.05) > 1
    assert found.interval(0.95) == Estimate(0.1, -1.0, 1.0)


def test_luck_of_seeds_is_not_counted_twice(rng):
    """Answers that are coin flips of each seed say nothing of the examples."""
    a, b = (rng.random((5, 20_000)) < 0.5 for _ in range(2))
    *_, examples = accuracy_difference(a, b).components
    per_example = (a.mean(axis=0) - b.mean(axis=0)).var() / 20_000
    assert examples.variance < 0.1 * per_example


def test_agreement_on_few_examples_is_not_certainty():
    """40 of 40 right in both: the rule of three leaves 3 / 40."""
    perfect = np.ones((5, 40), dtype=bool)
    assert 0.03 < accuracy_difference(perfect, perfect).half_width(0.05) < 0.1


def test_one_seed_has_no_p_value(cells):
    a, b = cells
    found = accuracy_difference(a[:1], b)
    assert found.p_value() == 1.0
    assert found.equivalence_p(0.5) >= 0.5
    assert np.isnan(found.interval(0.95).low)


def test_bootstrap_is_fast_enough(rng):
    a, b = (rng.random((5, 50_000)) < p for p in (0.9, 0.89))
    start = time.process_time()  # what runs beside it does not count
    bootstrap_difference(a, b, **BOOTSTRAP)
    assert time.process_time() - start < 5  # 0.3 s on an idle core
