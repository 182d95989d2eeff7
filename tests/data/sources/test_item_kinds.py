"""Which features ``init`` proposes for texts."""

import pytest

from seqbelt.data.sources import item_kinds
from seqbelt.data.sources.item_kinds import FEW_TEXTS, look_into_texts

KOREAN, ENGLISH = ["정말 재미있는 영화"], ["a great film"]


@pytest.mark.parametrize(
    ("texts", "num_texts", "is_installed", "kind", "word"),
    [
        (KOREAN, FEW_TEXTS, True, "morpheme", "stems and endings"),
        (KOREAN, FEW_TEXTS, False, "subword", "seqbelt[korean]"),
        (KOREAN, FEW_TEXTS - 1, True, "jamo", "few"),
        (ENGLISH, FEW_TEXTS, True, "subword", "enough"),
        (ENGLISH, FEW_TEXTS - 1, True, "character", "few"),
    ],
)
def test_the_kind_for_texts(monkeypatch, texts, num_texts, is_installed, kind, word):
    monkeypatch.setattr(item_kinds, "find_spec", lambda name: is_installed or None)
    look = look_into_texts(texts, num_texts)
    assert look.settings == {"kind": kind}
    assert word in look.reasons["kind"]
