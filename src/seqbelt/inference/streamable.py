"""Which networks can be exported as a step with a state."""

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
    if settings.max_steps is not None and settings.crop not in ("head", "random"):
        return (
            f"model.crop: {settings.crop} depends on the end of the sequence; train with crop: "
            "head, or with crop_steps: null"
        )
    return None
