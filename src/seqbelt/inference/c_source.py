"""A bundle as one C99 file and one header, which need nothing but libm and allocate nothing.

The sequence is read input by input, as ``StreamingClassifier`` reads it; all memory is in a struct
of the caller's. Sums over steps, spectra and logarithms are in the type ``NAME_REAL``, double
unless the file is compiled otherwise.
"""

import re
from typing import NamedTuple

import numpy as np

from seqbelt.errors import SettingsError
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio.audio import AudioFeatures, LogMel, Mfcc, Waveform
from seqbelt.features.text.encoder import TextEncoder
from seqbelt.inference import c_templates as templates
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.c_network import CNetwork
from seqbelt.inference.c_unit import CUnit, c_number
from seqbelt.inference.exportable import num_channels, samples_before, why_not_raw, why_not_stepwise


class CSource(NamedTuple):
    """Header and source."""

    header: str
    source: str


def write_c(bundle: Bundle, name: str, raw: bool = False, int8: bool = False) -> CSource:
    """The files of a bundle; ``name`` begins every public name in them.

    ``raw`` puts the features in front of the network, ``int8`` makes matrices of 8-bit whole
    numbers with a scale for each row. Raises SettingsError for networks and features that need the
    end of a sequence, or that are not supported.
    """
    option = "--format c-int8" if int8 else "--format c"
    if reason := why_not_stepwise(bundle.network):
        raise SettingsError(f"{option}: {reason}")
    if raw and (reason := _why_not_raw(bundle)):
        raise SettingsError(f"--raw: {reason}")
    unit = CUnit(name, int8)
    networks = bundle.network.networks
    for number, network in enumerate(networks):
        CNetwork(unit, network.main, f"network_{number}").write()
    _write_front(unit, bundle, raw, len(networks))
    return CSource(_header(unit, bundle, raw), unit.text(bundle.classes, _comment(bundle)))


def c_name(stem: str) -> str:
    """A name for C of a file's name without its ending."""
    name = re.sub(r"\W", "_", stem.lower(), flags=re.ASCII)
    return name if name[:1].isalpha() and name.isascii() else f"m_{name}"


def _why_not_raw(bundle: Bundle) -> str | None:
    features = bundle.features
    if isinstance(features, AudioFeatures) and features.subtract_mean:
        return "features.subtract_mean needs the end of the recording; false can be exported to C"
    return why_not_raw(bundle)


def _write_front(unit: CUnit, bundle: Bundle, raw: bool, num_networks: int) -> None:
    """The functions that the user calls, and the features."""
    is_tokens = bundle.features.is_tokens
    unit.counter("num_steps")
    guard = ""
    if bundle.model.max_steps is not None:
        guard = (
            f"    if (state->num_steps >= {bundle.model.max_steps}) {{\n        return;\n    }}\n"
        )
    given = "token" if is_tokens else "step"
    kind = "int32_t token" if is_tokens else "const float *step"
    reads = "".join(
        f"    network_{number}_read(state, {given});\n" for number in range(num_networks)
    )
    unit.function(
        f"static void read_step({unit.name}_state *state, {kind})\n{{\n"
        f"{guard}{reads}    state->num_steps++;\n}}"
    )
    features = bundle.features
    start, flush = "", ""
    if raw and isinstance(features, LogMel | Waveform):
        start, flush = _write_audio(unit, features)
    elif is_tokens:
        assert isinstance(bundle.encoder, TextEncoder)
        unit.function(
            templates.READ_TOKENS.format(
                name=unit.name,
                num_tokens=bundle.num_features,
                unknown=bundle.encoder.unknown_id,
            )
        )
    elif raw and isinstance(features, Channels) and features.differences:
        width = num_channels(bundle)
        unit.field("last_row", width)
        unit.scratch("row", 2 * width)
        unit.function(templates.READ_ROWS_WITH_DIFFERENCES.format(name=unit.name, width=width))
    else:
        unit.function(templates.READ_ROWS.format(name=unit.name, width=bundle.num_features))
    unit.helper("softmax")
    num_classes = len(bundle.classes)
    if num_networks == 1:
        logits = "    network_0_logits(state, logits);"
    else:
        member = unit.scratch("member", num_classes)
        logits = templates.AVERAGE_BEGIN.format(num_classes=num_classes)
        for number in range(num_networks):
            logits += templates.AVERAGE_ONE.format(
                number=number, num_classes=num_classes, member=member, num_networks=num_networks
            )
        logits += templates.AVERAGE_END.format(num_classes=num_classes)
    unit.function(
        templates.ANSWERS.format(
            name=unit.name,
            num_classes=num_classes,
            logits=logits,
            temperature=c_number(bundle.temperature),
            start=start,
            flush=flush,
        )
    )


def _write_audio(unit: CUnit, features: LogMel | Waveform) -> tuple[str, str]:
    """The features of samples; returns what begins and what ends a recording."""
    window, before = features.window, samples_before(features)
    unit.field("samples", window)
    for name in ("num_samples", "num_frames", "next_end"):
        unit.counter(name)
    unit.scratch("step", features.num_features)
    if isinstance(features, Waveform):
        frame = templates.WAVEFORM_FRAME.format(window=window)
    else:
        frame = _log_mel_frame(unit, features)
    unit.function(
        templates.AUDIO.format(
            name=unit.name, window=window, hop=features.hop, frame=frame.rstrip("\n")
        )
    )
    start = f"    state->next_end = {window - before};\n"
    return start, templates.AUDIO_FLUSH.format(hop=features.hop)


def _log_mel_frame(unit: CUnit, features: LogMel) -> str:
    """The statements that turn the window of samples into ``state->step``."""
    size, bands = features.fft_size, features.num_bands
    window, filters = (part.astype(np.float64) for part in features.window_and_filters)
    angles = -2 * np.pi * np.arange(size // 2) / size
    unit.array("window", window)
    unit.array("cosines", np.cos(angles), unit.real)
    unit.array("sines", np.sin(angles), unit.real)
    firsts, widths, values = [], [], []
    for row in filters:
        bins = np.flatnonzero(row)
        firsts.append(int(bins[0]))
        widths.append(int(bins[-1] - bins[0] + 1))
        values.append(row[bins[0] : bins[-1] + 1])
    unit.array("band_firsts", np.array(firsts), "int16_t")
    unit.array("band_widths", np.array(widths), "int16_t")
    unit.array("band_weights", np.concatenate(values))
    for name in ("real_part", "imaginary_part"):
        unit.field(name, size, unit.real)
    unit.helper("transform")
    floor = c_number(10 ** (features.floor_db / 10), unit.real)
    is_mfcc = isinstance(features, Mfcc)
    if is_mfcc:
        unit.scratch("bands", bands)
    text = templates.LOG_MEL_FRAME.format(
        window=features.window, size=size, bands=bands, floor=floor, real=unit.real,
        target="bands" if is_mfcc else "step",
    )  # fmt: skip
    if is_mfcc:
        unit.array("dct", features.cosines.T)
        text += templates.MFCC_FRAME.format(
            num_coefficients=features.num_base_features, bands=bands, real=unit.real
        )
    return text


def _header(unit: CUnit, bundle: Bundle, raw: bool) -> str:
    features = bundle.features
    width, kind = bundle.num_features, "const float *rows"
    about = f"rows of {width} features each"
    extra = ""
    if features.is_tokens:
        width, kind, about = 1, "const int32_t *tokens", "token ids"
    elif raw and isinstance(features, AudioFeatures):
        width, kind = 1, "const float *samples"
        about = f"mono samples from -1 to 1 at {features.sample_rate} Hz"
        extra = f"#define {unit.name.upper()}_SAMPLE_RATE {features.sample_rate}\n"
    elif raw:
        width = num_channels(bundle)
        about = f"rows of {width} channels each"
    return templates.HEADER.format(
        name=unit.name,
        upper=unit.name.upper(),
        comment=_comment(bundle),
        num_classes=len(bundle.classes),
        width=width,
        extra=extra,
        fields=unit.fields,
        inputs=kind,
        about=about,
    )


def _comment(bundle: Bundle) -> str:
    name = re.sub(r"[^\w .-]", "_", bundle.name, flags=re.ASCII)
    return f"Model {name}, bundle {bundle.fingerprint}; written by seqbelt export"
