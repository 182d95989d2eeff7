"""A picture of what augmentation makes of training rows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

import seqbelt.evaluation.fonts  # noqa: F401  # class names may be Korean
from seqbelt.data.batches import Batch, make_batch
from seqbelt.data.store import Sequences
from seqbelt.training.augmentation import Augmenter


def augmentation_picture(train: Sequences, augment: Augmenter, num_rows: int = 4) -> Figure:
    """A row of each of the first classes, plain and augmented twice, in training standard
    deviations: lines for up to twelve features, otherwise an image of all."""
    firsts = np.unique(train.labels, return_index=True)[1][:num_rows]
    plain = make_batch(train, firsts)
    batches = [plain, augment(plain, 0), augment(plain, 1)]
    figure = Figure(figsize=(11, 1.8 * len(firsts)), layout="constrained")
    grid = figure.subplots(len(firsts), len(batches), sharey="row", squeeze=False)
    for column, batch in enumerate(batches):
        for row, axes in enumerate(grid[:, column]):
            steps = batch.inputs[row, : int(batch.lengths[row])]
            steps = ((steps - augment.mean) / augment.std).numpy()
            if steps.shape[1] <= 12:
                axes.plot(steps, linewidth=0.8)
            else:
                axes.imshow(steps.T, aspect="auto", origin="lower", vmin=-3, vmax=3, cmap="RdBu")
            axes.set_title(_label_text(batch, row, train.store.classes), fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("step")
    figure.suptitle("training rows, plain and augmented twice", fontsize=10)
    return figure


def _label_text(batch: Batch, row: int, classes: Sequence[str]) -> str:
    """The label, or the shares of a mixed one."""
    label = batch.labels[row]
    if not label.is_floating_point():
        return ", ".join(classes[int(place)] for place in label.unique() if place >= 0)
    mixed = [(float(share), name) for share, name in zip(label, classes) if share > 0.005]
    return ", ".join(f"{name} {share:.2f}" for share, name in sorted(mixed, reverse=True))
