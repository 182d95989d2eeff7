"""``python -m seqbelt``."""

from seqbelt.cli import main

if __name__ == "__main__":
    main()
