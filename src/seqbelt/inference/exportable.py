"""Which networks and features can be exported, and what all formats read of them."""

from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio.audio import LogMel, Waveform
from seqbelt.inference.bundle import Bundle
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.models.ensemble import Network


def why_not_stepwise(network: Network) -> str | None:
    """Why a network cannot read one step at a time, with the setting to change; None if it can."""
    for member in network.networks:
        if reason := _reason(member):
            return reason
    return None


def _reason(network: SequenceNetwork) -> str | None:
    settings = network.settings
    if settings.bidirectional:
        return (
            "model.bidirectional: true reads from the end of the sequence; train with "
            "bidirectional: false"
        )
    if settings.cropping.needs_end:
        return (
            f"model.crop: {settings.crop} depends on the end of the sequence; train with crop: "
            "head, or with crop_steps: null"
        )
    return None


def why_not_raw(bundle: Bundle) -> str | None:
    """Why the features of a bundle cannot be in the file, with the setting; None if they can."""
    features, model = bundle.features, bundle.model
    if model.cropping.needs_end:
        return f"model.crop: {model.crop} depends on the end of the sequence; head can be exported"
    if isinstance(features, Channels):
        if features.standardize != "none":
            return "features.standardize: sequence is not supported; none can be exported"
        if features.missing != "error":
            return f"features.missing: {features.missing} is not supported; error can be exported"
        if features.resample_rate not in (None, features.sample_rate):
            return "features.resample_rate is not supported; null can be exported"
        return None
    if not isinstance(features, LogMel | Waveform):
        return f"features.kind: {features.to_dict()['kind']} is not supported"
    if features.deltas:
        return "features.deltas is not supported; 0 can be exported"
    if features.trim_silence_db is not None:
        return "features.trim_silence_db is not supported; null can be exported"
    return None


def samples_before(features: LogMel | Waveform) -> int:
    """Samples of a frame that lie before the step's own."""
    if isinstance(features, Waveform):
        return features.window // 2
    return features.fft_size // 2 - (features.fft_size - features.window) // 2


def num_channels(bundle: Bundle) -> int:
    doubled = isinstance(bundle.features, Channels) and bundle.features.differences
    return bundle.num_features // (2 if doubled else 1)
