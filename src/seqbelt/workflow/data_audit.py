"""Audit prepared data, before a run or for a report."""

from pathlib import Path

from seqbelt.data.audit import Audit, audit_store
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import BadInput
from seqbelt.experiment import Experiment
from seqbelt.features.base import read_bytes
from seqbelt.features.encoding import hash_content
from seqbelt.workflow.console import echo
from seqbelt.workflow.wrong_labels import find_wrong_labels


def audit_data(experiment: Experiment, store: SequenceStore) -> Audit:
    """Audit a prepared store, with its texts if the sequences are token ids, and with the labels
    that a comparison's held-out predictions contradict if there has been one."""
    texts = _texts(experiment, store) if store.is_tokens else None
    audit = audit_store(store, texts, experiment.features)
    wrong = find_wrong_labels(experiment, store)
    return audit if wrong is None else audit.with_finding(wrong.finding())


def audit_first(experiment: Experiment, store: SequenceStore) -> Audit:
    """Audit before training: one line on standard error for each finding that is not ok."""
    audit = audit_data(experiment, store)
    for finding in audit.problems:
        echo(f"audit, {finding.severity}: {finding.check}: {finding.sentence}")
    return audit


def _texts(experiment: Experiment, store: SequenceStore) -> list[str]:
    """The text of each row of the store."""
    texts = {}
    for source in experiment.data.list_items(experiment.features).sources():
        try:
            content = read_bytes(source) if isinstance(source, Path) else source
            text = content if isinstance(content, str) else experiment.features.read(content)
            texts[hash_content(content)] = text
        except BadInput:  # not in the store either
            continue
    return [texts.get(key, "") for key in store.index["content_hash"].to_pylist()]
