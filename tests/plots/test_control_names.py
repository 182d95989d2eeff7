"""Controls in the report: by their own names in English, translated in Korean."""

from seqbelt.comparison.baselines.fitted import _SIGNALS, _STEPS
from seqbelt.plots.report_page import Words


def test_english_names_are_the_controls_own():
    for control in (*_SIGNALS, *_STEPS):
        assert Words("en")(f"control_{control.key}") == control.name
        assert Words("ko")(f"control_{control.key}") != control.name


def test_reasons_without_a_translation_stay():
    assert Words("ko").reason("empty") == "비어 있음"
    assert Words("ko").reason("something new") == "something new"
