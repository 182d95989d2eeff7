"""Names of classes, groups and parts: one spelling for what is written in several."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from seqbelt.features.arrays.number_cells import EXACT, is_missing
from seqbelt.features.text.text import ESCAPED, VISIBLE, clean
from seqbelt.texts import list_first

_JOINERS = "\u200c\u200d"
"""They spell emoji and some scripts, but only between other characters."""
_PART_WORDS = {
    "train": "train training trn trainset 학습 훈련 트레인 트레이닝 学習 訓練 训练 训练集 訓練集 "
    "trainingsdaten entrainement entraînement apprentissage entrenamiento treino treinamento "
    "addestramento обучение",
    "validation": (
        "validation validate val valid dev devel development validationset valset devset "
        "검증 検証 验证 验证集 驗證集 validierung validierungsdaten validación validacion "
        "validação validacao validazione валидация"
    ),
    "test": "test testing tst testset 테스트 시험 テスト 测试 测试集 測試 測試集 testdaten prueba "
    "pruebas teste тест",
}
_PARTS = {word: part for part, words in _PART_WORDS.items() for word in words.split()}
_DOUBTFUL = frozenset(
    ("eval", "evaluation", "holdout", "heldout", "unseen", "평가", "評価", "评估")
)
"""Validation to some, test to others."""
_FILLERS = frozenset(
    ["set", "data", "dataset", "split", "part", "용", "셋", "세트", "데이터", "데이터셋"]
)
_ENDS = re.compile("(?<=.)(용|셋|세트|데이터|데이터셋)$")
_SEPARATORS = re.compile(r"(?<=[^\W\d_])[-_. ]+(?=[^\W\d_])")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_DAY = re.compile(rf"\d{{1,2}}-(?:{_MONTHS})|(?:{_MONTHS})-\d{{2}}|\d{{1,2}}월 \d{{1,2}}일")
_FOLD = re.compile(r"(fold|split|part|batch|chunk|shard)[\W_]*\d+")
_LOST_DIGITS = re.compile(r"[+-]?\d([.,]\d+)?[eE]\+?(1[1-9]|[2-9]\d)|\d{16,}\.0")
_CONFUSED = str.maketrans(
    "ıαενορτυχаеосрхуіјѕһԁԛԝ" + "\u2010\u2011\u2012\u2013\u2014\u2212\u2018\u2019\u201c\u201d",
    "iaevoptuxaeocpxyijshdqw" + "------''" + '""',
)
"""Letters of other alphabets, dashes and quotation marks by what they look like."""
_QUOTED = "\"'`´«»„.,;:"
MAX_SHOWN = 5
MAX_COUNTED = 20


def clean_name(name: str) -> str:
    """A name as people see it: Unicode NFC, no invisible marks, single blanks and none at the
    ends. What is not valid UTF-8 is left as it is."""
    if ESCAPED.search(name):
        return name
    return unicodedata.normalize("NFC", " ".join(clean(name).split())).strip(_JOINERS)


def clean_names(names: Sequence[str]) -> list[str]:
    """``clean_name`` of many names, of which few differ."""
    cleaned = {name: clean_name(name) for name in set(names)}
    if all(name == clean for name, clean in cleaned.items()):
        return [*names]
    return [cleaned[name] for name in names]


def part_of(name: str) -> str | None:
    """``train``, ``validation`` or ``test`` where a name means one of them and nothing else.

    In any case and in the usual spellings: ``Train``, ``VAL``, ``dev``, ``test_set``,
    ``1.Training``, ``학습``.
    """
    words = [word for word in _words(name) if word not in _FILLERS and not word.isdecimal()]
    is_numbered_behind = bool(re.search(r"\d\W*$", name))
    return _PARTS.get(words[0]) if len(words) == 1 and not is_numbered_behind else None


def resembles_part(name: str) -> str | None:
    """The part that a name contains among other words (``train-clean-100``); ``"?"`` for words
    that mean one part to some and another to others (``eval``); None for other names."""
    for word in _words(name):
        stem = word.rstrip("0123456789")
        if stem in _PARTS:
            return _PARTS[stem]
        if stem in _DOUBTFUL:
            return "?"
    return None


def part_among_words(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The part that one word of a name means, and the other words with ``#`` for numbers:
    ``reviews_train_2`` is ``train`` of ``reviews #``. None where no word means one, or several
    do."""
    words = _words(name)
    parts = [_PARTS[word] for word in words if word in _PARTS]
    if len(parts) != 1:
        return None
    return parts[0], tuple(re.sub(r"\d+", "#", word) for word in words if word not in _PARTS)


def _words(name: str) -> list[str]:
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())
    return [_ENDS.sub("", word) for word in re.split(r"[\W_]+", folded) if word]


def find_lookalikes(counts: Mapping[str, int], what: str) -> list[str]:
    """One sentence for each set of names that people would take for one.

    ``counts`` has the rows of each name; ``what`` is what they name ("classes").
    """
    alike: dict[str, list[str]] = {}
    for name in counts:
        alike.setdefault(_key(name), []).append(name)
    sentences = []
    for names in alike.values():
        if len(names) < 2:
            continue
        listed = ", ".join(f"'{_visible(name)}' ({counts[name]:,})" for name in names)
        numbers = all(_NUMBER.fullmatch(name) for name in names)
        how = "are the same number" if numbers else "differ only in case, form or separators"
        sentences.append(f"{what} {listed} {how}: if they are one, write them alike")
    return sentences


def find_missing(counts: Mapping[str, int], what: str) -> list[str]:
    """One sentence for each name that usually stands for a missing value."""
    return [
        f"{what} '{name}' ({counts[name]:,}) looks like a missing value; it is taken as a name"
        for name in counts
        if is_missing(name)
    ]


def find_mangled(counts: Mapping[str, int], what: str) -> list[str]:
    """One sentence for each name that a spreadsheet may have made a date, where not all are."""
    mangled = [name for name in counts if _DAY.fullmatch(name)]
    return [
        f"{what} '{name}' ({counts[name]:,}) looks like a date, as spreadsheets make one of 1-2 or "
        "SEP2; it is taken as a name"
        for name in (mangled if len(mangled) < len(counts) else ())
    ]


def find_folds(names: Iterable[str]) -> list[str]:
    """A sentence about classes that are all called like the parts of a cross-validation."""
    listed = [*names]
    if len(listed) < 2 or not all(_FOLD.fullmatch(name.strip().lower()) for name in listed):
        return []
    return [
        f"classes {shorten(listed)} are called like folds and not like classes: where the labels "
        "stand in the files' names, list the files in a manifest with the columns path and label"
    ]


def find_lost_digits(counts: Mapping[str, int], what: str) -> list[str]:
    """A sentence about names that are long numbers kept as floating point, which may have been
    several before."""
    lost = [name for name in counts if _LOST_DIGITS.fullmatch(name)]
    if not lost:
        return []
    listed = shorten(f"'{name}' ({counts[name]:,})" for name in lost)
    return [
        f"{what} {listed} may have lost digits, as spreadsheets and floating point keep 15 of "
        "them: several numbers may be one now; write them as text"
    ]


def _key(name: str) -> str:
    if _NUMBER.fullmatch(name) and abs(number := float(name)) < EXACT:
        return f"#{number}"
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    folded = (
        "".join(
            character for character in folded if character.isspace() or VISIBLE.match(character)
        )
        or folded
    )
    folded = folded.translate(_CONFUSED).replace("i\u0307", "i").strip(_QUOTED) or folded
    return " ".join(_SEPARATORS.sub("", clean_name(folded)).split())


def _visible(name: str) -> str:
    """A name in which blanks at the ends and what has no picture can be seen."""
    is_plain = name == clean_name(name) and all(c.isspace() or VISIBLE.match(c) for c in name)
    return name if is_plain else name.encode("unicode_escape").decode()


def list_counts(counts: Mapping[str, int]) -> str:
    """Names with their counts: in their order, or the most frequent where there are many."""
    names = [*counts]
    if len(names) > MAX_COUNTED:
        names.sort(key=lambda name: -counts[name])
    return shorten((f"{name} {counts[name]:,}" for name in names), MAX_COUNTED)


def shorten(names: Iterable[str], limit: int = MAX_SHOWN) -> str:
    """The first names, and how many more there are."""
    return str(list_first(list(names), limit))
