"""``seqbelt stream``: predictions for a live signal, as lines of JSON."""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqbelt.errors import BadInput, SeqbeltError, SettingsError
from seqbelt.features.arrays.array_encoder import ArrayEncoder
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.folder import FAR_LONGER
from seqbelt.inference.live_events import MIN_DURATION_S, THRESHOLD, ChangeDetector, LabelDetector
from seqbelt.inference.live_stream import LiveDecision, Stream
from seqbelt.inference.recording_windows import default_window_s
from seqbelt.words import count_of, percent
from seqbelt.workflow.console import echo
from seqbelt.workflow.event_command import EventCommand
from seqbelt.workflow.live_signals import Restart, SignalReading, decode_pieces, open_signal
from seqbelt.workflow.models import load_folder
from seqbelt.workflow.outcome import FAILED, QUARANTINED, Outcome

POLL_S = 0.05
"""Interval between reads of growing files."""
NUM_LATENCIES = 10_000
"""Latencies kept, the last ones, so that memory does not grow with the signal."""


@dataclass(frozen=True)
class Options:
    """How signals are predicted; the fields are the options of the command."""

    reading: SignalReading
    every_ms: float | None = None
    every_steps: int | None = None
    window_s: float | None = None
    events: bool = False
    on_event: str | None = None
    threshold: float | None = None
    min_duration_s: float | None = None

    @property
    def detects(self) -> bool:
        """Whether changes of the label are needed."""
        return self.events or self.on_event is not None


class LiveSignal:
    """One signal on its way through the model."""

    def __init__(self, bundle: Bundle, file: str, options: Options, model: str) -> None:
        self.file, self._bundle, self._options, self._model = file, bundle, options, model
        self.num_decisions = self.num_events = self.num_restarts = 0
        self.latencies: deque[float] = deque(maxlen=NUM_LATENCIES)
        self.compute_s = 0.0
        """Time spent on the signal so far, without waiting for it."""
        self.error: str | None = None
        self.last: dict[str, Any] = {}
        self._start()
        self._signal = open_signal(bundle, file, options.reading, model)

    def _start(self) -> None:
        options = self._options
        self.predictions = Stream(
            self._bundle, options.every_ms, options.every_steps, options.window_s
        )
        self._changes = _detector(self._bundle, self.predictions, options)
        self._spent = 0.0
        self._is_warned = False

    @property
    def name(self) -> str:
        return "standard input" if self.file == "-" else self.file

    def read(self) -> Iterator[dict[str, Any] | None]:
        """Read one piece at a time; yields the lines that it completes, the final one last, and
        None where nothing has arrived."""
        for piece in self._signal.pieces:
            if piece is None:
                yield None
            elif isinstance(piece, Restart):
                self._restart(f"{piece.reason}; its new content")
                self._signal = decode_pieces(
                    self._bundle, self._signal.pieces, self.file, self._options.reading, self._model
                )
            else:
                yield from self._predict(piece)

    def _restart(self, what: str) -> None:
        echo(f"warning: {self.name}: {what} is another signal")
        self.num_restarts += 1
        self._start()

    def _inputs(self, decode: Callable[[], np.ndarray]) -> Iterator[np.ndarray]:
        """What can be decoded now; predictions begin anew where the signal does."""
        yield self._remarked(decode())
        while self._signal.restarts:
            self._restart(f"{self._signal.restarts.pop()}; what follows")
            yield self._remarked(decode())

    def _predict(self, piece: Any) -> Iterator[dict[str, Any]]:
        """The lines due; latencies count from the arrival of the piece or the previous line."""
        began = time.perf_counter()
        pieces = iter([piece])
        for inputs in self._inputs(lambda: self._signal.decode(next(pieces, b""))):
            for decision in self.predictions.push(inputs):
                self._add_latency(began)
                yield self._line(decision)
                began = time.perf_counter()
        self._spent += time.perf_counter() - began

    def _remarked(self, inputs: np.ndarray) -> np.ndarray:
        """The inputs, after it was said how they are read."""
        for note in self._signal.notes:
            echo(f"{self.name}: read: {note}")
        self._signal.notes.clear()
        return inputs

    def _warn_of_length(self) -> None:
        """Say once that a model which reads all since the start was trained on less."""
        longest = self._bundle.about.get("max_num_steps")
        if (
            longest is None
            or self.predictions.window_steps is not None
            or self.predictions.num_steps <= FAR_LONGER * longest
            or self._is_warned
        ):
            return
        self._is_warned = True
        window_s = default_window_s(self._bundle)
        advice = f"--window-s {window_s:.2g}" if window_s else "model.crop_steps, trained with,"
        echo(
            f"warning: {self.name}: longer by now than {FAR_LONGER} times the longest training "
            f"sequence ({longest:,} steps), and all of it counts; {advice} predicts from the last "
            "seconds"
        )

    def _add_latency(self, began: float) -> None:
        latency = self._spent + time.perf_counter() - began
        self.latencies.append(latency)
        self.compute_s += latency
        self._spent = 0.0

    def finish(self) -> Iterator[dict[str, Any]]:
        """The lines that remain at the end of the signal."""
        began = time.perf_counter()
        for inputs in self._inputs(self._signal.finish):
            for decision in self.predictions.push(inputs):
                yield self._line(decision)
        final = self.predictions.finish()
        self._add_latency(began)
        yield self._line(final)

    def _line(self, decision: LiveDecision) -> dict[str, Any]:
        self._warn_of_length()
        line = self.last = _line(self._bundle, self.predictions, decision)
        self.num_decisions += 1
        line = line | self._changed(line, decision)
        self.num_events += len(_events(line))
        return line

    def _changed(self, line: dict[str, Any], decision: LiveDecision) -> dict[str, Any]:
        """What a line says of a change; nothing where there is none."""
        time_s = line.get("time_s", 0.0)
        if isinstance(self._changes, LabelDetector):
            found = self._changes.push(decision.probabilities, time_s)
            return (
                {"changes": [_timed(change._asdict(), line) for change in found]} if found else {}
            )
        change = self._changes and self._changes.push(line["label"], line["confidence"], time_s)
        if change is None:
            return {}
        return _timed({"previous": change.previous, "since_s": change.since_s}, line)


def _timed(values: dict[str, Any], line: Mapping[str, Any]) -> dict[str, Any]:
    """The values, without the time of steps that have none."""
    return {name: of for name, of in values.items() if name != "since_s" or "time_s" in line}


def _events(line: dict[str, Any]) -> list[dict[str, Any]]:
    """The changes that a line has: of the label, or of each of several labels."""
    if "previous" in line:
        return [line]
    return [line | change for change in line.get("changes", ())]


def stream(model: str, files: Sequence[str], options: Options) -> Outcome:
    """Predict signals as they arrive; print each prediction as a line of JSON, then a summary.

    ``-`` is standard input. ``window_s`` limits a prediction to the last seconds of the signal.
    With ``events`` only changes of the label are printed: the label changes once another is the
    likeliest with at least ``threshold`` for ``min_duration_s``. With several labels each begins
    once it has at least its own threshold, and ``threshold`` if given, for so long, and ends once
    it is below its own threshold for so long. ``on_event`` is a shell command that runs at each
    change. Of several signals each line names its file, and one that cannot be
    predicted does not end the others. Raises SettingsError if the model needs the complete signal,
    SeqbeltError if no signal can be predicted.
    """
    if repeated := next((file for file in files if files.count(file) > 1), None):
        raise SettingsError(f"FILE {repeated}: given twice")
    folder, concrete = load_folder(model)
    bundle = Bundle.load(folder)
    bundle.refuse_several_inputs("seqbelt stream")
    signals = [LiveSignal(bundle, file, options, model) for file in files]
    _warm_up(bundle, options.window_s)
    _describe_window(bundle, signals[0].predictions, options.window_s)
    hook = None if options.on_event is None else EventCommand(options.on_event)
    try:
        for signal, line in _lines(signals):
            line = {"file": signal.file, **line} if len(signals) > 1 else line
            events = _events(line)
            if hook is not None:
                for event in events:
                    hook.start(event)
            if events or not options.events:
                print(json.dumps(line, ensure_ascii=False), flush=True)
    except BrokenPipeError:
        # Otherwise Python fails again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SeqbeltError("standard output was closed by the reading process") from None
    finally:
        if hook is not None:
            hook.close()
    failed = [signal for signal in signals if signal.error is not None]
    if len(signals) == 1 and failed:
        raise SeqbeltError(f"{signals[0].name}: {signals[0].error}")
    summaries = {
        signal.file: {"error": signal.error}
        if signal.error is not None
        else _summarise(signal, options, len(signals) > 1)
        for signal in signals
    }
    result = next(iter(summaries.values())) if len(signals) == 1 else {"signals": summaries}
    if hook is not None:
        result = result | {"num_failed_commands": hook.num_failed}
    exit_code = FAILED if len(failed) == len(signals) else QUARANTINED
    return Outcome({"model": concrete, **result}, exit_code if failed else 0)


def _lines(signals: Sequence[LiveSignal]) -> Iterator[tuple[LiveSignal, dict[str, Any]]]:
    """The lines of all signals, one after the other in turn, until all have ended or Ctrl-C."""
    readers = {signal: signal.read() for signal in signals}
    try:
        while readers:
            is_idle = True
            for signal, reader in [*readers.items()]:
                try:
                    line = next(reader)
                except StopIteration:
                    del readers[signal]
                    yield from _finish(signal, signals)
                except BadInput as error:
                    del readers[signal]
                    _fail(signal, error, signals)
                else:
                    is_idle = is_idle and line is None
                    if line is not None:
                        yield signal, line
            if is_idle and readers:
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        echo("stopped by Ctrl-C")
        for signal in readers:
            yield from _finish(signal, signals)


def _finish(
    signal: LiveSignal, signals: Sequence[LiveSignal]
) -> Iterator[tuple[LiveSignal, dict[str, Any]]]:
    try:
        for line in signal.finish():
            yield signal, line
    except BadInput as error:
        _fail(signal, error, signals)


def _fail(signal: LiveSignal, error: BadInput, signals: Sequence[LiveSignal]) -> None:
    signal.error = str(error)
    if len(signals) > 1:
        echo(f"warning: {signal.name}: {error}; the other signals continue")


def _detector(
    bundle: Bundle, predictions: Stream, options: Options
) -> ChangeDetector | LabelDetector | None:
    """The detector of changes, or None. Raises SettingsError for options without effect."""
    threshold, min_duration_s = options.threshold, options.min_duration_s
    if not options.detects:
        for name, value in (("threshold", threshold), ("min-duration-s", min_duration_s)):
            if value is not None:
                raise SettingsError(f"--{name}: needs --events or --on-event")
        return None
    thresholds = bundle.decision.thresholds
    minimum = 1 / len(bundle.classes) if thresholds is None else float(thresholds.min())
    if threshold is not None and threshold < minimum:
        why = (
            f"the likeliest of {len(bundle.classes)} classes always reaches {minimum:.3g}"
            if thresholds is None
            else f"a label needs its own threshold, {minimum:.3g} or more, anyway"
        )
        raise SettingsError(f"--threshold {threshold:g}: {why}; use a larger value")
    if predictions.input_s is None:
        if min_duration_s:
            raise SettingsError(
                "--min-duration-s: the steps have no time (features.source_rate_hz is not set)"
            )
        min_duration_s = 0.0
    if min_duration_s is None:
        # Windows that overlap by more than half have their noise in common.
        min_duration_s = max(MIN_DURATION_S, (options.window_s or 0.0) / 2)
    if thresholds is not None:
        return LabelDetector(bundle.classes, thresholds, threshold or 0.0, min_duration_s)
    return ChangeDetector(THRESHOLD if threshold is None else threshold, min_duration_s)


def _describe_window(bundle: Bundle, predictions: Stream, window_s: float | None) -> None:
    if window_s is None and predictions.window_steps is not None:
        step_s = bundle.features.step_s()
        length = "" if step_s is None else f" ({predictions.window_steps * step_s:g} s)"
        echo(
            f"the model reads at most {predictions.window_steps:,} steps{length} "
            "(model.crop_steps): after that each prediction uses the last ones; --window-s sets a "
            "shorter window"
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


def _line(bundle: Bundle, predictions: Stream, decision: LiveDecision) -> dict[str, Any]:
    probabilities = decision.probabilities
    names = bundle.predicted_names(probabilities)
    time = (
        {"time_s": round(decision.num_inputs * predictions.input_s, 6)}
        if predictions.input_s
        else {}
    )
    return {
        **time,
        "step": decision.num_steps,
        **({"labels": names} if bundle.target.is_several else {"label": names[0]}),
        "confidence": round(float(bundle.confidence(probabilities)), 6),
        "p": {
            name: round(float(p), 6) for name, p in zip(bundle.classes, probabilities, strict=True)
        },
        "final": decision.is_final,
    }


def _summarise(signal: LiveSignal, options: Options, is_named: bool) -> dict[str, Any]:
    line, latencies = signal.last, signal.latencies
    median, p95 = (round(1000 * float(np.percentile(latencies, q)), 3) for q in (50, 95))
    duration = f"{line['time_s']:g} s, " if "time_s" in line else ""
    name = f"{signal.name}: " if is_named else ""
    real_time_factor = None
    if line.get("time_s"):
        real_time_factor = round(signal.compute_s / line["time_s"], 6)
        duration = (
            f"{line['time_s']:g} s at {1 / max(real_time_factor, 1e-6):,.0f} times real time, "
        )
    decided = ", ".join(line["labels"]) or "no label" if "labels" in line else line["label"]
    counts = f"{count_of(line['step'], 'step')}, {count_of(signal.num_decisions, 'decision')}"
    echo(
        f"{name}{decided} {percent(line['confidence'])}: {duration}{counts}; latency of a decision "
        f"{median:g} ms (median), {p95:g} ms (95 % are faster)"
    )
    return {
        "num_steps": line["step"],
        **({"duration_s": line["time_s"]} if "time_s" in line else {}),
        "num_decisions": signal.num_decisions,
        **{key: line[key] for key in ("label", "labels", "confidence", "p") if key in line},
        "latency_ms": {"median": median, "p95": p95},
        **({"real_time_factor": real_time_factor} if real_time_factor is not None else {}),
        **({"num_events": signal.num_events} if options.detects else {}),
        **(
            {"num_restarts": signal.num_restarts}
            if options.reading.follow or signal.num_restarts
            else {}
        ),
    }
