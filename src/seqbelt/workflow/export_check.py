"""Compare an exported file with its network, for ``export`` and ``certify``."""

from importlib.util import find_spec

from seqbelt.checks import export_parity
from seqbelt.checks.export_parity import ExportCertificate
from seqbelt.data.sequences import Sequences
from seqbelt.inference.bundle import Bundle

EXTRA = ("onnx", "onnxruntime")


def certify_bundle(bundle: Bundle, sequences: Sequences) -> ExportCertificate | None:
    """The certificate of a bundle's export on real sequences; None without the extra, or if the
    model labels every step, which cannot be exported."""
    if missing_packages() or bundle.network.labels_steps:
        return None
    from seqbelt.inference.onnx_export import OnnxNetwork, export_bytes

    cases = make_cases(bundle, sequences)
    return export_parity.certify_export(bundle.network, OnnxNetwork(export_bytes(bundle)), cases)


def missing_packages() -> list[str]:
    """The packages of the extra ``onnx`` that are not installed."""
    return [name for name in EXTRA if find_spec(name) is None]


def draw_sequences(
    bundle: Bundle, sequences: Sequences | None
) -> tuple[export_parity.Draw, int, int]:
    if sequences is None:
        return export_parity.draw_generated(bundle.network, bundle.model.max_steps)
    return export_parity.draw_from(sequences)


def make_cases(bundle: Bundle, sequences: Sequences | None) -> list[export_parity.Case]:
    return list(export_parity.make_cases(*draw_sequences(bundle, sequences)))
