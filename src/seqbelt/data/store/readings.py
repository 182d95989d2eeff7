"""How items were read where that was not evident: kept beside the sequences, and counted."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from seqbelt.data.store.parts import write_json
from seqbelt.words import count_of

FILE = "readings.json"
MAX_SHOWN = 8
"""Sentences of a summary; tables of many shapes may need many."""


class Readings:
    """The remarks on each content that a folder of parts holds, by the content's hash."""

    def __init__(self, parts: Path) -> None:
        self._path = parts / FILE
        self._sentences: dict[str, int] = {}
        self._by_content: dict[str, list[int]] = {}
        self._is_changed = False
        try:
            saved = json.loads(self._path.read_text("utf-8"))
            self._sentences = {sentence: n for n, sentence in enumerate(saved["sentences"])}
            self._by_content = saved["by_content"]
        except (OSError, ValueError, KeyError):
            pass

    def add(self, content_hash: str, remarks: Sequence[str]) -> None:
        """Keep the remarks on one content."""
        if not remarks:
            return
        number = self._sentences.setdefault
        self._by_content[content_hash] = [
            number(remark, len(self._sentences)) for remark in dict.fromkeys(remarks)
        ]
        self._is_changed = True

    def save(self) -> None:
        """Write what was added."""
        if self._is_changed:
            content = {"sentences": list(self._sentences), "by_content": self._by_content}
            write_json(self._path, content)

    def count(self, hashes: Iterable[str]) -> dict[str, int]:
        """For each sentence the number of items that it is about, the most frequent first."""
        sentences = list(self._sentences)
        counts = Counter(
            n for content_hash in hashes for n in self._by_content.get(content_hash, ())
        )
        return {sentences[n]: count for n, count in counts.most_common()}


def describe_readings(counts: dict[str, int]) -> list[str]:
    """Lines for a summary: how many items were read how."""
    lines = [
        f"read: {sentence} ({count_of(count, 'item')})"
        for sentence, count in list(counts.items())[:MAX_SHOWN]
    ]
    if len(counts) > MAX_SHOWN:
        lines.append(f"read: {len(counts) - MAX_SHOWN} more such remarks")
    return lines
