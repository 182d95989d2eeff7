"""aeon's MultiRocketHydra on archive sets of its wheel; run by an interpreter that has aeon.

    python benchmarks/multi_rocket_hydra.py FOLDER RESULTS NAME ...

copies the named sets' files from the wheel to FOLDER/NAME/, fits the classifier with its default
settings and seed 0, and adds accuracy and seconds to RESULTS, a JSON file, after each set; what is
there already is not fitted again. The classifier refuses unequal lengths: of such a set it gets the
equal form that the wheel has (``NAME_eq``), which its results name; copied are the unequal files.
It needs no part of Seqbelt: `pip install 'aeon' torch` in an environment of its own is enough.
"""

import json
import shutil
import sys
import time
from pathlib import Path

import aeon
import numpy as np
from aeon import datasets
from aeon.classification.convolution_based import MultiRocketHydraClassifier
from aeon.datasets import load_from_ts_file

PARTS = ("TRAIN", "TEST")


def main() -> None:
    folder, path, names = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    found = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for name in names:
        original = Path(datasets.__file__).parent / "data" / name
        (folder / name).mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            shutil.copyfile(original / f"{name}_{part}.ts", folder / name / f"{name}_{part}.ts")
        if name not in found:
            found[name] = measure(original, name)
            whole = path.with_name(path.name + ".tmp")
            whole.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            whole.replace(path)
        print(f"{name}: {100 * found[name]['accuracy']:.1f} %", flush=True)


def measure(original: Path, name: str) -> dict[str, object]:
    """Test accuracy of one set, and the seconds of fitting and answering."""
    form = f"{name}_eq" if (original / f"{name}_eq_TRAIN.ts").exists() else name
    (train, train_labels), (test, test_labels) = (
        load_from_ts_file(str(original / f"{form}_{part}.ts")) for part in PARTS
    )
    began = time.perf_counter()
    classifier = MultiRocketHydraClassifier(random_state=0).fit(train, train_labels)
    answers = classifier.predict(test)
    return {
        "accuracy": float(np.mean(answers == test_labels)),
        "seconds": round(time.perf_counter() - began, 2),
        "form": form,
        "shape": list(train.shape),
        "aeon": aeon.__version__,
    }


if __name__ == "__main__":
    main()
