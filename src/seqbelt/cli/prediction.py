"""Commands that predict files, folders and live signals."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from seqbelt.cli.arguments import AsJson, ModelName, local_path
from seqbelt.cli.running import RESUMES, run
from seqbelt.workflow.outcome import Outcome


def predict(
    model: ModelName,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT... [KEY=VALUE]...",
            help="Folders, files or one table; then settings to read it, e.g. data.quoting=false.",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(help="Output file or address (s3://…): .parquet, .csv, .xlsx or .jsonl."),
    ],
    on_error: Annotated[
        Literal["quarantine", "fail"],
        typer.Option(help="List inputs that cannot be classified in the output, or exit with 1."),
    ] = "quarantine",
    timeout_s: Annotated[
        float, typer.Option(min=0.001, help="Time limit for one input, in seconds.")
    ] = 300.0,
    engine: Annotated[
        Literal["auto", "torch", "onnx", "ray"],
        typer.Option(help="Inference backend; auto computes a few inputs without torch."),
    ] = "auto",
    precision: Annotated[
        Literal["float32", "bf16"], typer.Option(help="Precision of matrix products.")
    ] = "float32",
    coverage: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1.0,
            help="Reject uncertain predictions; keep this fraction of the validation set.",
        ),
    ] = None,
    byte_order_mark: Annotated[
        bool,
        typer.Option("--byte-order-mark", help="Start a .csv with a byte order mark, for Excel."),
    ] = False,
    keep_columns: Annotated[
        bool,
        typer.Option(
            "--keep-columns", help="Copy the columns of the table, and texts, into the output."
        ),
    ] = False,
    paths_as: Annotated[
        Literal["input", "output", "absolute"],
        typer.Option(
            "--paths",
            help="What paths in the output are relative to: INPUT, the output file, or absolute.",
        ),
    ] = "input",
    project: Annotated[
        Path | None, typer.Option(help="Folder of the project whose mlruns/ has the model.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar="FILE.html",
            help="HTML page to write: counts, least confident predictions, errors, changes since "
            "training.",
        ),
    ] = None,
    timeline: Annotated[
        bool,
        typer.Option("--timeline", help="Label the parts of long recordings, one row a segment."),
    ] = False,
    window_s: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Window length in seconds; by default that of the training clips.",
        ),
    ] = None,
    hop_s: Annotated[
        float | None,
        typer.Option(min=0.001, help="Seconds between window starts; half a window unless given."),
    ] = None,
    span_s: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Seconds pooled for one prediction, at most --window-s, which classifies whole "
            "windows; half a window unless given.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Probability that a segment reaches at least once; 0.5 unless given, of several "
            "labels the threshold of each.",
        ),
    ] = None,
    min_duration_s: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Drop segments shorter than this; a quarter of a window unless given.",
        ),
    ] = None,
    max_gap_s: Annotated[
        float | None, typer.Option(min=0.0, help="Join segments of one label with gaps up to this.")
    ] = None,
    audacity: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            help="Folder for Audacity label files, one per recording.",
        ),
    ] = None,
    raven: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            help="Folder for Raven selection tables, one per recording.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict the class of files, folders or the rows of a table."""

    def work() -> Outcome:
        from seqbelt.commands.predict import predict_in_child

        options = {
            "on_error": on_error, "engine": engine, "precision": precision, "coverage": coverage,
            "byte_order_mark": byte_order_mark, "keep_columns": keep_columns,
            "paths_as": paths_as, "project": project and str(project),
            "report": report and str(report),
        }  # fmt: skip
        settings = {
            "window_s": window_s, "hop_s": hop_s, "span_s": span_s, "threshold": threshold,
            "min_duration_s": min_duration_s, "max_gap_s": max_gap_s,
        }  # fmt: skip
        folders = {"audacity": audacity and str(audacity), "raven": raven and str(raven)}
        options |= folders
        if timeline:
            options |= {"timeline": settings}
        elif given := [name for name, value in settings.items() if value is not None]:
            from seqbelt.errors import SettingsError

            raise SettingsError(f"--{given[0].replace('_', '-')}: needs --timeline")
        return predict_in_child(model, inputs, output, timeout_s, **options)

    def next_step(result: dict[str, Any]) -> str | None:
        if timeline or not result["labels"] or "://" in output:
            return None  # review shows inputs with one prediction each
        return shlex.join(["seqbelt", "review", output, *inputs])

    run(work, as_json, RESUMES, next_step)


def stream(
    model: ModelName,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Input files, each a signal, or - for standard input."
        ),
    ],
    pcm: Annotated[
        Literal["s16le", "f32le"] | None,
        typer.Option(help="Format of raw mono samples; standard input: s16le unless given."),
    ] = None,
    pcm_rate: Annotated[
        int | None,
        typer.Option(min=100, help="Rate of raw samples in Hz; the model's unless given."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Keep reading as FILE grows, until Ctrl-C.")
    ] = False,
    every_ms: Annotated[
        float | None,
        typer.Option(min=0.001, help="Interval between predictions, in milliseconds of signal."),
    ] = None,
    every_steps: Annotated[
        int | None, typer.Option(min=1, help="Interval between predictions, in steps.")
    ] = None,
    window_s: Annotated[
        float | None, typer.Option(min=0.001, help="Predict from the last N seconds of the signal.")
    ] = None,
    events: Annotated[
        bool, typer.Option("--events", help="Print changes of the label only.")
    ] = False,
    on_event: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Shell command to run at each change, with SEQBELT_LABEL and SEQBELT_TIME_S set; "
            "with several labels also SEQBELT_CHANGE, begins or ends.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Smallest confidence of a new label; 0.6 unless given. With several labels "
            "(data.labels: several) the smallest probability with which one begins, besides its "
            "own threshold.",
        ),
    ] = None,
    min_duration_s: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Seconds that a new label must last; half of --window-s, at least 0.5, unless "
            "given.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict while signals arrive; print a line of JSON a prediction."""

    def work() -> Outcome:
        from seqbelt.commands.stream import Options, stream
        from seqbelt.workflow.live_signals import SignalReading

        options = Options(
            SignalReading(pcm, pcm_rate, follow), every_ms=every_ms, every_steps=every_steps,
            window_s=window_s, events=events, on_event=on_event, threshold=threshold,
            min_duration_s=min_duration_s,
        )  # fmt: skip
        outcome = stream(model, files, options)
        # Without --json, standard output has the predictions only.
        return outcome if as_json else outcome._replace(result={})

    run(work, as_json)
