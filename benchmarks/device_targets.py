"""Does every exported file give the model's answers, however long the input and however it is cut?

    python benchmarks/device_targets.py DATA [--work build/device_targets] [--page PAGE]

DATA is the folder of the packed sets (fsdd/). A causal LSTM of 64 units is trained on spoken digits
(FSDD, official split, seed 0) and exported as ONNX (whole, raw, one step), for ExecuTorch where it
is installed, and as C with float and int8 weights, from rows of features and from samples. Printed
are

- the largest difference of a probability from the model's, over lengths of 1 to 100,000 steps
  (samples, where the features are in the file) and pieces of 1, 7 and 50 at a time;
- flipped labels and accuracy on the 300 test digits, from features and from samples;
- sizes, speed on one core, and whether compilers and sanitizers have anything to say.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from board_table import write_between

from seqbelt.data.batches import pad
from seqbelt.experiment import Experiment
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.c_library import FLAGS, CLibrary
from seqbelt.inference.c_source import CSource, write_c
from seqbelt.inference.onnx_export import OnnxNetwork, export_bytes, export_raw_bytes
from seqbelt.inference.onnx_stream import OnnxStream, export_stream_bytes
from seqbelt.settings import override
from seqbelt.workflow.export_check import RawNetwork, draw_sequences, draw_signals

LENGTHS = (1, 2, 10, 100, 1_000, 10_000, 100_000)
PIECES = (1, 7, 50)
SOUND_S = 60
CONFIG = {
    "name": "device-digits",
    "data": {"source": "fsdd"},
    "features": {"kind": "log_mel", "sample_rate": 8000},
    "model": {"hidden_size": 64, "stem": "none", "bidirectional": False},
    "training": {"seed": 0, "device": "cpu"},
}
Read = Callable[[np.ndarray], np.ndarray]
"""Maps an input ``(steps, width)`` to logits ``(classes,)``."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--work", type=Path, default=Path("build/device_targets"))
    parser.add_argument("--page", type=Path, help="write the tables between its markers")
    parser.add_argument("--settings", nargs="+", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    page = arguments.page and arguments.page.resolve()
    os.environ["SEQBELT_DATA_MIRROR"] = str(arguments.data.resolve())
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{work / 'mlflow.db'}"
    os.chdir(work)
    torch.set_num_threads(1)
    experiment = Experiment.parse(override(CONFIG, arguments.settings))
    bundle = trained(experiment, work / "bundle")
    raw = RawNetwork(bundle)
    report = "\n\n".join(
        [
            lengths_table("features", bundle, bundle.network, feature_targets(bundle)),
            lengths_table("samples", bundle, raw, sample_targets(bundle)),
            digits_table(experiment, bundle),
            machine_report(bundle),
        ]
    )
    print(report)
    if page:
        write_between(page, "device-targets", report)


def trained(experiment: Experiment, folder: Path) -> Bundle:
    if not folder.exists():
        from seqbelt.commands.train import train

        shutil.copytree(train(experiment).result["bundle"], folder)
    return Bundle.load(folder)


def whole(network: torch.nn.Module) -> Read:
    @torch.inference_mode()
    def read(inputs: np.ndarray) -> np.ndarray:
        return network(*pad([inputs]))[0].numpy()

    return read


def library(bundle: Bundle, raw: bool, int8: bool) -> CLibrary:
    return CLibrary(write_c(bundle, "digits", raw, int8), "digits", len(bundle.classes))


def in_pieces(model: CLibrary) -> dict[int, Read]:
    def reader(size: int) -> Read:
        return lambda inputs: model.read(inputs, (size,))

    return {size: reader(size) for size in PIECES}


def feature_targets(bundle: Bundle) -> dict[str, dict[int, Read]]:
    """Readers of rows of features by target and piece; piece 0: the sequence as a whole."""
    executorch: dict[str, dict[int, Read]] = {}
    if find_spec("executorch") is not None:
        from seqbelt.inference.executorch_export import ExecutorchStream, export_executorch_bytes
        from seqbelt.inference.torch_step import StepNetwork

        program = ExecutorchStream(export_executorch_bytes(bundle), StepNetwork(bundle).example())
        executorch = {"ExecuTorch": {1: whole(program)}}
    return {
        "ONNX whole": {0: whole(OnnxNetwork(export_bytes(bundle)))},
        "ONNX stream": {1: whole(OnnxStream(export_stream_bytes(bundle)))},
        **executorch,
        "C float": in_pieces(library(bundle, raw=False, int8=False)),
        "C int8": in_pieces(library(bundle, raw=False, int8=True)),
    }


def sample_targets(bundle: Bundle) -> dict[str, dict[int, Read]]:
    return {
        "ONNX raw": {0: whole(OnnxNetwork(export_raw_bytes(bundle, export_bytes(bundle))))},
        "C float raw": in_pieces(library(bundle, raw=True, int8=False)),
        "C int8 raw": in_pieces(library(bundle, raw=True, int8=True)),
    }


def probabilities(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


def lengths_table(
    unit: str, bundle: Bundle, network: torch.nn.Module, targets: dict[str, dict[int, Read]]
) -> str:
    draw = draw_signals(bundle)[0] if unit == "samples" else draw_sequences(bundle, None)[0]
    sequences = [draw(length, 0) for length in LENGTHS]
    expected = [probabilities(whole(network)(one)) for one in sequences]
    header = " | ".join(f"{length:,}" for length in LENGTHS)
    lines = [
        f"Largest difference of a probability, by the length in {unit}:\n",
        f"| target | at a time | {header} |",
        "|---|---|" + "---|" * len(LENGTHS),
    ]
    for name, readers in targets.items():
        for size, read in readers.items():
            found = [
                np.abs(probabilities(read(one)) - want).max()
                for one, want in zip(sequences, expected)
            ]
            cells = " | ".join(f"{value:.1e}" for value in found)
            lines.append(f"| {name} | {size or 'all'} | {cells} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def digits_table(experiment: Experiment, bundle: Bundle) -> str:
    """Flipped labels and accuracy on the test digits, from their features and their samples."""
    features = bundle.features
    assert isinstance(features, AudioFeatures)
    manifest = experiment.data.load(features)
    test = np.flatnonzero(manifest.column("split") == "test").tolist()
    labels = manifest.column("label")[test]
    sounds = [features.read(source).samples for source in manifest.sources(test)]
    rows = features.encode([Audio(one, features.sample_rate) for one in sounds])
    model = whole(bundle.network)
    answers = np.array([model(one).argmax() for one in rows])
    accuracy = np.mean(np.array(bundle.classes)[answers] == labels)
    lines = [
        f"{len(test)} test digits, of which the model has {100 * accuracy:.2f} % right:\n",
        "| target | flipped labels | accuracy |",
        "|---|---|---|",
    ]
    samples = [one[:, None] for one in sounds]
    for inputs, targets in ((rows, feature_targets(bundle)), (samples, sample_targets(bundle))):
        for name, readers in targets.items():
            read = list(readers.values())[-1]
            found = np.array([read(one).argmax() for one in inputs])
            right = np.mean(np.array(bundle.classes)[found] == labels)
            lines.append(f"| {name} | {int((found != answers).sum())} | {100 * right:.2f} % |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def machine_report(bundle: Bundle) -> str:
    features = bundle.features
    assert isinstance(features, AudioFeatures)
    sound = draw_signals(bundle)[0](SOUND_S * features.sample_rate, 0)
    lines = [
        f"LSTM of {bundle.model.hidden_size} units, {bundle.network.num_parameters:,} parameters, "
        "samples in, one core:\n",
        "| weights | source kB | object kB | state kB | times real time |",
        "|---|---|---|---|---|",
    ]
    for int8 in (False, True):
        files, model = write_c(bundle, "digits", True, int8), library(bundle, True, int8)
        seconds = min(timed(lambda model=model: model.read(sound, (80,))) for _ in range(3))
        lines.append(
            f"| {'int8' if int8 else 'float'} | {len(files.source) / 1000:.0f} | "
            f"{object_bytes(files) / 1000:.1f} | {model.state_bytes / 1000:.1f} | "
            f"{SOUND_S / seconds:,.0f} |"
        )
    lines += ["", *compiler_lines(bundle)]
    return "\n".join(lines)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def object_bytes(files: CSource) -> int:
    """Bytes of code and constants in the compiled file."""
    with tempfile.TemporaryDirectory() as place:
        write(Path(place), files)
        call(["gcc", *FLAGS, "-c", "digits.c"], place)
        line = call(["size", "digits.o"], place).splitlines()[1].split()
    return int(line[0]) + int(line[1])


def compiler_lines(bundle: Bundle) -> list[str]:
    """What compilers and sanitizers say of the float and the int8 file with features."""
    lines = []
    sound = draw_signals(bundle)[0](8000, 0).astype(np.float32)
    for compiler in ("gcc", "clang"):
        if not shutil.which(compiler):
            lines.append(f"- {compiler}: not installed here")
            continue
        version = call([compiler, "--version"], ".").splitlines()[0]
        for int8 in (False, True):
            with tempfile.TemporaryDirectory() as place:
                write(Path(place), write_c(bundle, "digits", True, int8))
                Path(place, "main.c").write_text(MAIN)
                options = [*FLAGS, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
                call([compiler, *options, "main.c", "digits.c", "-lm", "-o", "main"], place)
                call([compiler, *FLAGS, "-c", "digits.c"], place)
                done = subprocess.run(
                    ["./main"], cwd=place, input=sound.tobytes(), capture_output=True, check=False
                )
            found = "nothing" if done.returncode == 0 and not done.stderr else done.stderr.decode()
            weights = "int8" if int8 else "float"
            lines.append(
                f"- {version}, {weights}: no warning under `{' '.join(FLAGS)}`; address and "
                f"undefined-behaviour sanitizers find {found}"
            )
    return lines


def write(folder: Path, files: CSource) -> None:
    (folder / "digits.h").write_text(files.header)
    (folder / "digits.c").write_text(files.source)


def call(command: Sequence[str], folder: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


MAIN = """\
#include <stdio.h>
#include "digits.h"
int main(void)
{
    static digits_state state;
    float samples[80], probabilities[DIGITS_NUM_CLASSES];
    size_t count;
    digits_init(&state);
    while ((count = fread(samples, sizeof *samples, 80, stdin)) > 0) {
        digits_step(&state, samples, count);
        digits_probabilities(&state, probabilities);
    }
    return digits_finish(&state, probabilities) < 0;
}
"""


if __name__ == "__main__":
    main()
