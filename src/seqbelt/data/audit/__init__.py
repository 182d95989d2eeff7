"""Leaks between the parts of a prepared data set, and faults of its rows."""

import time
from collections.abc import Sequence

from seqbelt.data.audit.balance import (
    check_balance,
    check_classes,
    check_label_rows,
    check_lengths,
    check_quarantine,
    check_short,
    check_steps,
)
from seqbelt.data.audit.columns import check_channels, check_columns
from seqbelt.data.audit.duplicates import (
    check_duplicates,
    check_groups,
    check_labels,
    check_near_duplicates,
)
from seqbelt.data.audit.findings import Audit, Finding, leak_sentence
from seqbelt.data.audit.rows import Rows
from seqbelt.data.audit.signals import check_constant, similar_signals
from seqbelt.data.audit.texts import similar_texts
from seqbelt.data.joined_views import InputView
from seqbelt.data.store.store import SequenceStore
from seqbelt.features.base import Features
from seqbelt.features.joined_inputs import SeveralInputs
from seqbelt.texts import text

__all__ = ["Audit", "Finding", "audit_index", "audit_store", "leak_sentence"]


def audit_store(
    store: SequenceStore, texts: Sequence[str] | None = None, features: Features | None = None
) -> Audit:
    """Check a store for leaks and other faults that make test scores misleading.

    ``texts`` are those of the rows, in the store's order, if its sequences are token ids; without
    them token sequences are not checked for near-duplicates. ``features`` made the sequences: with
    them copies of sounds and clips are found that were encoded again, cropped or mirrored.
    """
    began = time.perf_counter()
    rows = Rows(store)
    findings = [check_duplicates(rows), *_look_closer(rows, texts, features), check_groups(rows)]
    if store.target.name == "per_sequence":
        findings += [check_labels(rows), check_classes(rows), check_balance(rows)]
        findings.append(check_lengths(rows))
    elif store.target.is_several:
        findings.append(check_label_rows(rows))
    else:
        findings.append(check_steps(rows))
    if store.layout is not None and store.layout.columns:
        findings.append(check_columns(rows))
    elif store.layout is None and not store.is_tokens and not store.target.labels_steps:
        findings.append(check_channels(rows, features))
    findings += [check_short(rows), check_quarantine(rows)]
    return Audit.of(findings, time.perf_counter() - began)


def audit_index(store: SequenceStore) -> Audit:
    """The checks for leaks that read no sequence, and so take no time: equal content and groups on
    both sides."""
    began = time.perf_counter()
    rows = Rows(store)
    return Audit.of([check_duplicates(rows), check_groups(rows)], time.perf_counter() - began)


def _look_closer(
    rows: Rows, texts: Sequence[str] | None, features: Features | None
) -> list[Finding]:
    """The checks that read the sequences; of several inputs, the first of numbers."""
    if (layout := rows.store.layout) is not None:
        if layout.has_only_tokens:
            return [Finding("near-duplicates", "ok", 0, "not checked: items have several inputs")]
        index = next(index for index, size in enumerate(layout.inputs) if not size.is_tokens)
        own = [*features.inputs.values()][index] if isinstance(features, SeveralInputs) else None
        find, constant = similar_signals(InputView(rows.store, layout, index), own)
        kind = text("near_input", name=layout.inputs[index].name)
        near = check_near_duplicates(rows, find, kind, "leak")
        return [near, check_constant(rows, constant)]
    if not rows.store.is_tokens:
        find, constant = similar_signals(rows.store, features)
        near = check_near_duplicates(rows, find, text("near_sequence"), "leak")
        return [near, check_constant(rows, constant)]
    if texts is None:
        return [Finding("near-duplicates", "ok", 0, "not checked: the texts are not available")]
    # A warning, since similar texts may be different entries of the same form.
    return [check_near_duplicates(rows, similar_texts(texts), text("near_text"), "warning")]
