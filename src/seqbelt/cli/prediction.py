"""Commands that use a model: answers to folders, and from files and live signals."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from seqbelt.cli.arguments import AsJson, ModelName
from seqbelt.cli.running import GOES_ON, run


class OnError(StrEnum):
    """What an input without a label does to the whole."""

    quarantine = "quarantine"
    fail = "fail"


class EngineName(StrEnum):
    """Who computes the network."""

    torch = "torch"
    onnx = "onnx"
    ray = "ray"


class PrecisionName(StrEnum):
    """How products are computed."""

    float32 = "float32"
    bf16 = "bf16"


class PcmName(StrEnum):
    """How raw samples are written: little-endian integers of 16 bits, or floats of 32."""

    s16le = "s16le"
    f32le = "f32le"


def predict(
    model: ModelName,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT... [KEY=VALUE]...",
            help="Folders or files; how a manifest is read, as in data.quoting=false.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", help="File: .parquet, .csv or .jsonl.")],
    on_error: Annotated[
        OnError, typer.Option("--on-error", help="Keep going, or fail at the end.")
    ] = OnError.quarantine,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=0.001, help="Seconds that one input may take.")
    ] = 300.0,
    engine: Annotated[EngineName, typer.Option("--engine", help="What computes.")] = (
        EngineName.torch
    ),
    precision: Annotated[
        PrecisionName, typer.Option("--precision", help="Of the products.")
    ] = PrecisionName.float32,
    coverage: Annotated[
        float | None,
        typer.Option(
            "--coverage",
            min=0.01,
            max=1.0,
            help="Answer only as sure as this share of the validation rows; the rest is rejected.",
        ),
    ] = None,
    byte_order_mark: Annotated[
        bool,
        typer.Option("--byte-order-mark", help="Begin a .csv with the mark that Excel needs."),
    ] = False,
    timeline: Annotated[
        bool,
        typer.Option("--timeline", help="Label the parts of long recordings: one row a segment."),
    ] = False,
    window_s: Annotated[
        float | None,
        typer.Option("--window-s", min=0.001, help="Window length; the training clips' if known."),
    ] = None,
    hop_s: Annotated[
        float | None,
        typer.Option("--hop-s", min=0.001, help="From one window to the next; half a window."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", min=0.0, max=1.0, help="Confidence a segment reaches; 0.5 unless given."
        ),
    ] = None,
    min_duration_s: Annotated[
        float | None, typer.Option("--min-duration-s", min=0.0, help="Drop shorter segments.")
    ] = None,
    max_gap_s: Annotated[
        float | None,
        typer.Option("--max-gap-s", min=0.0, help="Join segments of one label this close."),
    ] = None,
    audacity: Annotated[
        Path | None,
        typer.Option("--audacity", help="Folder for a label file for Audacity a recording."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Label a folder, files or the rows of a manifest."""

    def work() -> dict[str, Any]:
        from seqbelt.commands.predict import predict_apart

        options = {
            "on_error": on_error, "engine": engine, "precision": precision, "coverage": coverage,
            "byte_order_mark": byte_order_mark,
        }  # fmt: skip
        settings = {
            "window_s": window_s, "hop_s": hop_s, "threshold": threshold,
            "min_duration_s": min_duration_s, "max_gap_s": max_gap_s,
        }  # fmt: skip
        if timeline:
            options |= {"timeline": settings, "audacity": audacity and str(audacity)}
        elif audacity or any(value is not None for value in settings.values()):
            from seqbelt.errors import SettingsError

            given = [name for name, value in settings.items() if value is not None]
            name = (given or ["audacity"])[0].replace("_", "-")
            raise SettingsError(f"--{name}: needs --timeline")
        return predict_apart(model, inputs, output, timeout_s, **options)

    run(work, as_json, GOES_ON)


def stream(
    model: ModelName,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file, or - for standard input.")],
    pcm: Annotated[
        PcmName | None,
        typer.Option("--pcm", help="Raw mono samples; standard input: s16le unless named."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="FILE grows; Ctrl-C ends.")] = False,
    every_ms: Annotated[
        float | None, typer.Option("--every-ms", min=0.001, help="Signal between two answers.")
    ] = None,
    every_steps: Annotated[
        int | None, typer.Option("--every-steps", min=1, help="The same, in steps.")
    ] = None,
    window_s: Annotated[
        float | None,
        typer.Option(
            "--window-s", min=0.001, help="Answer from the last so many seconds of the signal."
        ),
    ] = None,
    events: Annotated[
        bool, typer.Option("--events", help="Print changes of the label only.")
    ] = False,
    on_event: Annotated[
        str | None,
        typer.Option(
            "--on-event",
            metavar="COMMAND",
            help="Shell command to run at each change, with SEQBELT_LABEL and SEQBELT_TIME_S set.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            min=0.0,
            max=1.0,
            help="Confidence that a change needs; 0.6 unless given.",
        ),
    ] = None,
    min_duration_s: Annotated[
        float | None,
        typer.Option(
            "--min-duration-s",
            min=0.0,
            help="Seconds for which a change needs that confidence; 0.5 unless given.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer a signal while it comes, one line of JSON an answer."""

    def work() -> dict[str, Any]:
        from seqbelt.commands.stream import stream

        kind = pcm.value if pcm else None
        found = stream(
            model, file, pcm=kind, follow=follow, every_ms=every_ms, every_steps=every_steps,
            window_s=window_s, events=events, on_event=on_event, threshold=threshold,
            min_duration_s=min_duration_s,
        )  # fmt: skip
        return found if as_json else {}  # standard output is for the answers

    run(work, as_json)
