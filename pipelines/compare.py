"""Run the compare stage: ``python pipelines/compare.py …`` is ``seqbelt compare …``."""

import sys

from seqbelt.cli import main

if __name__ == "__main__":
    main(["compare", *sys.argv[1:]])
