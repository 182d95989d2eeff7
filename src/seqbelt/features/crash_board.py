"""What encoder threads are busy with, where another process can read it when this one is gone.

A decoder is C code fed with strangers' files: it may crash the process, or never return. The board
costs a few memory writes an item, and afterwards identifies the item.
"""

import itertools
import mmap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

NUM_SLOTS = 256
"""One for each thread; more threads share."""
SLOT_ITEMS = 1024
_HEADER = 3
_SLOT_WORDS = _HEADER + SLOT_ITEMS
_BYTES = 8 * (1 + NUM_SLOTS * _SLOT_WORDS)


class Busy(NamedTuple):
    """What one thread is at: the items that it may be blamed for, and since when."""

    indices: tuple[int, ...]
    busy_s: float


class Board:
    """A few words of shared memory in a file, by its path or its number; of this process alone
    without one.

    Word 0 is the stamp of the one item that is tried alone, 0 for none. A slot holds: the time in
    nanoseconds since when it is busy, 0 for idle; the place of the item that is read, or the number
    of items where all are encoded together; the number of items; the items.
    """

    def __init__(self, shared: Path | int | None = None) -> None:
        if shared is None:
            memory = mmap.mmap(-1, _BYTES)
        else:
            with open(shared, "a+b", closefd=isinstance(shared, Path)) as file:
                # Written, not only made longer: a full disk is an error here, not a signal later.
                file.write(bytes(_BYTES - file.tell()))
                file.flush()
                memory = mmap.mmap(file.fileno(), _BYTES)
        self._words = memoryview(memory).cast("Q")
        self._own, self._numbers = threading.local(), itertools.count()

    @contextmanager
    def working_on(self, indices: Sequence[int]) -> Iterator["Slot"]:
        """Announce the items that this thread is at; ``SLOT_ITEMS`` of them at most."""
        if not hasattr(self._own, "slot"):
            first = 1 + next(self._numbers) % NUM_SLOTS * _SLOT_WORDS
            self._own.slot = Slot(self._words[first : first + _SLOT_WORDS])
        slot: Slot = self._own.slot
        slot.begin(indices)
        try:
            yield slot
        finally:
            slot.mark_idle()

    @property
    def tried(self) -> int:
        """Stamp of the item that is tried alone, 0 for none."""
        return self._words[0]

    @tried.setter
    def tried(self, stamp: int) -> None:
        self._words[0] = stamp

    def busy(self) -> list[Busy]:
        """What the threads are at, or were when their process ended."""
        slots = (1 + number * _SLOT_WORDS for number in range(NUM_SLOTS))
        slot_items = (Slot(self._words[first : first + _SLOT_WORDS]).busy() for first in slots)
        return [busy for busy in slot_items if busy is not None]

    def clear(self) -> None:
        """Forget all, before another process begins."""
        for word in range(1, len(self._words), _SLOT_WORDS):
            self._words[word] = 0
        self._words[0] = 0


class Slot:
    """The status of one encoder thread on the board."""

    def __init__(self, words: memoryview) -> None:
        self._words = words

    def begin(self, indices: Sequence[int]) -> None:
        """Record the items to be read, one by one."""
        for position, index in enumerate(indices):
            self._words[_HEADER + position] = index
        self._words[2] = len(indices)
        self.mark_busy(0)

    def mark_busy(self, position: int) -> None:
        """Record the item at ``position`` as being read; ``len(indices)`` for all together."""
        self._words[1] = position
        self._words[0] = time.monotonic_ns()

    def mark_idle(self) -> None:
        """Record that no item is being read."""
        self._words[0] = 0

    def busy(self) -> Busy | None:
        """The items being read; None if idle."""
        since, position, count = self._words[:_HEADER]
        if not since:
            return None
        items = self._words[_HEADER : _HEADER + count].tolist()
        item = tuple(items[position : position + 1] if position < count else items)
        return Busy(item, (time.monotonic_ns() - since) / 1e9)
