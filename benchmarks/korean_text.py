"""Which text features suit Korean? Test accuracy of each kind, and how fast it encodes.

    python benchmarks/korean_text.py DATA [--kinds morpheme,subword] [--sets kor_curse] [--work DIR]

DATA is the folder of the packed sets (nsmc/, board/). Every set is trained with the default config
and seed 0, one training at a time; texts and tokens a second are those of one thread that has read
no word of the texts before. Of NSMC the first --nsmc reviews of each part are taken; 0 takes all.
A result that is in WORK/korean_text.json is not measured again.
"""

import argparse
import contextlib
import csv
import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

from board import measure_training
from board_layout import lay_out, read_sets

from seqbelt.data.store.parts import write_json
from seqbelt.errors import BadInput
from seqbelt.experiment import Experiment
from seqbelt.settings import override
from seqbelt.yaml_reading import read_yaml

KINDS = ("morpheme", "subword", "word", "jamo")
SETS = ("kor_curse", "kor_chatbot_topic", "nsmc", "kor_3i4k")
NUM_TIMED = 2_000
BATCH = 128  # as preparation and prediction do


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--kinds", default=",".join(KINDS), metavar="KIND,...")
    parser.add_argument("--sets", default=",".join(SETS), metavar="NAME,...")
    parser.add_argument("--work", type=Path, default=Path("build/korean_text"))
    parser.add_argument("--nsmc", type=int, default=20_000, metavar="TEXTS")
    arguments = parser.parse_args()
    data, work = arguments.data.resolve(), arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    results = Results(work / "korean_text.json")
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{work / 'mlflow.db'}"
    os.chdir(work)
    for name in arguments.sets.split(","):
        if name == "nsmc":
            row, values = lay_out_reviews(data / "nsmc", work, arguments.nsmc)
        else:
            row, values = name, read_yaml(lay_out(read_sets()[name], data, work))
        for kind in arguments.kinds.split(","):
            if results.has(row, kind):
                continue
            config = override(
                values,
                [f"features.kind={kind}", f"data.prepared=prepared/{row}-{kind}",
                 "training.seed=0", f"output=outputs/{row}-{kind}"],
            )  # fmt: skip
            results.add(row, kind, {**measure_encoding(config), **measure_training(config)})
    print(results.table())


class Results:
    """Results by set and kind, in one JSON file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def has(self, row: str, kind: str) -> bool:
        return kind in self._entries.get(row, {})

    def add(self, row: str, kind: str, result: dict[str, Any]) -> None:
        self._entries.setdefault(row, {})[kind] = result
        write_json(self._path, self._entries)
        print(f"{row} {kind}: {100 * result['test']['accuracy']:.2f} %", flush=True)

    def table(self) -> str:
        lines = [
            "| set | kind | test accuracy | macro F1 | tokens/text | unknown | texts/s | "
            "tokens/s | learn s | train s |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row, kinds in self._entries.items():
            for kind, one in kinds.items():
                test = one["test"]
                lines.append(
                    f"| {row} | {kind} | {100 * test['accuracy']:.2f} | "
                    f"{100 * test['macro_f1']:.2f} | {one['tokens_per_text']:.1f} | "
                    f"{one['unknown']:.2%} | {one['texts_per_s']:,.0f} | "
                    f"{one['tokens_per_s']:,.0f} | {one['learn_s']:.1f} | {one['seconds']:.0f} |"
                )
        return "\n".join(lines)


def measure_encoding(config: dict[str, Any]) -> dict[str, float]:
    """Seconds to learn from the training texts, and the speed over some of the test texts."""
    experiment = Experiment.parse(config)
    features = experiment.features
    manifest = experiment.data.load(features)
    texts: dict[str, list[str]] = {"train": [], "test": []}
    for text, split in zip(manifest.column("text"), manifest.column("split"), strict=True):
        if split in texts:
            with contextlib.suppress(BadInput):
                texts[split].append(features.read(text))
    started = time.perf_counter()
    encoder = features.encoder(features.learn(texts["train"]))
    learn_s = time.perf_counter() - started
    timed = texts["test"][:NUM_TIMED]
    started = time.perf_counter()
    counts = [
        encoder.encode_counted(timed[start : start + BATCH])[1]
        for start in range(0, len(timed), BATCH)
    ]
    seconds = time.perf_counter() - started
    total = sum(counts[1:], counts[0])
    return {
        "learn_s": learn_s,
        "texts_per_s": len(timed) / seconds,
        "tokens_per_s": total.num_tokens / seconds,
        "tokens_per_text": total.num_tokens / len(timed),
        "unknown": total.unknown_share,
    }


def lay_out_reviews(folder: Path, work: Path, num_texts: int) -> tuple[str, dict[str, Any]]:
    """Write a manifest of the first reviews of each part of NSMC; its name and config."""
    name = f"nsmc-{num_texts or 'all'}"
    manifest = work / "raw" / name / "manifest.csv"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    with manifest.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["text", "label", "split"])
        for part in ("train", "test"):
            with gzip.open(folder / f"ratings_{part}.txt.gz", "rt", encoding="utf-8") as file:
                rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                for number, row in enumerate(rows):
                    if not num_texts or number < num_texts:
                        writer.writerow([row["document"], row["label"], part])
    return name, {"name": name, "data": {"source": str(manifest)}, "features": {"kind": "word"}}


if __name__ == "__main__":
    main()
