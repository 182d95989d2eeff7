"""Tables of known values in every way of writing: read back equal, or refused by the right line?

    python benchmarks/random_tables.py --num 20000

Each table is written and read as the property test does it
(tests/features/arrays/table_dialects.py); the seed of a table that is read otherwise than it was
meant is printed.
"""

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from features.arrays.table_dialects import judge, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=20_000)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    began, counts, odd = time.perf_counter(), Counter(), []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.num):
        table = write_table(random.Random(seed))
        verdict = judge(table)
        counts[verdict.word] += 1
        if verdict.word not in ("equal", "refused"):
            odd.append((seed, verdict))
            if len(odd) <= 20:
                print(f"seed {seed}: {verdict.word}: {verdict.why}\n{table.describe()}\n")
    seconds = time.perf_counter() - began
    total = ", ".join(f"{count:,} {word}" for word, count in counts.most_common())
    print(f"{arguments.num:,} tables in {seconds:.0f} s: {total}")
    print(f"silently different: {counts['silently different']}")
    print(f"refused by a wrong line: {counts['refused by a wrong line']}")
    sys.exit(1 if odd else 0)


if __name__ == "__main__":
    main()
