"""``seqbelt explain``: which steps of one input decided, as a table and a picture."""

import csv
import re
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from seqbelt.errors import BadInput, SeqbeltError, SettingsError
from seqbelt.evaluation import attribution
from seqbelt.features.text.text import TextFeatures
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.folder import Item
from seqbelt.inference.predictor import Predictor
from seqbelt.plots import attributed_text
from seqbelt.plots.attribution_figure import draw
from seqbelt.plots.attributions import Steps
from seqbelt.plots.fonts import to_png
from seqbelt.workflow.console import say
from seqbelt.workflow.inputs import list_items, parse_inputs
from seqbelt.workflow.models import load_folder

NUM_TOLD = 3
"""Steps for and against that are named on the screen; the table has all."""
DPI = 150


def explain(
    model: str,
    file: str | None,
    text: str | None,
    item_id: str | None,
    output: Path,
    settings: Sequence[str] = (),
) -> dict[str, Any]:
    """Answer one input, give each of its steps a share of the answer, write a table and a picture.

    Raises SettingsError where FILE, ``--text`` and ``--id`` do not name one input, SeqbeltError
    (file, reason) where that input has no answer. ``settings`` tell how a manifest is read.
    """
    if (file is None) == (text is None):
        raise SettingsError("name one input: a FILE, or a text with --text")
    if file is not None:
        paths, settings = parse_inputs([file, *settings])
        if len(paths) > 1:
            raise SettingsError(f"FILE {paths[1]}: one input is explained, and {file} is one")
    folder, concrete = load_folder(model)
    predictor = Predictor(Bundle.load(folder))
    bundle = predictor.bundle
    if bundle.network.labels_steps:
        raise SettingsError(
            f"{model}: labels every step, and 'explain' tells why a sequence has its one label; "
            "'seqbelt predict' gives the segments"
        )
    item = _find_item(bundle, file, text, item_id, settings)
    try:
        sequence = predictor.encode(item.source)
    except BadInput as error:
        raise SeqbeltError(f"{item.name}: {error}") from None
    tokens = _read_tokens(bundle, item) if isinstance(bundle.features, TextFeatures) else None
    steps, result = _explain(predictor, item.name, sequence, tokens)
    result = {"model": concrete, **result}
    say(steps.caption)
    if result["num_unread"]:
        num_read = result["num_steps"] - result["num_unread"]
        say(
            f"{num_read:,} of {result['num_steps']:,} steps were read "
            f"({num_read / result['num_steps']:.1%}; model.max_steps: {bundle.model.max_steps}, "
            f"crop: {bundle.model.crop})"
        )
    if result["completeness_gap"] > attribution.TOLERANCE:
        say(f"completeness gap {result['completeness_gap']:.1%}: take the shares as rough")
    target = output / _file_stem(item.name, item_id)
    try:
        output.mkdir(parents=True, exist_ok=True)
        if tokens is None:
            files = _write_signal(target, bundle, item, sequence, steps)
        else:
            files = _write_text(target, tokens, steps, result)
    except OSError as error:
        raise SeqbeltError(f"--output {output}: cannot be written ({error})") from None
    return {**result, "files": [str(path) for path in files]}


def _explain(
    predictor: Predictor, name: str, sequence: np.ndarray, tokens: "_Tokens | None"
) -> tuple[Steps, dict[str, Any]]:
    """What is drawn, and what is reported."""
    bundle = predictor.bundle
    found = attribution.explain(
        predictor.network, sequence, bundle.model.max_steps, bundle.model.crop
    )
    confidence = float(predictor.probabilities([sequence])[0, found.predicted])
    label = bundle.classes[found.predicted]
    steps = Steps(
        title=f"{label}  {confidence:.1%}  ·  {Path(name).name}",
        label=label,
        shares=found.shares if tokens is None else tokens.lengthen(found.shares),
        step_s=bundle.features.step_s(),
        caption=_caption(label, found, confidence),
    )
    return steps, {
        "label": label,
        "confidence": round(confidence, 6),
        "num_steps": len(steps.shares),
        "num_unread": int(np.isnan(steps.shares).sum()),
        "log_odds": round(found.log_odds, 6),
        "baseline_log_odds": round(found.baseline_log_odds, 6),
        "method": attribution.METHOD,
        "num_points": found.num_points,
        "completeness_gap": found.gap,
    }


def _caption(label: str, found: attribution.Explanation, confidence: float) -> str:
    """What the shares add up to. A model may lean to a class before it has read anything."""
    shares = np.nan_to_num(found.shares)
    return (
        f"{shares[shares > 0].sum():+.2f} nats of log-odds for and {shares[shares < 0].sum():+.2f} "
        f"against move “{label}” from {expit(found.baseline_log_odds):.1%}, for an input that says "
        f"nothing, to {confidence:.1%}."
    )


def _find_item(
    bundle: Bundle,
    file: str | None,
    text: str | None,
    item_id: str | None,
    settings: Sequence[str],
) -> Item:
    """The one input that the arguments name."""
    if text is not None:
        if not bundle.features.reads_text:
            raise SettingsError("--text: this model reads files, not texts; name a FILE")
        return Item("text", text)
    assert file is not None
    _, items = list_items([Path(file)], bundle.features, settings)
    if item_id is not None:
        for item in items:
            if item.name == item_id:
                return item
        raise SettingsError(f"--id {item_id}: {file} has no item of this name")
    first = list(islice(items, 2))
    if len(first) != 1:
        example = f", one of {first[0].name!r}, {first[1].name!r}, …" if first else ""
        raise SettingsError(f"FILE {file}: not one input; name the item with --id{example}")
    return first[0]


def _file_stem(name: str, item_id: str | None) -> str:
    stem = Path(name).stem if item_id is None else name
    return re.sub(r"[^\w.-]+", "_", stem)[:100]


def _write_signal(
    target: Path, bundle: Bundle, item: Item, sequence: np.ndarray, steps: Steps
) -> list[Path]:
    table = target.with_name(target.name + ".csv")
    picture = target.with_name(target.name + ".png")
    _write_table(table, steps)
    picture.write_bytes(to_png(draw(bundle, item.source, sequence, steps), DPI))
    unit = " s" if steps.step_s else ""
    _tell(steps, [f"{time:g}{unit}" for time in steps.times.round(4)])
    return [table, picture]


class _Tokens(NamedTuple):
    """A text and where its tokens are, also those that were cut."""

    text: str
    offsets: list[tuple[int, int]]
    is_unknown: np.ndarray

    def lengthen(self, shares: np.ndarray) -> np.ndarray:
        """``shares`` of the tokens that the model was given, NaN for those that were cut."""
        return np.append(shares, np.full(len(self.offsets) - len(shares), np.nan))


def _read_tokens(bundle: Bundle, item: Item) -> _Tokens:
    features = bundle.features
    assert isinstance(features, TextFeatures)
    text = features.read(item.source)
    # Without the limit, so that what was cut is shown too, as not read.
    whole = features.model_copy(update={"max_length": sys.maxsize}).encoder(bundle.learned)
    (ids,) = whole.encode([text])
    return _Tokens(text, whole.offsets(text), ids == whole.unknown_id)


def _write_text(target: Path, tokens: _Tokens, steps: Steps, result: dict[str, Any]) -> list[Path]:
    text, offsets, is_unknown = tokens
    spans = attributed_text.spans(text, offsets, steps.shares, is_unknown)
    notes = [f"{name.replace('_', ' ')}: {value}" for name, value in result.items()]
    page = attributed_text.text_page(steps, spans, notes)
    table, html = (target.with_name(target.name + end) for end in (".csv", ".html"))
    pieces = [text[start:end] for start, end in offsets]
    _write_table(table, steps, pieces)
    html.write_text(page, encoding="utf-8")
    _tell(steps, [repr(piece) for piece in pieces])
    return [table, html]


def _write_table(path: Path, steps: Steps, tokens: Sequence[str] | None = None) -> None:
    """One row a step; a step that was not read has no share."""
    columns = {
        "step": range(len(steps.shares)),
        "start_s": steps.times.round(6).tolist() if steps.step_s else None,
        "token": tokens,
        "share": ["" if np.isnan(share) else f"{share:.6g}" for share in steps.shares],
    }
    present = {name: values for name, values in columns.items() if values is not None}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(present)
        writer.writerows(zip(*present.values(), strict=True))


def _tell(steps: Steps, names: Sequence[str]) -> None:
    """The strongest steps, in words."""
    shares = np.nan_to_num(steps.shares)
    order = np.argsort(shares, kind="stable")
    for words, strongest in (("for", order[::-1][:NUM_TOLD]), ("against", order[:NUM_TOLD])):
        sign = 1 if words == "for" else -1
        told = [f"{names[i]} ({shares[i]:+.2f})" for i in strongest if sign * shares[i] > 0]
        if told:
            say(f"{words} {steps.label}: {', '.join(told)}")
