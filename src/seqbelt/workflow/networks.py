"""The untrained network, with word vectors if the config has them."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from seqbelt.data.joined_views import count_steps
from seqbelt.data.sequences import Sequences
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.features.base import Encoder
from seqbelt.features.input_layout import InputLayout
from seqbelt.features.joined_inputs import JoinedEncoder
from seqbelt.features.text.encoder import TextEncoder
from seqbelt.features.text.word_vectors import AlignedVectors, WordVectors
from seqbelt.models.classifier import SequenceNetwork, build_network
from seqbelt.models.model import Model
from seqbelt.tracking.run import TrackedRun
from seqbelt.words import percent
from seqbelt.workflow.console import echo


def network_builder(
    experiment: Experiment, store: SequenceStore, train: Sequences, run: TrackedRun | None
) -> Callable[[], SequenceNetwork]:
    """A function that builds the untrained network for these training rows.

    Word vectors of the config are read here, and their coverage is reported. Raises SettingsError
    if they cannot be read, or if the features have no vocabulary.
    """
    model, aligned = experiment.model, None
    has_tokens = store.is_tokens or store.layout is not None
    encoder = experiment.features.encoder(store.learned) if has_tokens else None
    encoders = [*encoder.encoders.values()] if isinstance(encoder, JoinedEncoder) else [encoder]
    layout = store.layout and store.layout.with_medians(count_steps(train))
    if model.vectors is not None:
        vocabulary = _vocabulary(encoder)
        # Frozen settings are hashable, which pyright cannot infer.
        aligned = _align(model.vectors, vocabulary)  # pyright: ignore[reportArgumentType]
        coverage = _report_coverage(aligned, model.vectors, train)
        if run is not None:
            run.log_metrics({"train/vector_coverage": coverage})
    return _builder(model, train, encoders, layout, aligned)


def input_builder(
    experiment: Experiment, store: SequenceStore, train: Sequences, index: int
) -> Callable[[], SequenceNetwork]:
    """A function that builds the untrained network of one of several inputs alone; ``train`` are
    the training rows of the input ``index``."""
    encoder, layout = experiment.features.encoder(store.learned), store.layout
    assert isinstance(encoder, JoinedEncoder) and layout is not None
    return _builder(experiment.model, train, [encoder.encoders[layout.inputs[index].name]])


def _builder(
    model: Model,
    train: Sequences,
    encoders: Sequence[Encoder | None],
    layout: InputLayout | None = None,
    aligned: AlignedVectors | None = None,
) -> Callable[[], SequenceNetwork]:
    """``encoders`` has one for each branch of the network; None where it has no tokens."""
    rows = train.store

    def build() -> SequenceNetwork:
        network = build_network(
            model, rows.num_features, len(rows.classes), rows.is_tokens, train.lengths, layout
        )
        for branch, encoder in zip(network.branches, encoders, strict=True):
            if isinstance(encoder, TextEncoder) and encoder.parts is not None:
                branch.embed.compose(encoder.parts)
        if aligned is not None:
            network.main.embed.start_from(*aligned)
        return network

    return build


def _vocabulary(encoder: Encoder | None) -> tuple[str, ...]:
    if not isinstance(encoder, TextEncoder):
        raise SettingsError(
            "model.vectors: word vectors need texts, but these features have no vocabulary; "
            "remove the setting"
        )
    return tuple(encoder.vocabulary)


@lru_cache(maxsize=1)  # a comparison trains many models with one vocabulary
def _align(vectors: WordVectors, vocabulary: tuple[str, ...]) -> AlignedVectors:
    return vectors.align(vocabulary)


def _report_coverage(aligned: AlignedVectors, vectors: WordVectors, train: Sequences) -> float:
    """Report and return the fraction, 0..1, of the training tokens that have a vector."""
    fraction = float(aligned.is_found[train.flat()].mean())
    echo(
        f"{vectors.path}: vectors for {int(aligned.is_found.sum()):,} of "
        f"{len(aligned.is_found):,} tokens of the vocabulary, {percent(fraction)} of the "
        "training steps"
    )
    return fraction
