"""How this process was started: alone, or as one of several by ``torchrun`` and its kind."""

import os


def is_alone() -> bool:
    """Whether this is the only process of a training."""
    return int(os.environ.get("WORLD_SIZE", 1)) == 1


def is_first() -> bool:
    """Whether this process is the one that speaks: writes files and runs. Alone, it is."""
    return int(os.environ.get("RANK", 0)) == 0
