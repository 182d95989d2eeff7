"""What an audit found, for a page, a terminal and a program."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["ok", "warning", "leak"]
SEVERITIES: tuple[Severity, ...] = ("ok", "warning", "leak")
"""From harmless to what makes a test score say less than it seems to."""
MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    severity: Severity
    count: int
    """Rows (or groups, classes, contents: the sentence says) that are concerned."""
    sentence: str
    examples: tuple[str, ...] = ()
    """Up to five of them, by their ids."""


@dataclass(frozen=True)
class Audit:
    """All checks of one prepared data set, the gravest first."""

    findings: tuple[Finding, ...]
    audit_s: float

    @classmethod
    def of(cls, findings: Iterable[Finding], audit_s: float) -> "Audit":
        """Put the findings in order."""
        order = sorted(findings, key=lambda one: -SEVERITIES.index(one.severity))
        return cls(tuple(order), audit_s)

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that are not ok."""
        return tuple(one for one in self.findings if one.severity != "ok")

    @property
    def headline(self) -> str:
        """Counts by severity, as a tag: ``1 leak, 2 warnings``, or ``ok``."""
        counts = [(word, sum(one.severity == word for one in self.findings))
                  for word in ("leak", "warning")]  # fmt: skip
        return ", ".join(f"{n} {word}{'s' * (n > 1)}" for word, n in counts if n) or "ok"

    def markdown(self) -> str:
        """The table in Markdown, with examples below."""
        lines = ["| severity | check | count | finding |", "|---|---|---|---|"]
        for one in self.findings:
            lines.append(
                f"| {one.severity} | {one.check} | {one.count:,} | {_cell(one.sentence)} |"
            )
        for one in self.findings:
            if one.examples:
                lines += ["", f"{one.check}, for example:", ""]
                lines += [f"- {_cell(example)}" for example in one.examples]
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: each finding under the name of its check."""
        return {one.check: {k: v for k, v in asdict(one).items() if k != "check"}
                for one in self.findings}  # fmt: skip


def _cell(text: str) -> str:
    """A text that cannot break a table's row."""
    return " ".join(text.replace("|", "\\|").split())
