"""A bundle as one C99 file and one header, which need nothing but libm and allocate nothing.

The sequence is read input by input, as ``StreamingClassifier`` reads it; all memory is in a struct
of the caller's. Sums over steps, spectra and logarithms are in the type ``NAME_REAL``, double
unless the file is compiled otherwise.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from seqbelt.errors import SettingsError
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio.audio import AudioFeatures, LogMel, Mfcc, Waveform
from seqbelt.features.text.encoder import TextEncoder
from seqbelt.inference import c_templates as templates
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.exportable import (
    num_channels,
    samples_before,
    why_not_raw,
    why_not_stepwise,
)
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.models.pooling import ATTENDING, Pooling
from seqbelt.models.recurrent import NoRecurrence, Recurrent
from seqbelt.models.stem import StemBlock

VALUES_PER_LINE = 12
_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


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
    unit = _Unit(name, int8)
    networks = bundle.network.networks
    for number, network in enumerate(networks):
        _Network(unit, network, f"network_{number}").write()
    _write_front(unit, bundle, raw, len(networks))
    return CSource(_header(unit, bundle, raw), unit.text(bundle))


def c_name(stem: str) -> str:
    """A name for C of a file's name without its ending."""
    name = re.sub(r"\W", "_", stem.lower(), flags=re.ASCII)
    return name if name[:1].isalpha() and name.isascii() else f"m_{name}"


def _why_not_raw(bundle: Bundle) -> str | None:
    features = bundle.features
    if isinstance(features, AudioFeatures) and features.subtract_mean:
        return "features.subtract_mean needs the end of the recording; false can be exported to C"
    return why_not_raw(bundle)


class _Unit:
    """A C file under construction: constants, fields of the state, functions."""

    def __init__(self, name: str, int8: bool) -> None:
        self.name, self.int8 = name, int8
        self._arrays: list[str] = []
        self._fields: list[str] = []
        self._functions: list[str] = []
        self._helpers: set[str] = set()
        self._scratch: dict[str, int] = {}

    def array(self, name: str, values: Tensor | np.ndarray, kind: str = "float") -> str:
        """Add a constant array; returns its name."""
        flat = _numpy(values).ravel()
        if not np.isfinite(flat).all():
            raise SettingsError(f"--format c: {name} holds NaN or infinite values")
        texts = [f"{value:d}" if kind == "int8_t" else _number(value, kind) for value in flat]
        lines = [
            "    " + ", ".join(texts[start : start + VALUES_PER_LINE])
            for start in range(0, len(texts), VALUES_PER_LINE)
        ]
        body = ",\n".join(lines)
        self._arrays.append(f"static const {kind} {name}[{len(flat)}] = {{\n{body}\n}};")
        return name

    def rows(self, name: str, weights: Tensor | np.ndarray) -> tuple[str, str]:
        """Add a matrix; returns the names of its values and of its rows' scales (int8 only)."""
        matrix = _numpy(weights)
        if not self.int8:
            return self.array(name, matrix), ""
        scales = np.abs(matrix).max(axis=1) / 127
        whole = np.rint(matrix / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
        return self.array(name, whole, "int8_t"), self.array(f"{name}_scales", scales)

    def product(
        self, name: str, weights: Tensor | np.ndarray, bias: Tensor | None, x: str, y: str
    ) -> str:
        """A statement: ``y`` is the matrix times ``x`` plus the bias."""
        self._helpers.add("multiply")
        values, scales = self.rows(name, weights)
        added = "NULL" if bias is None else self.array(f"{name}_bias", bias)
        num_rows, num_columns = weights.shape
        given = ", ".join(filter(None, (values, scales, added)))
        return f"multiply({given}, {x}, {num_rows}, {num_columns}, {y});"

    def field(self, name: str, size: int, kind: str = "float") -> str:
        """Add an array to the state; returns the expression for it."""
        self._fields.append(f"{kind} {name}[{size}];")
        return f"state->{name}"

    def counter(self, name: str) -> str:
        self._fields.append(f"int64_t {name};")
        return f"state->{name}"

    def scratch(self, name: str, size: int) -> str:
        """Memory that is free again after a step; returns the expression for it."""
        self._scratch[name] = max(size, self._scratch.get(name, 0))
        return f"state->{name}"

    def helper(self, name: str) -> str:
        self._helpers.add(name)
        return name

    def function(self, text: str) -> None:
        self._functions.append(text)

    @property
    def real(self) -> str:
        return f"{self.name.upper()}_REAL"

    @property
    def fields(self) -> str:
        scratch = [f"float {name}[{size}];" for name, size in self._scratch.items()]
        return "\n".join(f"    {field}" for field in [*self._fields, *scratch])

    def text(self, bundle: Bundle) -> str:
        classes = ", ".join(_string(label) for label in bundle.classes)
        helpers = [
            text.replace("REAL", self.real)
            for name, text in templates.helpers(self.int8).items()
            if name in self._helpers
        ]
        parts = [
            f"/* {_comment(bundle)} */",
            f'#include "{self.name}.h"\n\n#include <string.h>\n#include <tgmath.h>',
            f"const char *const {self.name}_classes[{len(bundle.classes)}] = {{{classes}}};",
            *self._arrays, *helpers, *self._functions,
        ]  # fmt: skip
        return "\n\n".join(parts) + "\n"


class _Network:
    """The functions of one network: read a step, and give the logits of the steps so far."""

    def __init__(self, unit: _Unit, network: SequenceNetwork, prefix: str) -> None:
        self._unit, self._network, self._prefix = unit, network, prefix
        self._lines: list[str] = []

    def write(self) -> None:
        width = self._first_step()
        step, width = self._stem("a", width)
        outputs, width = self._recur(step, width)
        self._pool(outputs, width)
        unit, prefix = self._unit, self._prefix
        kind = "int32_t token" if self._network.is_tokens else "const float *step"
        body = "\n".join(f"    {line}" for line in self._lines)
        unit.function(
            f"static void {prefix}_read({unit.name}_state *state, {kind})\n{{\n"
            f"    float *a = state->a, *b = state->b;\n{body}\n}}"
        )
        self._write_logits(outputs, width)

    def _add(self, *lines: str) -> None:
        self._lines += lines

    def _first_step(self) -> int:
        """Put the embedded or standardised step into ``a``; returns its width."""
        unit, network, prefix = self._unit, self._network, self._prefix
        if network.is_tokens:
            table = network.embed.table()
            width = table.shape[1]
            values, scales = unit.rows(f"{prefix}_embedding", table)
            scale = f" * {scales}[token]" if scales else ""
            self._add(f"const size_t place = (size_t)token * {width};",
                      *_loop(width, f"a[i] = {values}[place + i]{scale};"))  # fmt: skip
        else:
            normalize = network.normalize
            size, width = len(normalize.mean), normalize.output_size
            mean = unit.array(f"{prefix}_mean", normalize.mean)
            std = unit.array(f"{prefix}_std", normalize.std)
            self._add(*_loop(size, f"a[i] = (step[i] - {mean}[i]) / {std}[i];"))
            if normalize.differences:
                last = unit.field(f"{prefix}_last_step", size)
                scale = unit.array(f"{prefix}_difference_scale", normalize.difference_scale)
                self._add(*_loop(
                    size,
                    f"const float before = state->num_steps ? {last}[i] : step[i];",
                    f"a[{size} + i] = (step[i] - before) / {scale}[i];",
                    f"{last}[i] = step[i];",
                ))  # fmt: skip
        self._reserve(width)
        return width

    def _reserve(self, width: int) -> None:
        for name in ("a", "b"):
            self._unit.scratch(name, width)

    def _stem(self, step: str, width: int) -> tuple[str, int]:
        unit, stem = self._unit, self._network.stem
        blocks: Sequence[nn.Module] = [] if stem is None else list(stem.blocks)
        is_strided = any(isinstance(block, StemBlock) and block.stride > 1 for block in blocks)
        if is_strided:
            self._add("int64_t number = state->num_steps;")
        for number, block in enumerate(blocks):
            assert isinstance(block, StemBlock)
            convolution, normalize = block.convolution, block.normalize
            name, size = f"{self._prefix}_block_{number}", convolution.kernel_size[0]
            window = step
            if size > 1:
                window = unit.field(f"{name}_window", size * width)
                kept = (size - 1) * width
                self._add(
                    f"memmove({window}, {window} + {width}, {kept} * sizeof(float));",
                    f"memcpy({window} + {kept}, {step}, {width} * sizeof(float));",
                )
            if block.stride > 1:
                self._add(f"if (number % {block.stride}) {{", "    return;", "}")
                if any(later.stride > 1 for later in blocks[number + 1 :]):  # pyright: ignore
                    self._add(f"number /= {block.stride};")
            outputs = {"a": "b", "b": "a"}[step]
            weights = _numpy(convolution.weight).transpose(0, 2, 1)
            num_outputs = len(weights)
            self._reserve(num_outputs)
            gain = unit.array(f"{name}_gain", normalize.weight)
            shift = unit.array(f"{name}_shift", normalize.bias)
            self._add(
                unit.product(
                    name, weights.reshape(num_outputs, -1), convolution.bias, window, outputs
                ),
                f"{unit.helper('normalize')}({outputs}, {gain}, {shift}, {num_outputs}, "
                f"{_number(normalize.eps, unit.real)}, {step if block.is_residual else 'NULL'});",
            )
            step, width = outputs, num_outputs
        return step, width

    def _recur(self, step: str, width: int) -> tuple[str, int]:
        """Returns the expression for the outputs of the last layer, and their width."""
        unit, recurrent = self._unit, self._network.recurrent
        if isinstance(recurrent, NoRecurrence):
            hidden = unit.field(f"{self._prefix}_hidden_0", width)
            self._add(f"memcpy({hidden}, {step}, {width} * sizeof(float));")
            return hidden, width
        assert isinstance(recurrent, Recurrent)
        weights, size = recurrent.weights, recurrent.weights.hidden_size
        num_values = _GATES[recurrent.cell] * size
        x, h = unit.scratch("from_input", num_values), unit.scratch("from_hidden", num_values)
        for layer in range(weights.num_layers):
            name = f"{self._prefix}_layer_{layer}"
            hidden = unit.field(f"{self._prefix}_hidden_{layer}", size)
            parts = {
                part: getattr(weights, f"{part}_l{layer}")
                for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
            self._add(
                unit.product(f"{name}_input", parts["weight_ih"], parts["bias_ih"], step, x),
                unit.product(f"{name}_hidden", parts["weight_hh"], parts["bias_hh"], hidden, h),
            )
            call = recurrent.cell
            memory = [hidden]
            if recurrent.cell == "lstm":
                memory.append(unit.field(f"{self._prefix}_cell_{layer}", size))
            if recurrent.cell == "rnn":
                call = f"rnn_{weights.nonlinearity}"
            else:
                unit.helper("sigmoid")
            self._add(f"{unit.helper(call)}({x}, {h}, {size}, {', '.join(memory)});")
            step = hidden
        return step, size

    def _pool(self, outputs: str, width: int) -> None:
        """Add the outputs of a step to the running pooling."""
        unit, pool, prefix = self._unit, self._network.pool, self._prefix
        if pool.name in ("last", "none"):
            return
        count = unit.counter(f"{prefix}_num_outputs")
        if pool.name != "max":
            total = unit.field(f"{prefix}_total", width, unit.real)
            self._add(f"{unit.real} share = 1;")
            if pool.name in ATTENDING:
                self._attend(pool, outputs, width, total, count)
            self._add(*_loop(width, f"{total}[i] += share * {outputs}[i];"))
            self._add(f"state->{prefix}_weight[0] += share;")
            unit.field(f"{prefix}_weight", 1, unit.real)
        if pool.name in ("max", "concat", "attention_max"):
            highest = unit.field(f"{prefix}_highest", width)
            self._add(*_loop(
                width,
                f"if ({count} == 0 || {outputs}[i] > {highest}[i]) {{",
                f"    {highest}[i] = {outputs}[i];",
                "}",
            ))  # fmt: skip
        self._add(f"{count}++;")

    def _attend(self, pool: Pooling, outputs: str, width: int, total: str, count: str) -> None:
        unit, prefix = self._unit, self._prefix
        num_hidden = pool.project.out_features
        self._reserve(num_hidden)
        peak, weight = unit.field(f"{prefix}_peak", 1, unit.real), f"state->{prefix}_weight"
        self._add(
            unit.product(f"{prefix}_attend", pool.project.weight, pool.project.bias, outputs, "a"),
            *_loop(num_hidden, "a[i] = tanh(a[i]);"),
            unit.product(f"{prefix}_score", pool.score.weight, None, "a", "b"),
            f"if ({count} == 0 || b[0] > {peak}[0]) {{",
            f"    const {unit.real} scale = {count} ? exp({peak}[0] - b[0]) : 0;",
            *(f"    {line}" for line in _loop(width, f"{total}[i] *= scale;")),
            f"    {weight}[0] *= scale;",
            f"    {peak}[0] = b[0];",
            "}",
            f"share = exp(b[0] - {peak}[0]);",
        )

    def _write_logits(self, outputs: str, width: int) -> None:
        unit, network, prefix = self._unit, self._network, self._prefix
        name = network.pool.name
        parts = [outputs] if name in ("last", "none", "concat") else []
        if name in ("mean", "concat", *ATTENDING):
            parts.append("mean")
        if name in ("max", "concat", "attention_max"):
            parts.append(f"state->{prefix}_highest")
        self._reserve(width * len(parts))
        lines = []
        for number, part in enumerate(parts):
            value = f"{part}[i]"
            if part == "mean":
                value = f"(float)(state->{prefix}_total[i] / state->{prefix}_weight[0])"
            lines += _loop(width, f"pooled[{number * width} + i] = {value};")
        lines.append(
            unit.product(
                f"{prefix}_classify", network.classify.weight, network.classify.bias,
                "pooled", "logits",
            )
        )  # fmt: skip
        body = "\n".join(f"    {line}" for line in lines)
        unit.function(
            f"static void {prefix}_logits({unit.name}_state *state, float *logits)\n{{\n"
            f"    float *pooled = state->a;\n{body}\n}}"
        )


def _write_front(unit: _Unit, bundle: Bundle, raw: bool, num_networks: int) -> None:
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
            temperature=_number(bundle.temperature),
            start=start,
            flush=flush,
        )
    )


def _write_audio(unit: _Unit, features: LogMel | Waveform) -> tuple[str, str]:
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


def _log_mel_frame(unit: _Unit, features: LogMel) -> str:
    """The statements that turn the window of samples into ``state->step``."""
    size, bands = features.fft_size, features.num_bands
    window, filters = (_numpy(part).astype(np.float64) for part in features.window_and_filters)
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
    floor = _number(10 ** (features.floor_db / 10), unit.real)
    is_mfcc = isinstance(features, Mfcc)
    if is_mfcc:
        unit.scratch("bands", bands)
    text = templates.LOG_MEL_FRAME.format(
        window=features.window, size=size, bands=bands, floor=floor, real=unit.real,
        target="bands" if is_mfcc else "step",
    )  # fmt: skip
    if is_mfcc:
        unit.array("dct", features.cosines.numpy().T)
        text += templates.MFCC_FRAME.format(
            num_coefficients=features.num_base_features, bands=bands, real=unit.real
        )
    return text


def _header(unit: _Unit, bundle: Bundle, raw: bool) -> str:
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


def _loop(count: int, *lines: str) -> list[str]:
    return [f"for (size_t i = 0; i < {count}; i++) {{", *(f"    {line}" for line in lines), "}"]


def _number(value: float, kind: str = "float") -> str:
    if kind.startswith("int"):
        return f"{int(value)}"
    digits, suffix = (9, "f") if kind == "float" else (17, "")
    text = f"{float(value):.{digits}g}"
    return (text if re.search(r"[.e]", text) else f"{text}.0") + suffix


def _numpy(values: Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values


def _string(text: str) -> str:
    """A C string of UTF-8; octal escapes end after three digits, unlike hexadecimal ones."""
    plain = re.compile(r"[ !#-\[\]-~]")
    escaped = "".join(
        chr(byte) if plain.match(chr(byte)) and chr(byte) != "?" else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{escaped}"'
