"""``seqbelt stream``: predictions for a live signal, as lines of JSON."""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from seqbelt.errors import BadInput, SeqbeltError, SettingsError
from seqbelt.features.arrays.channels import ArrayEncoder, ArrayFeatures
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.streaming.byte_streams import Pcm, PcmReader, TableReader, conversion_hint
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.live_events import (
    MIN_DURATION_S,
    THRESHOLD,
    ChangeDetector,
)
from seqbelt.inference.live_stream import Decision, Stream
from seqbelt.workflow.console import echo
from seqbelt.workflow.event_command import EventCommand
from seqbelt.workflow.models import load_folder
from seqbelt.workflow.outcome import Outcome

READ_BYTES = 1 << 16
POLL_S = 0.05
"""Interval between reads of a growing file."""
NUM_LATENCIES = 10_000
"""Latencies kept, the last ones, so that memory does not grow with the signal."""


class Signal(NamedTuple):
    """A signal in pieces; ``decode`` converts a piece to samples or rows."""

    pieces: Iterator[Any]
    decode: Callable[[Any], np.ndarray]
    finish: Callable[[], np.ndarray]
    """Returns what remains at the end."""


def stream(
    model: str,
    file: str,
    *,
    pcm: Pcm | None = None,
    follow: bool = False,
    every_ms: float | None = None,
    every_steps: int | None = None,
    window_s: float | None = None,
    events: bool = False,
    on_event: str | None = None,
    threshold: float | None = None,
    min_duration_s: float | None = None,
) -> Outcome:
    """Predict one signal as it arrives; print each prediction as a line of JSON, then a summary.

    ``file`` is ``-`` for standard input. ``window_s`` limits a prediction to the last seconds of
    the signal. With ``events`` only changes of the label are printed: the label changes once
    another is the likeliest with at least ``threshold`` for ``min_duration_s``. ``on_event`` is a
    shell command that runs at each change. Raises SettingsError if the model needs the complete
    signal, SeqbeltError if the signal cannot be predicted.
    """
    folder, concrete = load_folder(model)
    bundle = Bundle.load(folder)
    answers = Stream(bundle, every_ms, every_steps, window_s)
    changes = _detector(bundle, answers, events or on_event is not None, threshold, min_duration_s)
    hook = None if on_event is None else EventCommand(on_event)
    _warm_up(bundle, window_s)
    _describe_window(bundle, answers, window_s)
    signal = _open(bundle, file, pcm, follow)
    latencies: deque[float] = deque(maxlen=NUM_LATENCIES)
    num_decisions = num_events = 0
    try:
        for decision in _decide(answers, signal, latencies):
            line = _line(bundle, answers, decision)
            change = changes and changes.push(
                line["label"], line["confidence"], line.get("time_s", 0.0)
            )
            if change is not None:
                num_events += 1
                line |= {"previous": change.previous}
                if "time_s" in line:
                    line |= {"since_s": change.since_s}
                if hook is not None:
                    hook.start(line)
            if change is not None or not events:
                print(json.dumps(line, ensure_ascii=False), flush=True)
            num_decisions += 1
            last = decision
    except BadInput as error:
        raise SeqbeltError(f"{_name(file)}: {error}") from None
    except BrokenPipeError:
        # Otherwise Python fails again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SeqbeltError("standard output was closed by the reading process") from None
    finally:
        if hook is not None:
            hook.close()
    summary = _summarise(bundle, answers, last, latencies, num_decisions)
    if changes is not None:
        summary["num_events"] = num_events
    if hook is not None:
        summary["num_failed_commands"] = hook.num_failed
    return Outcome({"model": concrete, **summary})


def _detector(
    bundle: Bundle,
    answers: Stream,
    is_needed: bool,
    threshold: float | None,
    min_duration_s: float | None,
) -> ChangeDetector | None:
    """The detector of changes, or None. Raises SettingsError for options without effect."""
    if not is_needed:
        for name, value in (("threshold", threshold), ("min-duration-s", min_duration_s)):
            if value is not None:
                raise SettingsError(f"--{name}: needs --events or --on-event")
        return None
    minimum = 1 / len(bundle.classes)
    if threshold is not None and threshold < minimum:
        raise SettingsError(
            f"--threshold {threshold:g}: the likeliest of {len(bundle.classes)} classes always "
            f"reaches {minimum:.3g}; use a larger value"
        )
    if answers.input_s is None:
        if min_duration_s:
            raise SettingsError(
                "--min-duration-s: the steps have no time (features.source_rate_hz is not set)"
            )
        min_duration_s = 0.0
    return ChangeDetector(
        THRESHOLD if threshold is None else threshold,
        MIN_DURATION_S if min_duration_s is None else min_duration_s,
    )


def _describe_window(bundle: Bundle, answers: Stream, window_s: float | None) -> None:
    if window_s is None and answers.window_steps is not None:
        step_s = bundle.features.step_s()
        length = "" if step_s is None else f" ({answers.window_steps * step_s:g} s)"
        echo(
            f"the model reads at most {answers.window_steps:,} steps{length} (model.crop_steps): "
            "after that each prediction uses the last ones; --window-s sets a shorter window"
        )


def _warm_up(bundle: Bundle, window_s: float | None) -> None:
    """Load and build now what would delay the first prediction."""
    trial = Stream(bundle, every_steps=1, window_s=window_s)
    if isinstance(bundle.features, AudioFeatures):
        inputs = np.ones(4 * bundle.features.window, np.float32)
    else:
        assert isinstance(bundle.encoder, ArrayEncoder)
        inputs = np.ones((4, *bundle.encoder.step_shape), np.float32)
    deque(trial.push(inputs), maxlen=0)
    trial.finish()


def _decide(answers: Stream, signal: Signal, latencies: deque[float]) -> Iterator[Decision]:
    """Yield all decisions, the final one last. Their latencies, from the arrival of the piece or
    the previous decision in it, are appended to ``latencies``."""
    spent = 0.0
    for piece in signal.pieces:
        began = time.perf_counter()
        for decision in answers.push(signal.decode(piece)):
            latencies.append(spent + time.perf_counter() - began)
            yield decision
            began, spent = time.perf_counter(), 0.0
        spent += time.perf_counter() - began
    began = time.perf_counter()
    yield from answers.push(signal.finish())
    final = answers.finish()
    latencies.append(spent + time.perf_counter() - began)
    yield final


def _line(bundle: Bundle, answers: Stream, decision: Decision) -> dict[str, Any]:
    probabilities = decision.probabilities
    best = int(probabilities.argmax())
    time = {"time_s": round(decision.num_inputs * answers.input_s, 6)} if answers.input_s else {}
    return {
        **time,
        "step": decision.num_steps,
        "label": bundle.classes[best],
        "confidence": round(float(probabilities[best]), 6),
        "p": {
            name: round(float(p), 6) for name, p in zip(bundle.classes, probabilities, strict=True)
        },
        "final": decision.is_final,
    }


def _summarise(
    bundle: Bundle,
    answers: Stream,
    last: Decision,
    latencies: deque[float],
    num_decisions: int,
) -> dict[str, Any]:
    line = _line(bundle, answers, last)
    median, p95 = (round(1000 * float(np.percentile(latencies, q)), 3) for q in (50, 95))
    duration = f"{line['time_s']:g} s, " if "time_s" in line else ""
    echo(
        f"{line['label']} {line['confidence']:.1%}: {duration}{last.num_steps:,} steps, "
        f"{num_decisions:,} decisions; latency of a decision {median:g} ms (median), "
        f"{p95:g} ms (95 % are faster)"
    )
    return {
        "num_steps": last.num_steps,
        **({"duration_s": line["time_s"]} if "time_s" in line else {}),
        "num_decisions": num_decisions,
        "label": line["label"],
        "confidence": line["confidence"],
        "p": line["p"],
        "latency_ms": {"median": median, "p95": p95},
    }


def _open(bundle: Bundle, file: str, pcm: Pcm | None, follow: bool) -> Signal:
    features = bundle.features
    if follow and file == "-":
        raise SettingsError("--follow: needs a FILE, not standard input")
    if file != "-" and not Path(file).is_file():
        raise SettingsError(f"FILE {file}: no such file")
    if pcm is not None and not isinstance(features, AudioFeatures):
        raise SettingsError("--pcm: this model reads tables of numbers, not audio")
    if file != "-" and not follow and pcm is None:
        return _read_file(bundle, Path(file))
    if isinstance(features, AudioFeatures):
        reader = PcmReader(features.sample_rate, pcm or "s16le")
    else:
        assert isinstance(features, ArrayFeatures) and isinstance(bundle.encoder, ArrayEncoder)
        reader = TableReader(features, bundle.encoder)
    pieces = _until_stopped(_read_pieces(file, follow))
    return Signal(pieces, reader.push, reader.finish)


def _read_file(bundle: Bundle, path: Path) -> Signal:
    """A complete file, decoded as in ``predict``."""
    features = bundle.features
    try:
        raw = features.read(path)
        if isinstance(features, AudioFeatures):
            values, rate = raw
            if rate != features.sample_rate:
                raise SettingsError(
                    f"FILE {path}: {rate} Hz, but the model expects {features.sample_rate} Hz, "
                    f"and a stream is not resampled. {conversion_hint(features.sample_rate)}"
                )
        else:
            bundle.encoder.encode([raw])  # raises for another number or names of columns
            values = raw.values
    except BadInput as error:
        raise SeqbeltError(f"{path}: {error}") from None
    return Signal(iter([values]), lambda piece: piece, lambda: values[:0])


def _read_pieces(file: str, follow: bool) -> Iterator[bytes]:
    """Bytes as they arrive, at most ``READ_BYTES`` at a time."""
    if file == "-":
        source = cast(BufferedReader, sys.stdin.buffer)
        while content := source.read1(READ_BYTES):
            yield content
        return
    with Path(file).open("rb") as source:
        while True:
            if content := source.read1(READ_BYTES):
                yield content
            elif follow:
                time.sleep(POLL_S)
            else:
                return


def _until_stopped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """End the signal at Ctrl-C."""
    try:
        yield from pieces
    except KeyboardInterrupt:
        echo("stopped by Ctrl-C")


def _name(file: str) -> str:
    return "standard input" if file == "-" else file
