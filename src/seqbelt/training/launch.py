"""Rank and world size of this process, from the environment that ``torchrun`` sets."""

import os


def is_single_process() -> bool:
    """Whether the training runs in one process (``WORLD_SIZE`` is 1 or not set)."""
    return int(os.environ.get("WORLD_SIZE", 1)) == 1


def is_main_process() -> bool:
    """Whether this is rank 0, the process that writes files and logs; true outside ``torchrun``."""
    return int(os.environ.get("RANK", 0)) == 0
