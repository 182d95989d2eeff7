"""``seqbelt demo``: prepare, compare and predict on generated data, offline."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from seqbelt.commands.compare import compare
from seqbelt.comparison.variants import label
from seqbelt.data.generated.demo_data import DemoData
from seqbelt.experiment import Experiment
from seqbelt.models.fused.library import start_build
from seqbelt.words import percent
from seqbelt.workflow.console import echo
from seqbelt.workflow.outcome import Outcome
from seqbelt.workflow.prediction_run import predict
from seqbelt.yaml_reading import read_yaml

CONFIGS = Path(__file__).parent / "demo_configs"


def demo(folder: Path) -> Outcome:
    """Generate data, prepare, compare, register and predict, and print the verdicts."""
    results: dict[str, Any] = {}
    start_build()  # beside the first data
    for config in sorted(CONFIGS.glob("*.yaml")):
        kind = config.stem
        echo(f"\n{kind}: generating data in {folder / kind}")
        source = DemoData(kind=kind).write(folder / kind)  # type: ignore[arg-type]
        values = read_yaml(config)
        values["data"] = {**values.get("data", {}), "source": str(source)}
        experiment = Experiment.parse(values, origin=str(config))
        result = compare(experiment).result
        echo(result["verdict"])
        inputs = source if source.is_file() else source / "test"
        output = experiment.output / experiment.name / "predictions.csv"
        predicted = predict(f"models:/{experiment.name}@champion", [str(inputs)], output)
        results[kind] = {**result, "predictions": predicted}
    _print_table(results)
    return Outcome(results)


def _print_table(results: dict[str, Any]) -> None:
    table = Table("data", "cell", "test accuracy", "interval", "verdict")
    for kind, result in results.items():
        for number, (cell, scores) in enumerate(result["cells"].items()):
            accuracy = scores["test_accuracy"]
            table.add_row(
                kind if number == 0 else "",
                label(cell),
                percent(accuracy["mean"]),
                f"{100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f}",
                result["verdict"].partition(":")[0] if number == 0 else "",
            )
    Console(stderr=True).print(table)
    for kind, result in results.items():
        echo(f"{kind}: predictions in {result['predictions']['output']}")
    echo("\nTo see the runs, start 'seqbelt ui' and open the address that it prints")
