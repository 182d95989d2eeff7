"""Run the predict stage: ``python pipelines/predict.py …`` is ``seqbelt predict …``."""

import sys

from seqbelt.cli import main

if __name__ == "__main__":
    main(["predict", *sys.argv[1:]])
