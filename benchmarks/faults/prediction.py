"""What an unattended prediction must survive: kills, company, a full disk, an output out of reach.

    python benchmarks/faults/prediction.py BUNDLE RECORDINGS [--kills 30]

Every disturbed run ends, after as many repeats of the same command as it takes, in the file of an
undisturbed run: each input exactly once, in order, the same labels, shares within 1e-5. The full
disk is a small tmpfs, which needs root. Prints one line a fault; exits with 1 at the first
difference.
"""

import argparse
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("recordings")
    parser.add_argument("--kills", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(arguments.bundle, arguments.recordings, Path(name))
        trial.kill(arguments.kills)
        trial.run_together()
        trial.fill_the_disk()
        trial.close_the_folder()


class Trial:
    """One bundle, one folder of recordings, and what an undisturbed run says of them."""

    def __init__(self, bundle: str, recordings: str, folder: Path) -> None:
        self.folder = folder
        self.command = [sys.executable, "-m", "seqbelt", "predict", bundle, recordings, "--output"]
        began = time.monotonic()
        self.finish(folder / "calm.parquet")
        self.calm_s = time.monotonic() - began
        self.expected = pd.read_parquet(folder / "calm.parquet")
        assert self.expected["path"].is_unique
        print(f"undisturbed: {len(self.expected):,} inputs, {self.calm_s:.1f} s", flush=True)

    def start(self, output: Path) -> subprocess.Popen:
        quiet = subprocess.DEVNULL
        return subprocess.Popen([*self.command, str(output)], stdout=quiet, stderr=quiet)

    def finish(self, output: Path) -> None:
        code = self.start(output).wait()
        if code not in (0, 3):
            raise SystemExit(f"the command ended with {code}")

    def check(self, fault: str, output: Path) -> None:
        found = pd.read_parquet(output)
        shares = [name for name in found if name.startswith("p_") or name == "confidence"]
        others = [name for name in found if name not in shares]
        pd.testing.assert_frame_equal(found[others], self.expected[others])
        pd.testing.assert_frame_equal(found[shares], self.expected[shares], rtol=0, atol=1e-5)
        if leftovers := list(output.parent.glob(f".{output.name}*.tmp")):
            print(f"  left behind by kill -9: {len(leftovers)} temporary files")
        print(f"{fault}: the same {len(found):,} rows", flush=True)

    def kill(self, count: int) -> None:
        """SIGKILL at random moments, the journal kept; then one run to the end."""
        dice, output, num_died = random.Random(0), self.folder / "killed.parquet", 0
        for _ in range(count):
            process = self.start(output)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(dice.uniform(0.2, 1.2) * self.calm_s)
            process.send_signal(signal.SIGKILL)
            num_died += process.wait() == -signal.SIGKILL
            if process.returncode == 0:  # begin anew, or nothing is left to disturb
                self.check("  finished in between", output)
                for path in self.folder.glob("killed.parquet*"):
                    path.unlink()
        self.finish(output)
        self.check(f"{count} kill -9, {num_died} of them in time", output)

    def run_together(self) -> None:
        output = self.folder / "shared.parquet"
        workers = [self.start(output) for _ in range(2)]
        codes = [worker.wait() for worker in workers]
        assert set(codes) <= {0, 3}, codes
        self.check("two at once on one output", output)

    def fill_the_disk(self) -> None:
        with _small_disk(self.folder / "disk", "256k") as disk:
            output = disk / "out.parquet"
            assert self.start(output).wait() == 1 and not output.exists()
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            self.finish(output)
            self.check("a full disk, then a larger one", output)

    def close_the_folder(self) -> None:
        locked = self.folder / "file"
        locked.touch()
        code = self.start(locked / "out.parquet").wait()
        assert code == 2, code
        print("an output below a file: refused with exit code 2", flush=True)


@contextlib.contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
