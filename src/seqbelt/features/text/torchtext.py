"""torchtext's tokenizers and vocabulary, kept as a ``tokenizer.json`` that needs no torchtext.

torchtext has ended: its last release, 0.18.0, imports with torch 2.3 only. So it is needed where
a vocabulary is learned, and nowhere else: what its tokenizers do is written down as normalisation
rules of Hugging Face's ``tokenizers``, which encode in training and prediction alike.
"""

from collections.abc import Callable, Iterable
from types import ModuleType

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from seqbelt.errors import SettingsError
from seqbelt.features.text.encoder import PADDING, UNKNOWN

_CASED, _BETWEEN = r"[\p{Cased}&&\P{Case_Ignorable}]", r"\p{Case_Ignorable}*"
_FINAL_SIGMA = f"(?<={_CASED}{_BETWEEN})Σ(?!{_BETWEEN}{_CASED})"
"""A capital sigma that ends a word: ``str.lower`` gives it another small letter than the rest."""
_WHITE_SPACE = r"[\s\x{1c}-\x{1f}\x{85}]+"
"""What ``str.split`` splits at."""
_BASIC_ENGLISH = (
    ("'", " '  "), ('"', ""), (".", " . "), ("<br />", " "), (",", " , "), ("(", " ( "),
    (")", " ) "), ("!", " ! "), ("?", " ? "), (";", " "), (":", " "),
)  # fmt: skip
"""Replacements of torchtext 0.18, ``torchtext/data/utils.py``, in their order."""


def train_torchtext_words(
    texts: Iterable[str], tokenizer: str, vocabulary_size: int, min_count: int
) -> Tokenizer:
    """The words that torchtext's ``Vocab`` holds of texts split by its ``basic_english`` or,
    ``split``, at white space.

    Ids are those of the ``Vocab``, with padding 0 and unknown 1. Raises SettingsError where
    torchtext cannot be imported.
    """
    torchtext = import_torchtext()
    split: Callable[[str], list[str]] = torchtext.data.utils.get_tokenizer(
        None if tokenizer == "split" else tokenizer
    )
    vocabulary = torchtext.vocab.build_vocab_from_iterator(
        map(split, texts),
        min_freq=min_count,
        specials=[PADDING, UNKNOWN],
        max_tokens=vocabulary_size,
    )
    return make_torchtext_words(vocabulary.get_stoi(), tokenizer)


def make_torchtext_words(ids: dict[str, int], tokenizer: str) -> Tokenizer:
    """A tokenizer that splits as torchtext's does, without it, and gives each word its id."""
    words = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    words.normalizer = _make_normalizer(tokenizer)
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return words


def _make_normalizer(tokenizer: str) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = []
    if tokenizer == "basic_english":
        steps = [normalizers.Replace(Regex(_FINAL_SIGMA), "ς"), normalizers.Lowercase()]
        steps += [normalizers.Replace(old, new) for old, new in _BASIC_ENGLISH]
    return normalizers.Sequence([*steps, normalizers.Replace(Regex(_WHITE_SPACE), " ")])


def import_torchtext() -> ModuleType:
    """Import torchtext, silencing its deprecation warning. Raises SettingsError where it cannot be
    imported."""
    try:
        import torchtext  # pyright: ignore[reportMissingImports]  # an extra, on its own versions

        torchtext.disable_torchtext_deprecation_warning()  # pyright: ignore[reportAttributeAccessIssue]
        import torchtext.data.utils  # pyright: ignore[reportMissingImports]
        import torchtext.vocab  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError) as error:  # OSError: built for another torch
        import torch

        raise SettingsError(
            f"features.torchtext: torchtext does not import beside torch {torch.__version__} "
            f"({str(error).splitlines()[0]}); its last release, 0.18.0, needs torch 2.3. Learn in "
            "an environment made with: pip install -c constraints-oldest.txt -e '.[torchtext]' "
            "(the model then predicts anywhere), or leave the setting out"
        ) from None
    return torchtext
