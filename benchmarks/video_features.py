"""Video features on UT-Interaction: what a descriptor costs, and what it is worth.

    python benchmarks/video_features.py speed    FOLDER   # decoding alone, and with features
    python benchmarks/video_features.py accuracy FOLDER   # descriptors without weights

FOLDER holds the clips of ``ut_interaction_set1.tar.gz``. ``accuracy`` is a proxy that takes a
minute: mean and deviation over the steps, a linear SVM, one sequence left out at a time.
"""

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np

from seqbelt.features.frame_descriptors import DifferenceGradients
from seqbelt.features.video import FrameDifferences
from seqbelt.features.video_decoding import FrameFormat, decode_video

NUM_CORES = 2
ROUNDS = 7
GRID = (6, 8)
CELL = (4, 8)
"""Pixels of a cell, and orientations."""
FRAMES = FrameFormat(32, 24, is_grey=True)
RATE = 10.0


def measure_speed(clips: list[Path]) -> None:
    """Frames of the clips per second, both ways in turn, so that other load hits both."""
    features = FrameDifferences.parse({"kind": "frame_differences"})
    ways: dict[str, Callable[[Path], object]] = {
        "decoding alone": _count_frames,
        "with features": features.read,
    }
    num_frames = sum(map(_count_frames, clips))
    rates: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    with ThreadPoolExecutor(NUM_CORES) as pool:
        for _ in range(ROUNDS):
            for name, way in ways.items():
                wall_start, cpu_start = time.perf_counter(), time.process_time()
                list(pool.map(way, clips))
                rates[name].append(num_frames / (time.perf_counter() - wall_start))
                cpu[name].append(time.process_time() - cpu_start)
    for name in ways:
        cpu_us = 1e6 * statistics.median(cpu[name]) / num_frames
        print(f"{name}: {statistics.median(rates[name]):.0f} frames/s, {cpu_us:.0f} us CPU a frame")
    shares = [b / a for a, b in zip(*rates.values(), strict=True)]
    cpu_shares = [a / b for a, b in zip(*cpu.values(), strict=True)]
    print(f"speed with features / alone: {statistics.median(shares):.2f} by wall clock, "
          f"{statistics.median(cpu_shares):.2f} by CPU time (median of {ROUNDS})")  # fmt: skip


def _count_frames(path: Path) -> int:
    """Decode and keep nothing: the floor that features stand on."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"  # as the package does; on two cores faster than frame threads
        return sum(1 for _ in container.decode(stream))


def measure_accuracy(clips: list[Path]) -> None:
    """Leave-one-sequence-out accuracy of each descriptor behind the same linear classifier."""
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    sequences, labels = np.array([path.stem.split("_")[1:] for path in clips]).T
    decoded = [np.stack(list(decode_video(path, FRAMES, RATE, 60))) for path in clips]
    classifier = make_pipeline(StandardScaler(), LinearSVC(C=0.01))
    for name, describe in DESCRIPTORS.items():
        steps = [describe(frames).reshape(len(frames), -1) for frames in decoded]
        pooled = np.stack([np.concatenate([s.mean(axis=0), s.std(axis=0)]) for s in steps])
        correct = cross_val_score(classifier, pooled, labels, groups=sequences,
                                  cv=LeaveOneGroupOut())  # fmt: skip
        print(f"{name}: {100 * correct.mean():.1f} % ({steps[0].shape[1]} features)", flush=True)


def _cells(images: np.ndarray) -> np.ndarray:
    """Roots of the means over the cells of the grid."""
    rows, columns = GRID
    steps, height, width = images.shape
    cells = images.reshape(steps, rows, height // rows, columns, width // columns)
    return np.sqrt(cells.mean(axis=(2, 4)))


def _change(frames: np.ndarray) -> np.ndarray:
    return np.diff(frames.astype(np.float32), axis=0, prepend=frames[:1])


def motion_energy(frames: np.ndarray) -> np.ndarray:
    return _cells(np.abs(_change(frames)))


def gradients_of_differences(frames: np.ndarray) -> np.ndarray:
    return DifferenceGradients(*GRID, *CELL).describe(frames, frames[0])


def gradients_of_appearance(frames: np.ndarray) -> np.ndarray:
    """The same histograms of each frame itself: its change from black."""
    describe = DifferenceGradients(*GRID, *CELL).describe
    return np.concatenate([describe(frame[None], np.zeros_like(frame)) for frame in frames])


def optical_flow(frames: np.ndarray) -> np.ndarray:
    """Lucas & Kanade's flow of 2 x 2 pixels, its four half-directions averaged over cells."""
    images = frames.astype(np.float32)
    down, across = np.gradient(images, axis=(1, 2))
    change = _change(frames)

    def window(products: np.ndarray) -> np.ndarray:
        steps, height, width = products.shape
        return products.reshape(steps, height // 2, 2, width // 2, 2).mean(axis=(2, 4))

    xx, xy, yy = window(across**2) + 4, window(across * down), window(down**2) + 4
    xt, yt = window(across * change), window(down * change)
    determinant = xx * yy - xy * xy
    flows = ((xy * yt - yy * xt) / determinant, (xy * xt - xx * yt) / determinant)
    return np.concatenate(
        [_cells(np.maximum(sign * flow, 0)) for flow in flows for sign in (1, -1)], axis=2
    )


DESCRIPTORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "motion energy": motion_energy,
    "gradients of differences (frame_differences)": gradients_of_differences,
    "gradients of appearance": gradients_of_appearance,
    "optical flow": optical_flow,
    "gradients of differences + optical flow": lambda frames: np.concatenate(
        [part(frames).reshape(len(frames), -1) for part in (gradients_of_differences, optical_flow)],
        axis=1,
    ),
}


if __name__ == "__main__":
    measures = {"speed": measure_speed, "accuracy": measure_accuracy}
    if len(sys.argv) != 3 or sys.argv[1] not in measures:
        sys.exit(__doc__)
    paths = sorted(Path(sys.argv[2]).rglob("*.avi"))
    measures[sys.argv[1]](paths) if paths else sys.exit(f"no .avi files in {sys.argv[2]}")
