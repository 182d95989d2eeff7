"""``seqbelt data audit``: leaks and other faults of the prepared data."""

from rich.console import Console
from rich.table import Table

from seqbelt.data.audit import Audit
from seqbelt.experiment import Experiment
from seqbelt.workflow.data_audit import audit_data
from seqbelt.workflow.outcome import Outcome
from seqbelt.workflow.prepared_data import prepare_data

COLOURS = {"leak": "red", "warning": "yellow", "ok": "green"}


def audit(experiment: Experiment, show: bool = True) -> Outcome:
    """Prepare the data if necessary and audit it; ``show`` prints the table."""
    store = prepare_data(experiment).store
    report = audit_data(experiment, store)
    if show:
        _print_table(report)
    result = {
        "store": str(store.folder),
        "headline": report.headline,
        "findings": report.to_dict(),
        "audit_s": round(report.audit_s, 3),
    }
    return Outcome(result)


def _print_table(report: Audit) -> None:
    table = Table("severity", "check", "count", "finding")
    for finding in report.findings:
        text = "\n  ".join([finding.sentence, *finding.examples])
        table.add_row(
            finding.severity,
            finding.check,
            f"{finding.count:,}",
            text,
            style=COLOURS[finding.severity],
        )
    Console(markup=False, highlight=False).print(table)
