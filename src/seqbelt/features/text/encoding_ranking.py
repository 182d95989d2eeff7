"""Which encoding reads some bytes as they were written? It cannot be known, only ranked.

Each that can read the bytes is scored by how usual its characters are in the languages written so,
and shown with what it reads.
"""

import re
import unicodedata
from typing import NamedTuple

from seqbelt.features.text.text_decoding import escaped_in

SAMPLE_CHARACTERS = 4000
CLEAR_LEAD = 0.3
"""Score by which the best candidate must lead to be named alone."""
MAX_CANDIDATES = 5
SHOWN_CHARACTERS = 48
_CANDIDATES = (
    "cp949", "cp932", "euc_jp", "gb18030", "big5hkscs", "cp1252", "cp1251", "koi8-u", "cp866",
    "cp1250", "iso8859-2", "cp1254", "cp1253", "iso8859-7", "iso8859-5", "mac_roman",
    "mac_cyrillic", "cp1255", "cp1256", "cp874", "cp1257", "iso8859-15", "cp850", "cp437", "cp852",
    "cp1258", "johab", "utf-16-le", "utf-16-be",
)  # fmt: skip
"""In the order in which they are named where two read the same."""
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_SHIFTED = re.compile(rb"\+[A-Za-z0-9+/]{3}")
"""Begins letters beyond ASCII in UTF-7."""
_SHIFTED_HZ = re.compile(rb"~\{[!-~]{2}")
"""The same in HZ, of Chinese mails."""
MIN_UTF7_CHARACTERS, MIN_UTF7_SCORE = 4, 0.25
"""What words such as +settings hardly reach where they are read as letters."""
MIN_WIDE_BYTES = 4
"""Two characters of UTF-16: less may be anything."""


class Candidate(NamedTuple):
    """An encoding that reads some bytes: how usual the characters are, and the text."""

    score: float
    encoding: str
    text: str


def rank_encodings(content: bytes) -> list[Candidate]:
    """The encodings that read bytes, best first; of those that read the same only one."""
    by_text: dict[str, Candidate] = {}
    for encoding in _CANDIDATES:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            text = _without_half_character(content, encoding)
        if text and text not in by_text:
            by_text[text] = Candidate(_score(text[:SAMPLE_CHARACTERS], encoding), encoding, text)
    return sorted(by_text.values(), key=lambda candidate: -candidate.score)


def unmarked_encoding(content: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, judged by its zero bytes, or by control characters that it
    reads as letters, UTF-7 and HZ; None for other content."""
    sample = content[:SAMPLE_CHARACTERS]
    if len(content) < MIN_WIDE_BYTES:
        return None
    for start, name in ((_SHIFTED, "utf-7"), (_SHIFTED_HZ, "hz")):
        if start.search(sample) and _is_shifted(content, name):
            return name
    num_zeros = sample.count(0)
    if num_zeros * 4 >= len(sample):
        if len(content) % 4 == 0 and num_zeros * 2 > len(sample):
            return "utf-32-le" if sample[3::4].count(0) > sample[::4].count(0) else "utf-32-be"
        odd, even = sample[1::2].count(0), sample[::2].count(0)
        if max(odd, even) < 4 * min(odd, even):
            return None
        return "utf-16-le" if odd > even else "utf-16-be"
    if len(_CONTROLS.findall(sample)) * 4 < len(sample):
        return None
    texts = {
        name: sample[: len(sample) // 2 * 2].decode(name, "replace")
        for name in ("utf-16-le", "utf-16-be")
    }
    best = max(texts, key=lambda name: _score(texts[name], name))
    return best if all(map(_is_of_a_text, texts[best])) else None


def _is_shifted(content: bytes, encoding: str) -> bool:
    """Whether an encoding that shifts within plain ASCII reads usual letters, several of them."""
    sample = content[:SAMPLE_CHARACTERS]
    if len(sample) < len(content):
        sample = sample[: max(sample.rfind(b"\n"), sample.rfind(b" ")) + 1]
    try:
        text = sample.decode(encoding) if sample.isascii() else ""
    except UnicodeDecodeError:
        return False
    num_foreign = sum(not character.isascii() for character in text)
    return num_foreign >= MIN_UTF7_CHARACTERS and _score(text, "utf-16-be") > MIN_UTF7_SCORE


def _is_of_a_text(character: str) -> bool:
    return character.isprintable() or character.isspace()


def describe_encodings(content: bytes) -> str:
    """What to set in ``data.encoding``: the likely one, or several, each with what it reads.

    ``content`` need not be a file's beginning.
    """
    if name := escaped_in(content):
        return f"it is written in {name}: set data.encoding: {name}"
    if name := unmarked_encoding(content):
        return f"it looks like {name}: set data.encoding: {name}"
    ranked = rank_encodings(content)
    if not ranked:
        return "name its encoding in data.encoding"
    best = ranked[0]
    near = [candidate for candidate in ranked if candidate.score > best.score - CLEAR_LEAD]
    if len(near) == 1:
        return (
            f"it looks like {best.encoding}, which reads {_excerpt(best.text)}: set data.encoding: "
            f"{best.encoding}"
        )
    options = "; ".join(
        f"data.encoding: {candidate.encoding} reads {_excerpt(candidate.text)}"
        for candidate in near[:MAX_CANDIDATES]
    )
    return f"set the one that reads it as it was written: {options}"


def _without_half_character(content: bytes, encoding: str) -> str | None:
    """A sample may end within a character."""
    for missing in (1, 2, 3):
        try:
            return content[:-missing].decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _excerpt(text: str) -> str:
    """The first line that is not plain ASCII, from a little before its first such character."""
    line = next((line for line in text.splitlines() if not line.isascii()), text[:80])
    first = next((index for index, character in enumerate(line) if not character.isascii()), 0)
    begin = max(0, first - 12)
    shown = line[begin : begin + SHOWN_CHARACTERS]
    printable = (character if character.isprintable() else "\ufffd" for character in shown)
    return f"'{''.join(printable)}'"


_HANGUL = frozenset(
    "이다는에의을가를고은하지도로한사기인서나아어자리대일정시그해게수원부있것들니라과면전제동상년장보주공스습만여조구"
    "국안경적중무성소관용요연비신입생러세마위음모으야내거미개선치당통회실재방분학문계물오화우업유행심영드트간발진데금"
    "반와권결투급감외계남산민최추했말때그저집술품차바양터많너무좋았없었못잘함된될할더네까지밌싫후추천별최악괜찮배송빠르느"
)
_SIMPLIFIED = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种"
    "事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第"
    "公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合"
    "回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总"
    "电影欢喜店服务差评质量快买商品书吃喝错太"
)
_TRADITIONAL = frozenset(
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種"
    "事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第"
    "公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合"
    "回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平係氣題活爾更別打女變四神總"
    "電影歡喜店服務差評質量快買商品書吃喝錯太"
)
_KANJI = frozenset(
    "日一国人年大十二本中長出三時行見月分後前生五間上東四今金九入学高円子外八六下来気小七山話女北午百書先名川千水半男西"
    "電校語土木聞食車何南万毎白天母火右読友左休父雨会同事自社発者地業方新場員立開手力問代明動京目通言理体田主題意不作用"
    "度強公持野以思家世多正安院心界教文元重近考画海売知道集別物使品計死特私始朝運終台広住真有口少町料工建空急止送切転研"
    "足究楽起着店病質待試族銀早映験親英医仕去味写字答夜音注帰古歌買悪図週室歩風紙黒花春赤青館屋色走秋夏習駅洋旅服夕借曜"
    "飲肉貸堂鳥飯勉冬昼茶弟牛魚兄犬妹姉漢良最面好無対感全部内定関性現変実"
)
_CJK = {"gb18030": _SIMPLIFIED, "big5hkscs": _TRADITIONAL, "cp932": _KANJI, "euc_jp": _KANJI}


_CJK |= {"utf-16-le": _SIMPLIFIED | _TRADITIONAL | _KANJI}


_CJK |= {"utf-16-be": _CJK["utf-16-le"]}


_KANA_AT_HOME = frozenset(("cp932", "euc_jp", "utf-16-le", "utf-16-be"))
_USUAL = {
    "CYRILLIC": (frozenset("оеаинтсрвлк"), frozenset("мдпуяыьгзбчйієї")),
    "GREEK": (frozenset("αοιετσνηυρ"), frozenset("πκμλςάόέίήώύωδ")),
}
_LATIN = frozenset("éèàáâäãåæçêëíìîïñóòôöõøúùûüßœğışšřěčžůťďňłąęśżźćńőűţșăđőāēģīķļņūėįų")
_OPENING, _CLOSING = "“„‘«¿¡", "”“’»…"
_SIGNS = frozenset("£¥¢°²³½¼¾")
_MARKS = frozenset("«»“”„‘’–—…€·¿¡№、。，！？（）「」『』・：；～") | _SIGNS
WELL_PLACED = 1.0
_OLD = frozenset(("mac_roman", "cp850", "cp852", "cp437"))
OLD = 0.2
"""Taken from encodings of former systems, which are rare by now."""
_ALPHABETS = frozenset(("CYRILLIC", "GREEK", "ARABIC", "HEBREW", "THAI"))
"""Scripts besides Latin of which texts in one byte a letter are."""
_OTHER_LETTERS = re.compile(r"[^\W\d_\x00-\x7f]+")
_HEBREW_FINAL = frozenset("ךםןףץ")


def _score(text: str, encoding: str) -> float:
    """How usual the characters beyond ASCII are, about -1 to 1."""
    marks = [index for index, character in enumerate(text) if not character.isascii()]
    if not marks:
        return 0.0 if "\0" not in text else -1.0
    scripts: dict[str, int] = {}
    points = 0.0
    for index in marks:
        character = text[index]
        before, after = text[index - 1 : index] or " ", text[index + 1 : index + 2] or " "
        if character in _MARKS:
            points += _judge_mark(character, text[max(0, index - 2) : index], text[index + 1 :][:2])
            continue
        script, point = _judge(character, before, after, encoding)
        points += point
        if script:
            scripts[script] = scripts.get(script, 0) + 1
    if scripts:
        mixed = 1 - max(scripts.values()) / sum(scripts.values())
    else:
        mixed = 0.0 if points == WELL_PLACED * len(marks) else 0.5
    control = sum(
        unicodedata.category(character) in ("Cc", "Cn", "Co") and character not in "\t\r\n"
        for character in text
    )
    stray = 0.0
    if scripts and max(scripts, key=lambda name: scripts[name]) in _ALPHABETS:
        stray = 0.5 * _has_stray_letters(text)
    unlikely = mixed + stray + OLD * (encoding in _OLD) + 2 * control / len(text)
    return points / len(marks) - unlikely


def _has_stray_letters(text: str) -> bool:
    """Whether a text in Latin letters has single other ones, and no words of them."""
    letters = [character for character in text if character.isalpha()]
    num_others = sum(not letter.isascii() for letter in letters)
    num_runs = sum(1 for _ in _OTHER_LETTERS.finditer(text))
    return num_others < 0.1 * len(letters) and num_others < 3 * num_runs


def _judge(character: str, before: str, after: str, encoding: str) -> tuple[str, float]:
    """The script of a character and its weight, by what stands beside it."""
    category = unicodedata.category(character)
    if category in ("Cc", "Cn", "Co", "Cs"):
        return "", -3.0
    name = unicodedata.name(character, "").split(" ")[0]
    if name == "HANGUL":
        return "CJK", 1.0 if character in _HANGUL else 0.3 if _is_in("euc_kr", character) else -0.5
    if name in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"):
        return "CJK", 1.0 if encoding in _KANA_AT_HOME else 0.3
    if name == "HALFWIDTH":
        return "HALF", -0.5
    if name in ("FULLWIDTH", "IDEOGRAPHIC"):
        return "CJK", 0.3
    if name == "CJK":
        usual = _CJK.get(encoding)
        return "CJK", -0.2 if usual is None else 1.0 if character in usual else 0.1
    if name in _USUAL:
        return name, _judge_alphabet(character, before, after, *_USUAL[name])
    if name == "LATIN":
        return name, _judge_latin(character, before, after)
    if name in ("ARABIC", "HEBREW", "THAI"):
        is_odd = character in _HEBREW_FINAL and after.isalpha()
        is_odd |= category == "Mn" and unicodedata.category(before)[0] not in "LM"
        is_odd |= any(beside.isascii() and beside.isalpha() for beside in (before, after))
        return name, -1.0 if is_odd else 0.6
    return "", -0.6


def _judge_mark(character: str, left: str, right: str) -> float:
    """Punctuation and signs, between two characters each: usual only where such a mark stands."""
    before, after = left[-1:] or " ", right[:1] or " "
    if character in _OPENING:
        is_placed = not before.isalnum() and not after.isspace()
    elif character in "£€¥¢":
        is_placed = left.strip()[-1:].isdecimal() or right.strip()[:1].isdecimal()
    elif character in "°½¼¾":
        is_placed = left.strip()[-1:].isdecimal() and not after.isdecimal()
    elif character in "²³":
        is_placed = before.isalnum() and not after.isalnum()
    elif character in "–—":
        is_placed = before.isspace() == after.isspace() and not before.isalpha()
    else:
        is_placed = False
    if character in _CLOSING:
        is_placed |= not before.isspace() and not after.isalnum()
    if character == "’":
        is_placed |= before.isalpha() and after.isalpha()
    if is_placed:
        return WELL_PLACED
    if character in _SIGNS:
        return -0.6
    return -0.5 if before.isalpha() and after.isalpha() and character not in "·、。，・" else 0.4


def _judge_alphabet(
    character: str, before: str, after: str, most: frozenset[str], many: frozenset[str]
) -> float:
    if character == "ς" and after.isalpha():
        return -0.8
    if character.isupper():
        is_odd = before.isalpha() and before.islower()
        return -0.6 if is_odd else 0.5 if not before.isalpha() else 0.2
    beside = [near for near in (before, after) if near.isalpha()]
    if any(near.isascii() for near in beside):
        return -0.5
    if not beside:
        return 0.2  # a word of one letter is one in many alphabets
    return 1.0 if character in most else 0.7 if character in many else 0.3


def _judge_latin(character: str, before: str, after: str) -> float:
    if character.isupper() and before.isalpha() and before.islower():
        return -0.6
    crowded = (before.isalpha() and not before.isascii()) or (
        after.isalpha() and not after.isascii()
    )
    is_beside_letters = (before + after).strip().isalpha()
    base = 0.8 if character.lower() in _LATIN else 0.1
    return base - 0.5 * crowded - (0 if is_beside_letters else 0.2) - 0.2 * character.isupper()


def _is_in(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
        return True
    except UnicodeEncodeError:
        return False
