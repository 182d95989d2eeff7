"""``seqbelt data audit``: leaks and faults of the prepared data."""

from rich.console import Console
from rich.table import Table

from seqbelt.data.audit import Audit
from seqbelt.experiment import Experiment
from seqbelt.workflow.data_audit import audit_data
from seqbelt.workflow.outcome import Outcome
from seqbelt.workflow.prepared_data import prepare_data

COLOURS = {"leak": "red", "warning": "yellow", "ok": "green"}


def audit(experiment: Experiment, show: bool = True) -> Outcome:
    """Prepare if need be, audit, report; ``show`` prints the table."""
    store = prepare_data(experiment).store
    found = audit_data(experiment, store)
    if show:
        _print_table(found)
    result = {
        "store": str(store.folder),
        "headline": found.headline,
        "findings": found.to_dict(),
        "audit_s": round(found.audit_s, 3),
    }
    return Outcome(result)


def _print_table(found: Audit) -> None:
    table = Table("severity", "check", "count", "finding")
    for one in found.findings:
        said = "\n  ".join([one.sentence, *one.examples])
        table.add_row(one.severity, one.check, f"{one.count:,}", said, style=COLOURS[one.severity])
    Console(markup=False, highlight=False).print(table)
