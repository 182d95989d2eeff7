"""Write docs/reference/cases.md, what Seqbelt reads and refuses, from the corpus in tests/faults.

python docs/generate_cases.py
"""

import sys
from itertools import groupby
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from faults.cases import CASES, Case  # noqa: E402

PAGE = DOCS / "reference" / "cases.md"
HEAD = """# What Seqbelt reads, and what it refuses: cases

Each input with what comes of it: the values or the classes with their counts, and what is printed
beside them; or the words of the refusal. `⏎` ends a line, `→` is a tab. Every case is a test; this
page is made of them by `python docs/generate_cases.py`. The rules are in
[What Seqbelt reads](../how-to/what-is-read.md).
"""


def page() -> str:
    """The page as it must be."""
    sections = [HEAD]
    for kind, cases in groupby(CASES, key=lambda case: case.kind):
        rows = "".join(f"| {' | '.join(_cells(case))} |\n" for case in cases)
        sections.append(
            f"## {kind}\n\n| input | comes | printed or refused |\n|---|---|---|\n{rows}"
        )
    return "\n".join(sections)


def _cells(case: Case) -> list[str]:
    shown = _code(case.shown)
    if case.settings:
        shown += " with " + ", ".join(map(_code, case.settings))
    comes = "**refused**"
    if case.values is not None:
        comes = _code(str(case.values))
    elif case.classes is not None:
        comes = ", ".join(f"{_code(name)} {count}" for name, count in case.classes.items())
    if case.refused_row:
        comes += "; one row refused"
    return [shown, comes, _code(case.message) if case.message else ""]


def _code(text: str) -> str:
    """Text as a code span in a cell of a table."""
    text = text.rstrip("\n").replace("\n", "⏎").replace("\t", "→").replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
