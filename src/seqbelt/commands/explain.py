"""``seqbelt explain``: attributions of one prediction to its steps, as a table and a figure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from seqbelt.cropping import Cropping
from seqbelt.data.sources.names import shorten
from seqbelt.errors import BadInput, SeqbeltError, SettingsError
from seqbelt.evaluation import attribution
from seqbelt.features.base import JoinedSource
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.folder import Item
from seqbelt.inference.predictor import Predictor
from seqbelt.plots import attributed_text
from seqbelt.plots.attribution_figure import panel
from seqbelt.plots.attributions import AttributedSteps, Panel, draw_panels
from seqbelt.plots.fonts import to_png
from seqbelt.plots.joined_attributions import Bar, bars_panel, text_panel
from seqbelt.words import percent
from seqbelt.workflow.console import echo
from seqbelt.workflow.explained_inputs import (
    ExplainedInput,
    ExplainedItem,
    Tokens,
    divide_item,
    write_table,
)
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
    """Predict one item, attribute the prediction to its steps, write a table and a figure.

    Raises SettingsError where FILE, ``--text`` and ``--id`` do not name one item, SeqbeltError
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
    if bundle.model.labels_steps:
        raise SettingsError(
            f"{model}: 'explain' needs a model with one label per sequence, this one labels every "
            "step; 'seqbelt predict' gives the segments"
        )
    item = _find_item(bundle, file, text, item_id, settings)
    try:
        encoded = predictor.encode(item.source)
    except BadInput as error:
        raise SeqbeltError(f"{item.name}: {error}") from None
    if label is not None and label not in bundle.classes:
        raise SettingsError(
            f"--label {label}: the model has no such label; it has {shorten(bundle.classes, 20)}"
        )
    explanation, confidence = _explain(predictor, encoded, label)
    explained = divide_item(bundle, item.source, encoded, explanation.attributions)
    result = _describe(bundle, explanation, confidence, explained)
    if result["above_chance"] is False:
        echo(f"{model}: {AT_CHANCE}")
    steps = AttributedSteps(
        title=f"{result['label']}  {percent(confidence)}  ·  {Path(item.name).name}",
        label=result["label"],
        attributions=explained.attributions,
        step_s=bundle.features.step_s(),
        caption=_caption(explanation, confidence, explained, result),
        gap=explanation.gap if explanation.is_rough else None,
    )
    echo(steps.caption)
    _echo_unread(result, bundle.model.cropping)
    target = output / _file_stem(item.name, item_id)
    result = {"model": concrete, **result}
    try:
        output.mkdir(parents=True, exist_ok=True)
        files = _write(target, explained, steps, result)
    except OSError as error:
        raise SeqbeltError(f"--output {output}: cannot be written ({error})") from None
    if result["above_chance"] is not False:
        if explained.is_joined:
            _print_totals(explained)
        _print_strongest(steps.label, _named_attributions(explained))
    return Outcome(
        {**result, "files": [str(path) for path in files]},
        only_json=("completeness_gap", "above_chance"),  # where bad, said in words
    )


def _echo_unread(result: Mapping[str, Any], cropping: Cropping) -> None:
    """Print which fraction of the steps the model reads, if not all."""
    if result["num_unread"]:
        num_read = result["num_steps"] - result["num_unread"]
        why = "features.truncate_tokens" if cropping.max_steps is None else str(cropping)
        echo(
            f"{num_read:,} of {result['num_steps']:,} steps were read "
            f"({percent(num_read / result['num_steps'])}; {why})"
        )


def _explain(
    predictor: Predictor, encoded: np.ndarray, asked: str | None
) -> tuple[attribution.Explanation, float]:
    """The explanation of the ``asked`` label, the predicted class, or the likeliest of several
    labels; and its calibrated probability."""
    bundle = predictor.bundle
    probabilities = predictor.probabilities([encoded])[0]
    if asked is not None:
        predicted = bundle.classes.index(asked)
    elif bundle.target.is_several:
        predicted = int(probabilities.argmax())
    else:
        predicted = int(bundle.target.decide(probabilities))
    explanation = attribution.explain(
        predictor.network, encoded, bundle.model.cropping, predicted, bundle.target.is_several
    )
    return explanation, float(probabilities[predicted])


def _describe(
    bundle: Bundle,
    explanation: attribution.Explanation,
    confidence: float,
    explained: ExplainedItem,
) -> dict[str, Any]:
    """The result of the command."""
    return {
        "label": bundle.classes[explanation.predicted],
        "confidence": round(confidence, 6),
        "num_steps": explained.num_steps,
        "num_unread": explained.num_unread,
        **explained.facts(),
        "log_odds": round(explanation.log_odds, 6),
        "baseline_log_odds": round(explanation.baseline_log_odds, 6),
        "method": attribution.METHOD,
        "num_points": explanation.num_points,
        "completeness_gap": explanation.gap,
        "above_chance": bundle.about.get("above_chance"),  # unknown of older bundles
    }


def _caption(
    explanation: attribution.Explanation,
    confidence: float,
    explained: ExplainedItem,
    result: dict[str, Any],
) -> str:
    """The sums of the attributions, and the probabilities before calibration that they start from
    and lead to; first, where it is so, that they are rough; last, which inputs are missing."""
    attributions = np.nan_to_num(explanation.attributions)
    gain, loss = attributions.clip(min=0).sum(), attributions.clip(max=0).sum()
    start, end = (expit(v) for v in (explanation.baseline_log_odds, explanation.log_odds))
    warning = "" if result["above_chance"] is not False else f"This model is {AT_CHANCE}. "
    if explanation.is_rough:
        warning += (
            f"Rough: the attributions miss {percent(explanation.gap)} of the change of the "
            "log-odds. "
        )
    calibrated = (
        f" Before calibration; the calibrated confidence is {percent(confidence)}."
        if abs(end - confidence) > 5e-4
        else ""
    )
    missing = (
        f"\nMissing, at the baseline too, and so without attributions: "
        f"{', '.join(explained.missing)}."
        if explained.missing
        else ""
    )
    return (
        f"{warning}“{result['label']}”: from {percent(start)} at the baseline to {percent(end)}; "
        f"steps for it add {gain:.2f} nats of log-odds, steps against it take {-loss:.2f}."
        f"{calibrated}{missing}"
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
        if bundle.layout is not None:
            raise SettingsError(
                "--text: this model has several inputs or columns; give a manifest, and --id"
            )
        if not bundle.features.reads_text:
            raise SettingsError("--text: this model reads files, not texts; give a FILE")
        return Item("text", text)
    assert file is not None
    reading = bundle.about.get("reading")
    items = list_items([Path(file)], bundle.features, settings, reading=reading).items
    if item_id is not None:
        return _choose_item(items, file, item_id)
    first = list(islice(items, 2))
    if len(first) != 1:
        example = f", one of {first[0].name!r}, {first[1].name!r}, …" if first else ""
        contents = "several inputs" if first else "no input"
        raise SettingsError(f"FILE {file}: has {contents}; choose one with --id{example}")
    return first[0]


def _choose_item(items: Iterable[Item], file: str, item_id: str) -> Item:
    """The item with the name ``item_id``, or of the row of a manifest that it names (``row 3``)."""
    found: dict[str, Item] = {}
    for row, item in enumerate(items, start=1):
        name = f"row {row}"
        if item_id in (item.name, name):
            found[name] = item
            if not isinstance(item.source, JoinedSource):  # equal names are the same file
                return item
    if not found:
        raise SettingsError(f"--id {item_id}: {file} has no such item")
    if len(found) > 1 and item_id not in found:
        raise SettingsError(
            f"--id {item_id}: {file} has {len(found)} items with this name; choose one by its row: "
            f"--id {shorten(found)}"
        )
    return found.get(item_id, next(iter(found.values())))


def _file_stem(name: str, item_id: str | None) -> str:
    stem = Path(name).stem if item_id is None else item_id
    return re.sub(r"[^\w.-]+", "_", stem)[:100]


def _write(
    target: Path, explained: ExplainedItem, steps: AttributedSteps, result: dict[str, Any]
) -> list[Path]:
    """Write the table, the figure and the pages of texts; returns their paths."""
    table, figure = (target.with_name(target.name + end) for end in (".csv", ".png"))
    write_table(table, explained, steps.gap)
    files = [table]
    if explained.is_joined:
        panels = [_bars(explained, steps), *(_panel(input, steps) for input in explained.inputs)]
        figure.write_bytes(to_png(draw_panels(panels, steps.title, steps.caption), DPI))
        files.append(figure)
    elif explained.inputs[0].tokens is None:
        figure.write_bytes(to_png(draw_panels([_panel(explained.inputs[0], steps)]), DPI))
        files.append(figure)
    for input in explained.inputs:
        if input.tokens is not None:
            name = f"{target.name}-{input.name}" if input.name else target.name
            files.append(target.with_name(f"{name}.html"))
            files[-1].write_text(_text_page(input, input.tokens, steps, result), encoding="utf-8")
    return files


def _bars(explained: ExplainedItem, steps: AttributedSteps) -> Panel:
    bars = [Bar(part.name, part.total) for part in explained.inputs]
    bars += [Bar(name, None) for name in explained.missing]
    bars += [Bar(part.shown, part.attribution) for part in explained.columns]
    return bars_panel(bars, steps.label, is_rough=steps.gap is not None)


def _panel(input: ExplainedInput, steps: AttributedSteps) -> Panel:
    """The only input of an item, or one of several with its own title."""
    if input.name:
        title = f"{input.name}  {input.total:+.2f} nats"
        steps = replace(steps, title=title, caption="", attributions=input.attributions,
                        step_s=input.features.step_s())  # fmt: skip
    if input.tokens is not None:
        return text_panel(steps, _spans(input, input.tokens))
    return panel(input.features, input.encoder, input.source, input.sequence, steps)


def _spans(input: ExplainedInput, tokens: Tokens) -> list[attributed_text.Span]:
    return attributed_text.spans(tokens.text, tokens.offsets, input.attributions, tokens.is_unknown)


def _text_page(
    input: ExplainedInput, tokens: Tokens, steps: AttributedSteps, result: dict[str, Any]
) -> str:
    notes = [
        f"{name.replace('_', ' ')}: {value}"
        for name, value in result.items()
        if not isinstance(value, dict)
    ]
    if input.name:
        total = f"{input.name}: {input.total:+.2f} nats of the log-odds; the figure has all inputs"
        steps, notes = replace(steps, title=f"{steps.title}  ·  {input.name}"), [total, *notes]
    return attributed_text.text_page(steps, _spans(input, tokens), notes)


def _print_totals(explained: ExplainedItem) -> None:
    """Print the sum of each input and the attribution of each column."""
    totals = [(part.name, part.total) for part in explained.inputs]
    totals += [(part.shown, part.attribution) for part in explained.columns]
    echo(f"in nats: {', '.join(f'{name} {total:+.2f}' for name, total in totals)}")


def _named_attributions(explained: ExplainedItem) -> list[tuple[str, float]]:
    """What is attributed, with its name; tokens of one character (bytes, jamo) count together, as
    on the page."""
    named: list[tuple[str, float]] = []
    for input in explained.inputs:
        parts = zip(input.step_names, input.attributions.tolist(), strict=True)
        if input.tokens is not None:
            parts = ((repr(part.text), part.attribution) for part in _spans(input, input.tokens))
        start = f"{input.name} " if input.name else ""
        named += [(start + name, value) for name, value in parts if value is not None]
    return named + [(column.shown, column.attribution) for column in explained.columns]


def _print_strongest(label: str, named: Sequence[tuple[str, float]]) -> None:
    """Print the strongest steps, tokens and columns."""
    ordered = sorted(named, key=lambda pair: float(np.nan_to_num(pair[1])))
    for direction, strongest in (
        ("for", ordered[::-1][:NUM_STRONGEST]),
        ("against", ordered[:NUM_STRONGEST]),
    ):
        sign = 1 if direction == "for" else -1
        listed = [f"{name} ({value:+.2f})" for name, value in strongest if sign * value > 0]
        if listed:
            echo(f"{direction} {label}: {', '.join(listed)}")
