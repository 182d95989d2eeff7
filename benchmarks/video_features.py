"""Video features on UT-Interaction: what a descriptor costs, and what it is worth.

    python benchmarks/video_features.py speed    FOLDER   # decoding alone, and with features
    python benchmarks/video_features.py accuracy FOLDER   # each descriptor before a small LSTM

FOLDER holds the clips of ``ut_interaction_set1.tar.gz``. One sequence is left out at a time. With
60 clips, one is 1.7 points, and a difference of less than about 8 points is no difference.
"""

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F

from seqbelt.features.video.descriptors import DifferenceGradients
from seqbelt.features.video.video import FrameDifferences
from seqbelt.features.video.video_decoding import FrameFormat, decode_video

NUM_CORES = 2
ROUNDS = 7
GRID = (6, 8)
CELL = (4, 8)
"""Pixels of a cell, and orientations."""
FRAMES = FrameFormat(32, 24, is_grey=True)
RATE = 10.0
SEEDS = (0, 1)


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
    """Leave-one-sequence-out accuracy of each descriptor before the same network."""
    torch.set_num_threads(1)  # the steps are small: more threads wait for each other
    sequences, labels = np.array([path.stem.split("_")[1:] for path in clips], dtype=int).T
    decoded = [np.stack(list(decode_video(path, FRAMES, RATE, 60))) for path in clips]
    for name, describe in DESCRIPTORS.items():
        steps = [describe(frames).reshape(len(frames), -1) for frames in decoded]
        correct = []
        for seed in SEEDS:
            hits = [_count_hits(steps, labels, sequences == left_out, seed)
                    for left_out in np.unique(sequences)]  # fmt: skip
            correct.append(f"{100 * sum(hits) / len(clips):.1f}")
        print(f"{name}: {' '.join(correct)} % ({steps[0].shape[1]} features)", flush=True)


def _count_hits(steps: list[np.ndarray], labels: np.ndarray, is_test: np.ndarray, seed: int) -> int:
    """Train a bidirectional LSTM, averaged over its steps, and count correct test clips."""
    torch.manual_seed(seed)
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    seen = np.concatenate([steps[i] for i in train])
    mean, deviation = seen.mean(axis=0), seen.std(axis=0) + 1e-3
    inputs = [torch.from_numpy(((s - mean) / deviation).astype(np.float32)) for s in steps]
    targets = torch.from_numpy(labels)
    lstm = torch.nn.LSTM(seen.shape[1], 64, bidirectional=True, batch_first=True)
    linear = torch.nn.Linear(128, int(labels.max()) + 1)
    parameters = [*lstm.parameters(), *linear.parameters()]
    optimizer = torch.optim.AdamW(parameters, weight_decay=1e-2)
    batches = [b for _ in range(40) for b in torch.from_numpy(train)[
        torch.randperm(len(train))].split(14)]  # fmt: skip
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=len(batches))

    def logits(indices, dropout: bool):
        lengths = torch.tensor([len(inputs[i]) for i in indices])
        padded = torch.nn.utils.rnn.pad_sequence([inputs[i] for i in indices], batch_first=True)
        hidden, _ = lstm(F.dropout(padded, 0.3, dropout))
        valid = (torch.arange(padded.shape[1]) < lengths[:, None]).unsqueeze(2)
        pooled = (hidden * valid).sum(1) / lengths[:, None]
        return linear(F.dropout(pooled, 0.5, dropout))

    for batch in batches:
        loss = F.cross_entropy(logits(batch, True), targets[batch], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
    with torch.inference_mode():
        return int((logits(test, False).argmax(1) == targets[test]).sum())


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
    down, across = np.gradient(images, axis=1), np.gradient(images, axis=2)
    change = _change(frames)

    def window(products: Any) -> np.ndarray:
        steps, height, width = products.shape
        return products.reshape(steps, height // 2, 2, width // 2, 2).mean(axis=(2, 4))

    xx, xy, yy = window(across**2) + 4, window(across * down), window(down**2) + 4
    xt, yt = window(across * change), window(down * change)
    determinant = xx * yy - xy * xy
    flows = ((xy * yt - yy * xt) / determinant, (xy * xt - xx * yt) / determinant)
    return np.concatenate(
        [_cells(np.maximum(sign * flow, 0)) for flow in flows for sign in (1, -1)], axis=2
    )


def gradients_and_flow(frames: np.ndarray) -> np.ndarray:
    flow = optical_flow(frames).reshape(len(frames), -1)
    return np.concatenate([gradients_of_differences(frames), flow], axis=1)


DESCRIPTORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "motion energy": motion_energy,
    "gradients of differences (frame_differences)": gradients_of_differences,
    "gradients of appearance": gradients_of_appearance,
    "optical flow": optical_flow,
    "gradients of differences + optical flow": gradients_and_flow,
}


if __name__ == "__main__":
    measures = {"speed": measure_speed, "accuracy": measure_accuracy}
    if len(sys.argv) != 3 or sys.argv[1] not in measures:
        sys.exit(__doc__)
    paths = sorted(Path(sys.argv[2]).rglob("*.avi"))
    measures[sys.argv[1]](paths) if paths else sys.exit(f"no .avi files in {sys.argv[2]}")
