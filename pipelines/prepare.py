"""Run the prepare stage: ``python pipelines/prepare.py …`` is ``seqbelt prepare …``."""

import sys

from seqbelt.cli import main

if __name__ == "__main__":
    main(["prepare", *sys.argv[1:]])
