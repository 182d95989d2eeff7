"""Compare an exported file with its network, for ``export`` and ``certify``."""

from importlib.util import find_spec

import numpy as np
from torch import Tensor, nn

from seqbelt.checks import export_parity
from seqbelt.checks.export_parity import ExportCertificate
from seqbelt.data.batches import pad
from seqbelt.data.joined_views import count_steps, map_inputs
from seqbelt.data.sequences import Sequences
from seqbelt.features.arrays.array_encoder import ArrayEncoder, Steps
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.input_layout import InputLayout
from seqbelt.features.joined_inputs import JoinedEncoder
from seqbelt.features.manifest_columns import Column
from seqbelt.inference.bundle import Bundle

EXTRA = ("onnx", "onnxruntime")


def certify_bundle(bundle: Bundle, sequences: Sequences) -> ExportCertificate | None:
    """The certificate of a bundle's export on real sequences; None without the extra, or if the
    model labels every step, which cannot be exported."""
    if missing_packages() or bundle.model.labels_steps:
        return None
    from seqbelt.inference.onnx_export import export_bytes, run_file

    cases = make_cases(bundle, sequences)
    exported = run_file(bundle, export_bytes(bundle))
    return export_parity.certify_export(bundle.network, exported, cases, bundle.target)


def missing_packages() -> list[str]:
    """The packages of the extra ``onnx`` that are not installed."""
    return [name for name in EXTRA if find_spec(name) is None]


def draw_sequences(
    bundle: Bundle, sequences: Sequences | None
) -> tuple[export_parity.Draw, int, int]:
    """A function that returns items of a number of steps, and a median and a largest number."""
    if bundle.layout is not None and sequences is None:
        return _draw_generated_items(bundle, bundle.layout)
    if bundle.layout is not None and sequences is not None:
        return _draw_items_from(sequences, bundle.layout)
    if sequences is None:
        return export_parity.draw_generated(bundle.network, bundle.model.max_steps)
    return export_parity.draw_from(sequences)


def _draw_generated_items(
    bundle: Bundle, layout: InputLayout
) -> tuple[export_parity.Draw, int, int]:
    """Of several inputs: as of one input, with one or all of them missing in turn, and columns."""
    (network, *_), number_of_inputs = bundle.network.networks, len(layout.inputs)
    draws = [export_parity.draw_generated(branch, None)[0] for branch in network.branches]
    assert isinstance(bundle.encoder, JoinedEncoder)
    columns = bundle.encoder.columns

    def draw(num_steps: int, number: int) -> np.ndarray:
        missing = number % (number_of_inputs + 2) - 1
        is_missing = [missing in (index, number_of_inputs) for index in range(number_of_inputs)]
        if not columns and all(is_missing):
            is_missing[0] = False  # an item without anything is not predicted
        parts = [
            None if is_missing[index] else draw_input(max(1, num_steps // (index + 1)), number)
            for index, draw_input in enumerate(draws)
        ]
        random = np.random.default_rng((num_steps, number))
        cells = [np.zeros(0, np.float32), *(_draw_cells(column, random) for column in columns)]
        return layout.pack(parts, np.concatenate(cells))

    return draw, export_parity.TYPICAL_STEPS, export_parity.MOST_STEPS


def _draw_cells(column: Column, random: np.random.Generator) -> np.ndarray:
    if column.kind == "category" or random.random() < 0.2:
        index = random.integers(column.width) if column.kind == "category" else 1
        return np.eye(column.width, dtype=np.float32)[index]
    return np.array([random.normal(), 0], np.float32)


def _draw_items_from(
    sequences: Sequences, layout: InputLayout
) -> tuple[export_parity.Draw, int, int]:
    """Of several inputs: real items, each input cut to so many steps."""
    longest = count_steps(sequences).max(axis=1)

    def draw(num_steps: int, number: int) -> np.ndarray:
        fitting = np.flatnonzero(longest >= num_steps)
        item = sequences[int(fitting[number % len(fitting)])]
        return map_inputs(layout, item, lambda sequence: sequence[:num_steps])

    return draw, int(np.sort(longest)[len(longest) // 2]), int(longest.max())


def make_cases(bundle: Bundle, sequences: Sequences | None) -> list[export_parity.Case]:
    return list(export_parity.make_cases(*draw_sequences(bundle, sequences)))


class RawNetwork(nn.Module):
    """A bundle's features and network as one module, the reference of a file with features."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.network, self._encoder = bundle.network, bundle.encoder
        self._max_steps = bundle.model.max_steps
        features = bundle.features
        self._sample_rate = features.sample_rate if isinstance(features, AudioFeatures) else None

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits ``(batch, classes)`` of padded samples ``(batch, samples, 1)`` or rows ``(batch,
        rows, channels)``."""
        rows = [row[:length].numpy() for row, length in zip(inputs, lengths.tolist(), strict=True)]
        if self._sample_rate is not None:
            encoded = self._encoder.encode([Audio(row[:, 0], self._sample_rate) for row in rows])
        else:
            encoded = self._encoder.encode([Steps(row) for row in rows])
        return self.network(*pad([steps[: self._max_steps] for steps in encoded]))


def draw_signals(bundle: Bundle) -> tuple[export_parity.Draw, int, int]:
    """A function that returns generated samples or rows, and a median and a largest length."""
    features = bundle.features
    if isinstance(features, AudioFeatures):
        rate = features.sample_rate

        def draw_sound(num_samples: int, number: int) -> np.ndarray:
            """A tone that fades in noise, from loud to nearly silent."""
            random = np.random.default_rng((num_samples, number))
            times = np.arange(num_samples) / rate
            tone = np.sin(2 * np.pi * random.uniform(0.01, 0.4) * rate * times)
            level = 0.3 * np.exp(-3 * times * random.uniform(0, 2))
            noise = 10 ** random.uniform(-4, -1) * random.standard_normal(num_samples)
            return (level * tone + noise).astype(np.float32)[:, None]

        return draw_sound, rate, 3 * rate
    normalize = bundle.network.main.normalize
    mean, std = (p.numpy() for p in (normalize.mean, normalize.std))
    assert isinstance(bundle.encoder, ArrayEncoder)
    width = bundle.encoder.step_shape[0]

    def draw_rows(num_rows: int, number: int) -> np.ndarray:
        random = np.random.default_rng((num_rows, number))
        return (mean + std * random.normal(size=(num_rows, len(mean))))[:, :width].astype(
            np.float32
        )

    return draw_rows, export_parity.TYPICAL_STEPS, export_parity.MOST_STEPS
