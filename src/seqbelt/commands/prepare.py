"""``seqbelt prepare``: encode sources into a sequence store."""

from typing import Literal

from seqbelt.experiment import Experiment
from seqbelt.features.encoding import encode_sources
from seqbelt.features.ray_workers import encode_on_ray
from seqbelt.workflow.outcome import DONE, QUARANTINED, Outcome
from seqbelt.workflow.prepared_data import prepare_data

EncodingEngine = Literal["local", "ray"]


def prepare(experiment: Experiment, engine: EncodingEngine = "local") -> Outcome:
    """Prepare the data, on this machine or on a Ray cluster."""
    prepared = prepare_data(experiment, encode=encode_on_ray if engine == "ray" else encode_sources)
    about = prepared.store.about
    tokens = {
        split: {
            "num_texts": counts.num_texts,
            "num_tokens": counts.num_tokens,
            **counts.fractions(),
        }
        for split, counts in prepared.store.token_counts.items()
    }
    result = {
        "store": str(prepared.store.folder),
        "num_sequences": about["num_sequences"],
        "num_quarantined": prepared.num_quarantined,
        "num_steps": about["num_steps"],
        "skipped": prepared.skipped,
        "prepare_s": round(prepared.prepare_s, 3),
        **({"tokens": tokens} if tokens else {}),
        **({"readings": about["readings"]} if "readings" in about else {}),
    }
    return Outcome(result, QUARANTINED if prepared.num_quarantined else DONE)
