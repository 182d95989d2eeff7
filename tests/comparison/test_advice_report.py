"""Advice on several models is said once, and what most models show is what to try."""

from seqbelt.comparison.advice_report import AdviceByCell
from seqbelt.training.advice import Advice


def longer(accuracy: float) -> Advice:
    return Advice(f"the last epoch was the best ({accuracy} %)", "training.a", "train longer")


CLIPPED = Advice("all updates were clipped", "training.b", "clip less")


def test_models_with_the_same_advice_share_a_line():
    models = {"lstm": [[longer(80)], [longer(81), CLIPPED], []], "rnn": [[], [], []]}
    assert AdviceByCell(models, True).markdown().splitlines() == [
        "### Advice",
        "",
        "- **LSTM**, 2 of 3 models: the last epoch was the best (80 %): train longer "
        "(`training.a`).",
        "- **LSTM**, 1 of 3 models: all updates were clipped: clip less (`training.b`).",
    ]
    assert AdviceByCell({"lstm": [[]]}, True).markdown() == ""


def test_what_half_of_the_models_show_is_what_to_try():
    found = AdviceByCell({"lstm": [[longer(80)], [longer(81), CLIPPED], []], "rnn": [[]]}, True)
    assert found.remedy("lstm") == "Try this: train longer (training.a)."


def test_without_advice_the_settings_of_the_kind_are_tried():
    tokens, numbers = (AdviceByCell({"rnn": [[]]}, is_tokens).remedy("rnn")
                       for is_tokens in (True, False))  # fmt: skip
    assert "model.embedding_dropout" in tokens and "model.stem" in numbers
    assert "seqbelt tune" in tokens and "seqbelt tune" in numbers
