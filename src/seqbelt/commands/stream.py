"""``seqbelt stream``: answers to a signal while it comes, as lines of JSON."""

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
from seqbelt.workflow.console import say
from seqbelt.workflow.event_command import EventCommand
from seqbelt.workflow.models import load_folder

READ_BYTES = 1 << 16
POLL_S = 0.05
"""How often a growing file is looked at."""
NUM_LATENCIES = 10_000
"""The last ones that are kept, so that memory does not grow with the signal."""


class Signal(NamedTuple):
    """Where a signal comes from: ``decode`` makes samples or rows of what ``pieces`` gives."""

    pieces: Iterator[Any]
    decode: Callable[[Any], np.ndarray]
    finish: Callable[[], np.ndarray]
    """What was held back until the end."""


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
) -> dict[str, Any]:
    """Answer one signal while it comes; print each answer as a line of JSON; sum up.

    ``file`` is ``-`` for standard input. ``window_s`` limits an answer to the last so many seconds.
    With ``events`` only changes of the label are printed: another label is taken over once it is
    the likeliest with at least ``threshold`` for ``min_duration_s``. ``on_event`` is a shell
    command that runs at each change. Raises SettingsError (reason, remedy) where the model
    needs the whole signal, SeqbeltError where the signal has no answer.
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
        for decision in _answer(answers, signal, latencies):
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
        # Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SeqbeltError("standard output was closed by its reader") from None
    finally:
        if hook is not None:
            hook.close()
    summary = _summarise(bundle, answers, last, latencies, num_decisions)
    if changes is not None:
        summary["num_events"] = num_events
    if hook is not None:
        summary["num_failed_commands"] = hook.num_failed
    return {"model": concrete, **summary}


def _detector(
    bundle: Bundle,
    answers: Stream,
    is_asked: bool,
    threshold: float | None,
    min_duration_s: float | None,
) -> ChangeDetector | None:
    """None where no changes are asked for. Raises SettingsError for options without effect."""
    if not is_asked:
        for name, value in (("threshold", threshold), ("min-duration-s", min_duration_s)):
            if value is not None:
                raise SettingsError(f"--{name}: needs --events or --on-event")
        return None
    least = 1 / len(bundle.classes)
    if threshold is not None and threshold < least:
        raise SettingsError(
            f"--threshold {threshold:g}: the likeliest of {len(bundle.classes)} classes always "
            f"reaches {least:.3g}; give more"
        )
    if answers.input_s is None:
        if min_duration_s:
            raise SettingsError(
                "--min-duration-s: the steps have no time (features.sample_rate is not set)"
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
        say(
            f"the model reads at most {answers.window_steps:,} steps{length} (model.max_steps): "
            "from there on each answer is read from the last ones; --window-s gives fewer"
        )


def _warm_up(bundle: Bundle, window_s: float | None) -> None:
    """Load and build now what would keep the first answer waiting."""
    trial = Stream(bundle, every_steps=1, window_s=window_s)
    if isinstance(bundle.features, AudioFeatures):
        inputs = np.ones(4 * bundle.features.window, np.float32)
    else:
        assert isinstance(bundle.encoder, ArrayEncoder)
        inputs = np.ones((4, *bundle.encoder.step_shape), np.float32)
    deque(trial.push(inputs), maxlen=0)
    trial.finish()


def _answer(answers: Stream, signal: Signal, latencies: deque[float]) -> Iterator[Decision]:
    """All decisions, the final one last. The time that each one cost goes into ``latencies``:
    from the arrival of the piece, or the decision before in it, to the decision."""
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
    shares = decision.probabilities
    best = int(shares.argmax())
    heard = {"time_s": round(decision.num_inputs * answers.input_s, 6)} if answers.input_s else {}
    return {
        **heard,
        "step": decision.num_steps,
        "label": bundle.classes[best],
        "confidence": round(float(shares[best]), 6),
        "p": {name: round(float(p), 6) for name, p in zip(bundle.classes, shares, strict=True)},
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
    heard = f"{line['time_s']:g} s, " if "time_s" in line else ""
    say(
        f"{line['label']} {line['confidence']:.1%}: {heard}{last.num_steps:,} steps, "
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
        raise SettingsError("--follow: standard input ends by itself; name a FILE that grows")
    if file != "-" and not Path(file).is_file():
        raise SettingsError(f"FILE {file}: no such file")
    if pcm is not None and not isinstance(features, AudioFeatures):
        raise SettingsError("--pcm: this model reads tables of numbers, not sound")
    if file != "-" and not follow and pcm is None:
        return _read_whole(bundle, Path(file))
    if isinstance(features, AudioFeatures):
        reader = PcmReader(features.sample_rate, pcm or "s16le")
    else:
        assert isinstance(features, ArrayFeatures) and isinstance(bundle.encoder, ArrayEncoder)
        reader = TableReader(features, bundle.encoder)
    pieces = _until_stopped(_read_pieces(file, follow))
    return Signal(pieces, reader.push, reader.finish)


def _read_whole(bundle: Bundle, path: Path) -> Signal:
    """A file that is complete, decoded as ``predict`` decodes it."""
    features = bundle.features
    try:
        found = features.read(path)
        if isinstance(features, AudioFeatures):
            values, rate = found
            if rate != features.sample_rate:
                raise SettingsError(
                    f"FILE {path}: {rate} Hz, and the model hears {features.sample_rate} Hz: "
                    f"resampling needs the whole recording. {conversion_hint(features.sample_rate)}"
                )
        else:
            bundle.encoder.encode([found])  # refuses another width, and other names
            values = found.values
    except BadInput as error:
        raise SeqbeltError(f"{path}: {error}") from None
    return Signal(iter([values]), lambda piece: piece, lambda: values[:0])


def _read_pieces(file: str, follow: bool) -> Iterator[bytes]:
    """Bytes as they come, at most ``READ_BYTES`` at a time."""
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
    """Ctrl-C is how a live signal ends."""
    try:
        yield from pieces
    except KeyboardInterrupt:
        say("stopped by Ctrl-C: the signal ends here")


def _name(file: str) -> str:
    return "standard input" if file == "-" else file
