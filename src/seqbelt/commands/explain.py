"""``seqbelt explain``: attributions of one prediction to its steps, as a table and a figure."""

import csv
import re
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from seqbelt.data.sources.names import shorten
from seqbelt.errors import BadInput, SeqbeltError, SettingsError
from seqbelt.evaluation import attribution
from seqbelt.features.text.text import TextFeatures
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.folder import Item
from seqbelt.inference.predictor import Predictor
from seqbelt.plots import attributed_text
from seqbelt.plots.attribution_figure import draw
from seqbelt.plots.attributions import AttributedSteps
from seqbelt.plots.fonts import to_png
from seqbelt.workflow.console import echo
from seqbelt.workflow.inputs import list_items, parse_inputs
from seqbelt.workflow.models import load_folder
from seqbelt.workflow.outcome import Outcome

NUM_STRONGEST = 3
"""Steps for and against that are printed; the table has all."""
DPI = 150
AT_CHANCE = (
    "no more accurate than the most frequent class on its test rows, so its attributions are no "
    "reasons"
)


def explain(
    model: str,
    file: str | None,
    text: str | None,
    item_id: str | None,
    output: Path,
    settings: Sequence[str] = (),
    label: str | None = None,
) -> Outcome:
    """Predict one input, attribute the prediction to its steps, write a table and a figure.

    Raises SettingsError where FILE, ``--text`` and ``--id`` do not name one input, SeqbeltError
    (file, reason) if it cannot be predicted. ``settings`` are those of the manifest; ``label`` is
    explained instead of the predicted class.
    """
    if (file is None) == (text is None):
        raise SettingsError("give one input: either FILE or --text")
    if file is not None:
        paths, settings = parse_inputs([file, *settings])
        if len(paths) > 1:
            raise SettingsError(
                f"FILE {paths[1]}: only one input can be explained, and {file} is already given"
            )
    folder, concrete = load_folder(model)
    predictor = Predictor(Bundle.load(folder))
    bundle = predictor.bundle
    bundle.refuse_several_inputs("seqbelt explain")
    if bundle.network.labels_steps:
        raise SettingsError(
            f"{model}: 'explain' needs a model with one label per sequence, this one labels every "
            "step; 'seqbelt predict' gives the segments"
        )
    item = _find_item(bundle, file, text, item_id, settings)
    try:
        sequence = predictor.encode(item.source)
    except BadInput as error:
        raise SeqbeltError(f"{item.name}: {error}") from None
    tokens = _read_tokens(bundle, item) if isinstance(bundle.features, TextFeatures) else None
    if label is not None and label not in bundle.classes:
        raise SettingsError(
            f"--label {label}: the model has no such label; it has {shorten(bundle.classes, 20)}"
        )
    steps, result = _explain(predictor, item.name, sequence, tokens, label)
    if result["above_chance"] is False:
        echo(f"{model}: {AT_CHANCE}")
    result = {"model": concrete, **result}
    echo(steps.caption)
    if result["num_unread"]:
        num_read = result["num_steps"] - result["num_unread"]
        echo(
            f"{num_read:,} of {result['num_steps']:,} steps were read "
            f"({num_read / result['num_steps']:.1%}; {bundle.model.cropping})"
        )
    target = output / _file_stem(item.name, item_id)
    try:
        output.mkdir(parents=True, exist_ok=True)
        if tokens is None:
            files, names = _write_signal(target, bundle, item, sequence, steps)
        else:
            files, names = _write_text(target, tokens, steps, result)
    except OSError as error:
        raise SeqbeltError(f"--output {output}: cannot be written ({error})") from None
    if result["above_chance"] is not False:
        _print_strongest(steps, names)
    return Outcome({**result, "files": [str(path) for path in files]})


def _explain(
    predictor: Predictor,
    name: str,
    sequence: np.ndarray,
    tokens: "_Tokens | None",
    asked: str | None,
) -> tuple[AttributedSteps, dict[str, Any]]:
    """The steps for the figure, and the result: of the ``asked`` label, the predicted class, or the
    likeliest of several labels."""
    bundle = predictor.bundle
    probabilities = predictor.probabilities([sequence])[0]
    if asked is not None:
        predicted = bundle.classes.index(asked)
    elif bundle.target.is_several:
        predicted = int(probabilities.argmax())
    else:
        predicted = int(bundle.target.decide(probabilities))
    explanation = attribution.explain(
        predictor.network, sequence, bundle.model.cropping, predicted, bundle.target.is_several
    )
    confidence = float(probabilities[predicted])
    label = bundle.classes[explanation.predicted]
    above_chance: bool | None = bundle.about.get("above_chance")  # unknown of older bundles
    steps = AttributedSteps(
        title=f"{label}  {confidence:.1%}  ·  {Path(name).name}",
        label=label,
        attributions=explanation.attributions
        if tokens is None
        else tokens.pad(explanation.attributions),
        step_s=bundle.features.step_s(),
        caption=_caption(label, explanation, confidence, above_chance),
        gap=explanation.gap if explanation.is_rough else None,
    )
    return steps, {
        "label": label,
        "confidence": round(confidence, 6),
        "num_steps": len(steps.attributions),
        "num_unread": int(np.isnan(steps.attributions).sum()),
        "log_odds": round(explanation.log_odds, 6),
        "baseline_log_odds": round(explanation.baseline_log_odds, 6),
        "method": attribution.METHOD,
        "num_points": explanation.num_points,
        "completeness_gap": explanation.gap,
        "above_chance": above_chance,
    }


def _caption(
    label: str,
    explanation: attribution.Explanation,
    confidence: float,
    above_chance: bool | None,
) -> str:
    """The sums of the attributions, and the probabilities before calibration that they start from
    and lead to; first, where it is so, that they are rough."""
    attributions = np.nan_to_num(explanation.attributions)
    gain, loss = attributions.clip(min=0).sum(), attributions.clip(max=0).sum()
    start, end = (expit(v) for v in (explanation.baseline_log_odds, explanation.log_odds))
    warning = "" if above_chance is not False else f"This model is {AT_CHANCE}. "
    if explanation.is_rough:
        warning += (
            f"Rough: the attributions miss {explanation.gap:.1%} of the change of the log-odds. "
        )
    calibrated = (
        f" Before calibration; the calibrated confidence is {confidence:.1%}."
        if abs(end - confidence) > 5e-4
        else ""
    )
    return (
        f"{warning}{gain:+.2f} nats of log-odds for and {loss:+.2f} against raise or lower "
        f"“{label}” "
        f"from {start:.1%} at the baseline to {end:.1%}.{calibrated}"
    )


def _find_item(
    bundle: Bundle,
    file: str | None,
    text: str | None,
    item_id: str | None,
    settings: Sequence[str],
) -> Item:
    """The input given by the arguments."""
    if text is not None:
        if not bundle.features.reads_text:
            raise SettingsError("--text: this model reads files, not texts; give a FILE")
        return Item("text", text)
    assert file is not None
    reading = bundle.about.get("reading")
    items = list_items([Path(file)], bundle.features, settings, reading=reading).items
    if item_id is not None:
        for item in items:
            if item.name == item_id:
                return item
        raise SettingsError(f"--id {item_id}: {file} has no such item")
    first = list(islice(items, 2))
    if len(first) != 1:
        example = f", one of {first[0].name!r}, {first[1].name!r}, …" if first else ""
        contents = "several inputs" if first else "no input"
        raise SettingsError(f"FILE {file}: has {contents}; choose one with --id{example}")
    return first[0]


def _file_stem(name: str, item_id: str | None) -> str:
    stem = Path(name).stem if item_id is None else name
    return re.sub(r"[^\w.-]+", "_", stem)[:100]


def _write_signal(
    target: Path, bundle: Bundle, item: Item, sequence: np.ndarray, steps: AttributedSteps
) -> tuple[list[Path], list[str]]:
    """Write the table and the figure; returns their paths and a name for each step."""
    table = target.with_name(target.name + ".csv")
    figure = target.with_name(target.name + ".png")
    _write_table(table, steps)
    figure.write_bytes(to_png(draw(bundle, item.source, sequence, steps), DPI))
    unit = " s" if steps.step_s else ""
    return [table, figure], [f"{time:g}{unit}" for time in steps.times.round(4)]


class _Tokens(NamedTuple):
    """A text and the offsets of its tokens, truncated ones included."""

    text: str
    offsets: list[tuple[int, int]]
    is_unknown: np.ndarray

    def pad(self, attributions: np.ndarray) -> np.ndarray:
        """``attributions`` padded with NaN for the truncated tokens."""
        return np.append(attributions, np.full(len(self.offsets) - len(attributions), np.nan))


def _read_tokens(bundle: Bundle, item: Item) -> _Tokens:
    features = bundle.features
    assert isinstance(features, TextFeatures)
    text = features.read(item.source)
    # Without the limit, so that truncated tokens are shown too, as not read.
    encoder = features.replace(max_length=sys.maxsize).encoder(bundle.learned)
    (ids,) = encoder.encode([text])
    return _Tokens(text, encoder.offsets(text), ids == encoder.unknown_id)


def _write_text(
    target: Path, tokens: _Tokens, steps: AttributedSteps, result: dict[str, Any]
) -> tuple[list[Path], list[str]]:
    """Write the table and the page; returns their paths and a name for each step."""
    text, offsets, is_unknown = tokens
    spans = attributed_text.spans(text, offsets, steps.attributions, is_unknown)
    notes = [f"{name.replace('_', ' ')}: {value}" for name, value in result.items()]
    page = attributed_text.text_page(steps, spans, notes)
    table, html = (target.with_name(target.name + end) for end in (".csv", ".html"))
    pieces = [text[start:end] for start, end in offsets]
    _write_table(table, steps, pieces)
    html.write_text(page, encoding="utf-8")
    return [table, html], [repr(piece) for piece in pieces]


def _write_table(path: Path, steps: AttributedSteps, tokens: Sequence[str] | None = None) -> None:
    """One row for each step; the share is empty for a step that was not read. Rough shares have
    the completeness gap beside them."""
    columns = {
        "step": range(len(steps.attributions)),
        "start_s": steps.times.round(6).tolist() if steps.step_s else None,
        "token": tokens,
        "share": ["" if np.isnan(share) else f"{share:.6g}" for share in steps.attributions],
        "rough_gap": None if steps.gap is None else [f"{steps.gap:.3g}"] * len(steps.attributions),
    }
    present = {name: values for name, values in columns.items() if values is not None}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(present)
        writer.writerows(zip(*present.values(), strict=True))


def _print_strongest(steps: AttributedSteps, names: Sequence[str]) -> None:
    """Print the strongest steps."""
    attributions = np.nan_to_num(steps.attributions)
    order = np.argsort(attributions, kind="stable")
    for direction, strongest in (
        ("for", order[::-1][:NUM_STRONGEST]),
        ("against", order[:NUM_STRONGEST]),
    ):
        sign = 1 if direction == "for" else -1
        listed = [
            f"{names[i]} ({attributions[i]:+.2f})" for i in strongest if sign * attributions[i] > 0
        ]
        if listed:
            echo(f"{direction} {steps.label}: {', '.join(listed)}")
