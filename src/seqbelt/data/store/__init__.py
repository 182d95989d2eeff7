"""Prepared sequences on disk."""

from seqbelt.data.store.store import SequenceStore

__all__ = ["SequenceStore"]
