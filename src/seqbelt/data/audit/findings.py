"""The findings of an audit, for MLflow's page, the terminal and JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from seqbelt.markdown import cell_text, markdown_table
from seqbelt.texts import join, text

Severity = Literal["ok", "warning", "leak"]
SEVERITIES: tuple[Severity, ...] = ("ok", "warning", "leak")
"""By increasing severity."""
MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    severity: Severity
    count: int
    """Number of affected rows, groups, classes or contents."""
    sentence: str
    examples: tuple[str, ...] = ()
    """Ids of up to five of them."""


@dataclass(frozen=True)
class Audit:
    """All checks of one prepared data set, the most severe first."""

    findings: tuple[Finding, ...]
    audit_s: float

    @classmethod
    def of(cls, findings: Iterable[Finding], audit_s: float) -> "Audit":
        """An audit with the findings sorted by severity."""
        order = sorted(findings, key=lambda finding: -SEVERITIES.index(finding.severity))
        return cls(tuple(order), audit_s)

    def with_finding(self, finding: Finding) -> "Audit":
        """The audit with a finding added; it replaces one of the same check."""
        others = (other for other in self.findings if other.check != finding.check)
        return Audit.of([*others, finding], self.audit_s)

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that are not ok."""
        return tuple(finding for finding in self.findings if finding.severity != "ok")

    @property
    def leaks(self) -> tuple[str, ...]:
        """The sentences of the findings that make test scores too high."""
        return tuple(finding.sentence for finding in self.findings if finding.severity == "leak")

    @property
    def headline(self) -> str:
        """Counts by severity, as a tag: ``1 leak, 2 warnings``, or ``ok``."""
        counts = [(word, sum(finding.severity == word for finding in self.findings))
                  for word in ("leak", "warning")]  # fmt: skip
        return ", ".join(f"{n} {word}{'s' * (n > 1)}" for word, n in counts if n) or "ok"

    def markdown(self) -> str:
        """The table in Markdown, with examples below."""
        rows = [
            (finding.severity, finding.check, f"{finding.count:,}", finding.sentence)
            for finding in self.findings
        ]
        lines = [markdown_table(("severity", "check", "count", "finding"), rows)]
        for finding in self.findings:
            if finding.examples:
                lines += ["", f"{finding.check}, for example:", ""]
                lines += [f"- {cell_text(example)}" for example in finding.examples]
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable values: each finding by the name of its check."""
        return {finding.check: {k: v for k, v in asdict(finding).items() if k != "check"}
                for finding in self.findings}  # fmt: skip


def leak_sentence(leaks: Sequence[str]) -> str:
    """That test scores are too high, and why; empty without leaks."""
    return text("leak", leaks=join(leaks, "; ")) if leaks else ""
