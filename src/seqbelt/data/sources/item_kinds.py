"""Which kind of data some files are, with the feature settings that read them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from seqbelt.data.sources.folders import without_label_tracks
from seqbelt.data.sources.names import shorten
from seqbelt.errors import NOT_FINITE, WRONG_TYPE, BadInput, SettingsError
from seqbelt.features.arrays.array import IGNORED
from seqbelt.features.arrays.array_encoder import Steps
from seqbelt.features.arrays.channels import Channels
from seqbelt.words import count_of

T = TypeVar("T")

_ENDINGS = {
    "audio": "wav flac mp3 ogg oga opus m4a aac aiff aif wma amr au",
    "video": "mp4 avi mov mkv webm mpg mpeg wmv m4v flv gif",
    "text": "md html htm xml rst",
    "arrays": "npy npz mat h5 hdf5 pt pth",
    "tables": "csv tsv parquet xlsx xlsm xlsb xls ods dat",
    "images": "jpg jpeg png bmp tif tiff webp",
}
KIND_OF_ENDING = {f".{end}": kind for kind, ends in _ENDINGS.items() for end in ends.split()}
NUM_LOOKED_INTO = 200
"""Files whose header is read for rates and lengths: enough to see the usual ones."""
NUM_READ = 8
"""Tables and arrays that are read whole to see how they are written."""
CHANNELS = Channels(kind="channels", ignore=())
FEW_TEXTS = 1000
"""Fewer texts are too few to learn pieces of words from."""


class Look(NamedTuple):
    """What files of one kind have in common."""

    kind: str
    """``audio``, ``video``, ``text``, ``tables`` or ``arrays``."""
    settings: dict[str, Any]
    """The ``features`` section."""
    reasons: dict[str, str]
    """Why each setting of the section is as it is."""
    lengths: str
    """How long the items are, in words."""
    warnings: tuple[str, ...] = ()


def look_into_files(folder: Path, paths: Sequence[str]) -> Look:
    """The feature settings for files, with sample rates and lengths of some of them.

    Raises SettingsError for files of several kinds, and of none.
    """
    read: dict[Path, Steps] = {}
    kind = _kind_of_files(folder, paths, read)
    files = [folder / path for path in paths]
    some = _spread(files, NUM_LOOKED_INTO)
    if kind == "audio":
        return _look_into_audio(some, len(files))
    if kind == "video":
        settings = {"kind": "frame_differences"}
        why = {"kind": "videos; frames adds what stands still to what moves"}
        seconds = [length for path in some if (length := _media_length(path)[1])]
        return Look(kind, settings, why, _describe("s", seconds, len(files)))
    if kind == "text":
        return look_into_texts([_text_of(path) for path in some], len(files))
    return _look_into_arrays(kind, _spread(files, NUM_READ), len(files), read)


def _kind_of_files(folder: Path, paths: Sequence[str], read: dict[Path, Steps]) -> str:
    """The one kind that files are of; files of no kind (a README without ending, say) are left out.

    Text files are tables where most of them can be read so: what was read is added to ``read``.
    """
    counts: dict[str, list[str]] = {}
    for path in paths:
        ending = Path(path).suffix.lower()
        kind = KIND_OF_ENDING.get(ending, "")
        if ending in (".txt", ".asc"):
            kind = "txt"
        if kind:
            counts.setdefault(kind, []).append(path)
    if texts := counts.pop("txt", None):
        are_tables = [_is_number_table(folder / path, read) for path in _spread(texts, NUM_READ)]
        kind = "tables" if sum(are_tables) > len(are_tables) / 2 else "text"
        counts.setdefault(kind, []).extend(texts)
    if not counts:
        endings = Counter(Path(path).suffix or "(none)" for path in paths)
        raise SettingsError(
            f"{folder}: no file of a kind that can be read; the endings are "
            f"{shorten(f'{end} {count:,}' for end, count in endings.most_common())}; expected "
            "audio, video, text, tables of channels (.csv, .xlsx) or arrays (.npy, .mat, .h5)"
        )
    if len(counts) > 1:
        listed = "; ".join(
            f"{kind} {len(some):,} (such as {some[0]})" for kind, some in sorted(counts.items())
        )
        raise SettingsError(
            f"{folder}: files of several kinds: {listed}. One model reads one kind: move the "
            "others away, or write a manifest (.csv) with the columns path and label that names "
            f"the files to take{_hint_at_labels(paths)}"
        )
    (kind,) = counts
    if kind == "images":
        raise SettingsError(
            f"{folder}: still images ({shorten(counts[kind], 1)}) are not sequences; expected "
            "videos, or arrays of shape (steps, features) made from the images"
        )
    return kind


def _hint_at_labels(paths: Sequence[str]) -> str:
    if len(without_label_tracks(paths)) == len(paths):
        return ""
    return ". If the .txt files are Audacity's labels of the others, add data.labels=per_step"


def _is_number_table(path: Path, read: dict[Path, Steps]) -> bool:
    try:
        read[path] = CHANNELS.read(path)
    except BadInput:
        return False
    return True


def _spread(items: Sequence[T], count: int) -> Sequence[T]:
    """At most ``count`` of the items, evenly over all: neighbours are often of one class."""
    return items[:: max(1, -(-len(items) // count))]


def look_into_texts(texts: Sequence[str], num_texts: int) -> Look:
    """The feature settings for texts."""
    letters = Counter(
        "hangul" if "\uac00" <= character <= "\ud7a3" else "other"
        for text in texts[:NUM_LOOKED_INTO]
        for character in text
        if character.isalpha()
    )
    is_korean = letters["hangul"] > letters["other"]
    if num_texts >= FEW_TEXTS and is_korean and find_spec("kiwipiepy") is not None:
        kind, why = "morpheme", "mostly Hangul: stems and endings, whatever the spacing"
    elif num_texts >= FEW_TEXTS:
        kind, why = "subword", f"{num_texts:,} texts are enough to learn pieces of words from"
        if is_korean:
            why += "; mostly Hangul: pip install 'seqbelt[korean]' for kind morpheme"
    elif is_korean:
        kind, why = "jamo", f"mostly Hangul, and {num_texts:,} texts are few for subword"
    else:
        kind, why = "character", f"{num_texts:,} texts are few for subword"
    return Look(
        "text",
        {"kind": kind},
        {"kind": why},
        _describe("characters", [len(text) for text in texts], num_texts),
    )


def _look_into_audio(files: Sequence[Path], num_files: int) -> Look:
    looked = {path: _media_length(path) for path in files}
    rates = Counter(rate for rate, _ in looked.values() if rate)
    if not rates:
        raise SettingsError(
            f"{files[0]}: neither this nor any other of {len(files):,} files can be read as audio; "
            "expected .wav, .flac, .mp3, .ogg, .m4a"
        )
    rate = rates.most_common(1)[0][0]
    shares = ", ".join(
        f"{frequency:,} Hz in {count:,}" for frequency, count in rates.most_common(5)
    )
    warnings = []
    if len(rates) > 1:
        warnings.append(f"several sample rates ({shares}): all are resampled to {rate:,} Hz")
    if broken := [path.name for path, (rate_found, _) in looked.items() if not rate_found]:
        warnings.append(
            f"{len(broken):,} of {len(files):,} files that were looked into cannot be read as "
            f"audio ({shorten(broken, 3)}); prepare puts them into quarantine.csv"
        )
    return Look(
        "audio",
        {"kind": "log_mel", "sample_rate": rate},
        {
            "kind": "audio files",
            "sample_rate": f"the most frequent of {len(files):,} files looked into: {shares}",
        },
        _describe("s", [length for _, length in looked.values() if length], num_files),
        tuple(warnings),
    )


def _media_length(path: Path) -> tuple[int, float]:
    """Sample rate in Hz, 0 for videos, and length in seconds; zeros for what cannot be read."""
    import av
    import soundfile
    from av.error import FFmpegError

    try:
        with path.open("rb") as content, soundfile.SoundFile(content) as file:
            return file.samplerate, file.frames / file.samplerate
    except (soundfile.LibsndfileError, OSError):
        pass
    try:
        with av.open(str(path)) as container:
            sounds = container.streams.audio
            rate = sounds[0].rate if sounds and not container.streams.video else 0
            return rate or 0, (container.duration or 0) / av.time_base
    except (FFmpegError, OSError, ValueError):
        return 0, 0.0


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _look_into_arrays(
    kind: str, files: Sequence[Path], num_files: int, read_before: Mapping[Path, Steps]
) -> Look:
    settings: dict[str, Any] = {"kind": "channels"}
    why = {
        "kind": "tables of numbers, a row per step"
        if kind == "tables"
        else "arrays of numbers; vectors takes them as they are, such as ready embeddings"
    }
    read, faults = _read_arrays(CHANNELS, files, read_before)
    has_ignored = _leave_out_words(read, settings, why)
    _fill_missing(faults, settings, why)
    if has_ignored or len(settings) > 1:
        read, faults = _read_arrays(Channels(**settings), files)
    problems = [f"{path}: {fault}" for path, fault in faults]
    if not read:
        raise SettingsError(
            f"no numbers can be read from {count_of(len(files), 'file')} that were looked into. "
            f"{problems[0]}"
        )
    if rate := _rate_of(list(read.values())):
        settings["source_rate_hz"] = rate
        why["source_rate_hz"] = f"the spacing of the column of times in {len(read)} files"
    warnings = [*problems]
    if notes := sorted({note for array in read.values() for note in array.notes}):
        why["kind"] += "; read so: " + "; ".join(notes)
    if asides := sorted({aside.why for array in read.values() for aside in array.asides}):
        why["kind"] += "; " + "; ".join(asides)
    names = {array.names for array in read.values()}
    if len(names) > 1:
        warnings.append("the tables have different columns; features.channels names those to read")
    elif (channels := next(iter(names))) is not None:
        why["kind"] += "; channels: " + shorten(channels, 12)
    return Look(
        kind,
        settings,
        why,
        _describe("steps", [len(array.values) for array in read.values()], num_files),
        tuple(warnings),
    )


def _read_arrays(
    features: Channels, files: Sequence[Path], read_before: Mapping[Path, Steps] = {}
) -> tuple[dict[Path, Steps], list[tuple[Path, BadInput]]]:
    """What can be read of the files, and why others, or channels of theirs, cannot."""
    read: dict[Path, Steps] = {}
    faults: list[tuple[Path, BadInput]] = []
    for path in files:
        try:
            read[path] = read_before.get(path) or features.read(path)
            faults += [(path, fault) for fault in read[path].problems.values()]
        except BadInput as fault:
            faults.append((path, fault))
    return read, faults


def _leave_out_words(
    read: Mapping[Path, Steps], settings: dict[str, Any], why: dict[str, str]
) -> bool:
    """Ignore the columns that hold words, beside those that are ignored by default; whether there
    are any of either."""
    words = {
        name: _without_hint(path, fault)
        for path, array in read.items()
        for name, fault in array.problems.items()
        if fault.reason == WRONG_TYPE and name not in IGNORED
    }
    if words:
        settings["ignore"] = (*IGNORED, *words)
        why["ignore"] = f"words are no channel; {next(iter(words.values()))}"
    named = {name for array in read.values() for name in array.names or ()}
    labels = named.intersection(IGNORED)
    for name in labels:
        why["kind"] += f"; column '{name}' is ignored, as its name says a label"
    return bool(words or labels)


def _without_hint(path: Path, fault: BadInput) -> str:
    """A fault without the settings that its message names: one of them is the answer to it."""
    return f"{path}: {fault}".partition("; features.")[0]


def _fill_missing(
    faults: Iterable[tuple[Path, BadInput]], settings: dict[str, Any], why: dict[str, str]
) -> None:
    """Interpolate missing values where there are some."""
    missing = [_without_hint(*fault) for fault in faults if fault[1].reason == NOT_FINITE]
    if missing:
        settings["missing"] = "interpolate"
        why["missing"] = f"values are missing; {missing[0]}"


def _rate_of(read: Sequence[Steps]) -> float | None:
    """Steps per second, in Hz, where times in a known unit are evenly spaced in all files."""
    rates = [_rates_of_one(array) for array in read]
    found = [rate for of_one in rates for rate in of_one]
    if not all(rates) or max(found) > 1.01 * min(found):
        return None
    return float(f"{np.median(found):.4g}")


def _rates_of_one(array: Steps) -> list[float]:
    """The rate by each of its columns of times."""
    rates = []
    for aside in array.asides:
        spacing = np.diff([] if aside.seconds is None else aside.seconds)
        usual = float(np.median(spacing)) if len(spacing) else 0.0
        if usual > 0 and np.allclose(spacing, usual, rtol=0.1, atol=0):
            # Of times rounded to 0.062, 0.063, 0.062 only the mean is right.
            rates.append(1 / float(spacing.mean()))
    return rates


def _describe(unit: str, lengths: Iterable[float], num_items: int) -> str:
    lengths = sorted(lengths)
    if not lengths:
        return "unknown"
    middle = lengths[len(lengths) // 2]
    least, median, most = (
        f"{length:,.0f}" if length >= 1000 else f"{length:.4g}"
        for length in (lengths[0], middle, lengths[-1])
    )
    described = f"{least} to {most} {unit}, median {median}"
    if least == most:
        described = f"{median} {unit} each"
    total = ""
    if unit == "s":
        total = f", about {sum(lengths) / len(lengths) * num_items:,.0f} s in all"
    return (
        described + total + (f" ({len(lengths):,} looked into)" if len(lengths) < num_items else "")
    )


def find_duplicates(
    names: Sequence[str], hashes: Sequence[str], labels: Sequence[str]
) -> list[str]:
    """Sentences about items with the same content: how many, and which have different labels; an
    item without a label has none that could differ."""
    by_hash: dict[str, list[int]] = {}
    for row, key in enumerate(hashes):
        if key:
            by_hash.setdefault(key, []).append(row)
    duplicates = [rows for rows in by_hash.values() if len(rows) > 1]
    labelled = ([row for row in rows if labels[row]] for rows in duplicates)
    conflicting = [rows for rows in labelled if len({labels[row] for row in rows}) > 1]
    findings = []
    for some, what in ((duplicates, ""), (conflicting, " and different labels")):
        if some:
            shown = " = ".join(f"{names[row]} ({labels[row]})" for row in some[0][:3])
            findings.append(
                f"{sum(map(len, some)):,} items have the same content as another{what}, "
                f"such as {shown}"
            )
    return findings


def find_rare(counts: Mapping[str, int]) -> list[str]:
    """A sentence about classes with too few items to train on and to test."""
    once = [name for name, count in counts.items() if count == 1]
    if not once:
        return []
    return [
        f"classes with one item, which cannot be both learned and tested: {shorten(once, 10)}; "
        "add items, or remove the class"
    ]
