"""Trial runs of a sound encoder: what its axes are, and what its answers depend on."""

import bisect
import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np

from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.pretrained import encoder_certificate
from seqbelt.features.pretrained.onnx_model import EncoderFile, OnnxModel
from seqbelt.features.pretrained.pretrained import Certified
from seqbelt.features.pretrained.sound_encoder import SoundEncoder, StepAxes
from seqbelt.features.pretrained.sound_ports import find_sound_ports
from seqbelt.features.pretrained.sound_settings import SoundEncoderSettings

RATE_KEYS = ("sample_rate", "sampling_rate", "sampling_rate_hz")
"""Keys under which authors write the rate into a file."""
MAX_PROBE_S = 16.0


def probe(features: SoundEncoderSettings, model: OnnxModel) -> SoundEncoder:
    """The encoder, not certified yet, with ports and axes found by trial runs.

    Raises SettingsError where the graph and the settings do not agree.
    """
    ports, num_samples = find_sound_ports(model, features.input, features.output, features.state)
    rates = [model.metadata[key] for key in RATE_KEYS if key in model.metadata]
    if rates and rates[0] != str(features.sample_rate):
        raise SettingsError(
            f"features.sample_rate: {features.sample_rate}, but {model.name} states {rates[0]} Hz"
        )
    if num_samples is not None and (features.window_ms is None or num_samples != features.window):
        milliseconds = 1000 * num_samples / features.sample_rate
        raise SettingsError(
            f"features.window_ms: {model.name} reads exactly "
            f"{features.describe_samples(num_samples)}; set window_ms: {milliseconds:.10g}, or "
            "correct sample_rate"
        )
    encoder = SoundEncoder(features, model, ports, None, 0)
    if features.window_ms is not None:
        return _probe_window(encoder)
    return _probe_whole(encoder)


def _probe_window(encoder: SoundEncoder) -> SoundEncoder:
    features, model = encoder.features, encoder.model
    try:
        output, states = encoder.run([_noise(0, features.window)], encoder.first_states())
    except BadInput as error:
        raise SettingsError(
            f"features.file: {error}. The window has {features.describe_samples(features.window)}: "
            "check features.sample_rate and features.window_ms"
        ) from None
    for name, state in states.items():
        shape = encoder.first_states()[name].shape
        if state.shape != shape:
            raise SettingsError(
                f"features.state: '{encoder.ports.states[name]}' has shape {state.shape}, the "
                f"input '{name}' needs {shape}"
            )
    inner = [size for size in output.shape[1:] if size > 1]
    if len(inner) > 1 and not encoder.carries_state:
        raise SettingsError(
            f"features.window_ms: a window of {features.describe_samples(features.window)} gives "
            f"an array of shape {output.shape[1:]}, and a step is one vector; name an output with "
            "one vector a window, choose a shorter window, or remove window_ms to run the encoder "
            f"on whole recordings. Of {model.name}: {model.describe_ports()}"
        )
    return dataclasses.replace(encoder, num_base_features=output.size)


def _probe_whole(encoder: SoundEncoder) -> SoundEncoder:
    """Find the axes of an output of a whole recording, and the encoder's hop and field."""
    features, model = encoder.features, encoder.model

    def shape_at(num_samples: int) -> tuple[int, ...]:
        return encoder.run([_noise(0, num_samples)], encoder.first_states())[0].shape

    size, error = features.sample_rate, None
    while size <= MAX_PROBE_S * features.sample_rate:
        try:
            short, long = shape_at(size), shape_at(2 * size)
        except BadInput as found:  # too short for this encoder
            error = found
        else:
            changed = [axis for axis, (a, b) in enumerate(zip(short, long)) if a != b]
            if len(changed) == 1 and short[changed[0]] >= 2:
                break
            error = None
        size *= 2
    else:
        raise SettingsError(
            f"features.file: {error}" if error else
            f"features.window_ms: null, but the output '{encoder.ports.features}' of {model.name} "
            f"has shape {short} for {size // 2} samples and {long} for {size}, so there is not one "
            "axis of steps; set window_ms, or name another output. " + model.describe_ports()
        )  # fmt: skip
    time = changed[0]
    wide = [axis for axis in range(len(short)) if axis not in (0, time) and short[axis] > 1]
    if len(wide) > 1:
        raise SettingsError(
            f"features.output: '{encoder.ports.features}' of {model.name} has shape {short}, and a "
            f"step is one vector; name another output. {model.describe_ports()}"
        )
    axis = wide[0] if wide else next(a for a in range(len(short)) if a not in (0, time))
    field, hop = _field_and_hop(lambda n: shape_at(n)[time], size, 2 * size, model.name)
    if hop != features.hop:
        raise SettingsError(
            f"features.hop_ms: {features.hop_ms:g} is {features.hop} samples, but {model.name} "
            f"gives a step every {features.describe_samples(hop)}; set hop_ms: "
            f"{1000 * hop / features.sample_rate:.10g}, or set window_ms for other steps"
        )
    axes = StepAxes(time, axis, field)
    return dataclasses.replace(encoder, axes=axes, num_base_features=short[axis])


def _field_and_hop(count: Callable[[int], int], low: int, high: int, name: str) -> tuple[int, int]:
    """Samples of the first step and from step to step, where ``count(samples)`` is the steps."""
    begin = count(low)
    first = low + bisect.bisect_left(range(low, high), True, key=lambda n: count(n) > begin)
    second = first + bisect.bisect_left(
        range(first, high), True, key=lambda n: count(n) > begin + 1
    )
    hop = second - first
    field = first - begin * hop
    for samples in (first + 3 * hop - 1, first + 3 * hop):
        if count(samples) != (samples - field) // hop + 1:
            raise SettingsError(
                f"features.file: the steps of {name} do not come at even distances: "
                f"{count(samples)} for {samples} samples, {begin} for {low}; set window_ms"
            )
    return field, hop


def _noise(number: int, num_samples: int) -> np.ndarray:
    """A generated recording: noise whose loudness changes, and a tone."""
    random = np.random.default_rng((number, num_samples))
    times = np.arange(num_samples)
    loudness = 0.05 * (1.2 + np.sin(times / 1711 + number))
    tone = 0.1 * np.sin(times * random.uniform(0.02, 0.4))
    return (loudness * random.standard_normal(num_samples) + tone).astype(np.float32)


def certify(encoder: SoundEncoder, file: EncoderFile) -> Certified:
    """How the encoder is used, in batches that leave its answers as they are, and its certificate.

    Raises SettingsError if answers are random, depend on batch mates that cannot be left out, or
    on more context than the settings say.
    """
    features, axes = encoder.features, encoder.axes
    base = features.window
    if axes is not None:
        base = axes.field + 24 * features.hop
    signals = [
        _noise(1, base),
        _noise(2, base),
        _noise(3, base + (11 * features.hop if axes else 0)),
    ]
    alone = [_run_together(encoder, [signal])[0] for signal in signals]
    if not all(np.isfinite(steps).all() for steps in alone):
        raise SettingsError(f"features.file: {file.path.name} gives NaN or infinite values")
    again = _run_together(encoder, signals[:1])[0]
    encoder_certificate.refuse_randomness(
        encoder_certificate.relative_difference(again, alone[0]), file.path.name
    )
    figures: dict[str, float | None] = {"equal": None, "padded": None}
    number = encoder.ports.batch_size
    if number not in (None, 1):
        mates = _run_together(encoder, [signals[0], *[signals[1]] * (number - 1)])[0]
        encoder_certificate.refuse_batch_mates(
            encoder_certificate.relative_difference(mates, alone[0]), number, file.path.name
        )
    elif number is None and not encoder.ports.states and not (axes and axes.time == 0):
        together = _run_together(encoder, signals[:2])
        figures["equal"] = encoder_certificate.largest_difference(zip(together, alone))
        if axes is not None:
            padded = _run_together(encoder, [signals[0], signals[2]])
            figures["padded"] = encoder_certificate.largest_difference(
                zip([padded[0][: len(alone[0])], padded[1]], [alone[0], alone[2]])
            )
    batching = encoder_certificate.decide_batching(figures["equal"], figures["padded"])
    encoder = dataclasses.replace(encoder, batching=batching)
    if features.context is not None:
        figures["cut"] = _refuse_more_context(encoder)
    return encoder.about(), encoder_certificate.to_file(_describe(encoder, file, figures), figures)


def _run_together(encoder: SoundEncoder, signals: list[np.ndarray]) -> list[np.ndarray]:
    """Features of signals that are run together, whatever is certified."""
    if encoder.axes is None:
        output, _ = encoder.run(signals, encoder.first_states())
        return [*output.reshape(len(signals), -1)] if len(signals) > 1 else [output.reshape(-1)]
    return encoder.whole_steps(signals, encoder.axes)


def _refuse_more_context(encoder: SoundEncoder) -> float:
    """The difference of a recording cut into pieces from the whole. Raises SettingsError if steps
    depend on more than ``context_ms``."""
    features = encoder.features
    assert encoder.axes is not None and features.context is not None
    piece = (math.ceil(features.context / features.hop) + 8) * features.hop
    signal = _noise(4, 4 * piece + features.hop // 2)
    whole = encoder.whole_steps([encoder.pad(signal, encoder.axes)], encoder.axes)[0]
    pieces = [
        part.take(encoder.whole_steps([encoder.pad(part.samples, encoder.axes)], encoder.axes)[0])
        for part in encoder.cut(signal, piece)
    ]
    cut = np.concatenate(pieces)
    difference = encoder_certificate.relative_difference(cut, whole[: len(cut)])
    if not difference <= encoder_certificate.TOLERANCE:
        raise SettingsError(
            f"features.context_ms: {features.context_ms:g}, but steps of {encoder.model.name} "
            f"depend on more (difference {difference:.2g} of the largest value when cut so); raise "
            "it, or set null, which runs whole recordings and cannot stream"
        )
    return difference


def _describe(
    encoder: SoundEncoder, file: EncoderFile, figures: Mapping[str, float | None]
) -> list[str]:
    """What the encoder is and how it is run, in sentences."""
    features, ports, axes = encoder.features, encoder.ports, encoder.axes
    hop_ms = 1000 * features.hop / features.sample_rate
    steps = f"{encoder.num_base_features} features every {hop_ms:g} ms"
    if axes is None:
        steps += f" of windows of {features.window_ms:g} ms"
    if encoder.carries_state:
        how = "run window by window, with the state carried"
    else:
        how = encoder_certificate.describe_batching(figures["equal"], figures["padded"])
    notes = [f"{file.describe()}: '{ports.waveform}' to '{ports.features}', {steps}; {how}"]
    if (cut := figures.get("cut")) is not None:
        notes.append(
            f"encoder {file.path.name}: long recordings are cut with {features.context_ms:g} ms of "
            f"context (largest difference {cut:.1g})"
        )
    notes += file.copy_notes(features.max_copy_mb)
    return notes
