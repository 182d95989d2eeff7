"""Run the train stage: ``python pipelines/train.py …`` is ``seqbelt train …``."""

import sys

from seqbelt.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
