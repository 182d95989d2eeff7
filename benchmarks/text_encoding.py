"""Texts per second through each kind of text features, reading included.

    python benchmarks/text_encoding.py ratings_train.txt.gz [--column document] [--texts 150000]

The file is tab-separated with a header and no quoting, gzipped or not. Learning is timed but not
counted in; encoding starts with an encoder that has seen no text.
"""

import argparse
import contextlib
import csv
import gzip
import time
from pathlib import Path

from seqbelt.errors import BadInput
from seqbelt.features.text.encoder import TextCounts
from seqbelt.features.text.text import Character, Jamo, Subword, TextFeatures, Word

BATCH = 128  # as preparation and prediction do
LEARNING_TEXTS_OF_UNIGRAM = 20_000  # it learns slowly, and its speed of encoding is the question


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--column", default="document")
    parser.add_argument("--texts", type=int, default=150_000)
    arguments = parser.parse_args()
    texts = read_column(arguments.path, arguments.column)[: arguments.texts]

    print(f"{len(texts)} texts\n")
    print("| kind | learn s | vocabulary | tokens/text | unknown | texts/s | CPU s/100,000 |")
    print("|---|---|---|---|---|---|---|")
    for name, features in {
        "character": Character(kind="character"),
        "jamo": Jamo(kind="jamo"),
        "word": Word(kind="word"),
        "subword bpe": Subword(kind="subword"),
        "subword bpe, bytes": Subword(kind="subword", unseen="bytes"),
        "subword unigram": Subword(kind="subword", algorithm="unigram"),
    }.items():
        num_learning = LEARNING_TEXTS_OF_UNIGRAM if "unigram" in name else len(texts)
        print(f"| {name} | {measure(features, texts, num_learning)} |", flush=True)


def measure(features: TextFeatures, texts: list[str], num_learning: int) -> str:
    started = time.perf_counter()
    encoder = features.encoder(features.learn(read_all(features, texts[:num_learning])))
    learn_s = time.perf_counter() - started

    counts, started, cpu_started = TextCounts(), time.perf_counter(), time.process_time()
    for start in range(0, len(texts), BATCH):
        counts += encoder.encode_counted(read_all(features, texts[start : start + BATCH]))[1]
    encode_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    return (
        f"{learn_s:.1f} | {encoder.num_features} | {counts.num_tokens / counts.num_texts:.1f} | "
        f"{counts.unknown_share:.3%} | {len(texts) / encode_s:.0f} | {cpu_s / len(texts) * 1e5:.2f}"
    )


def read_all(features: TextFeatures, texts: list[str]) -> list[str]:
    raws = []
    for text in texts:
        with contextlib.suppress(BadInput):
            raws.append(features.read(text))
    return raws


def read_column(path: Path, column: str) -> list[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row[column] for row in rows]


if __name__ == "__main__":
    main()
