"""The training loop of one network."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seqbelt.data.batches import Batch, fill, step_statistics, training_plan
from seqbelt.data.class_balance import balanced_rows, weighted_rows
from seqbelt.data.cropped_sequences import draw_crops
from seqbelt.data.joined_views import each_input
from seqbelt.data.sequences import Sequences
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.models.chunks import Chunks
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.training.augmentation import Augmentation
from seqbelt.training.augmenter import Augmenter
from seqbelt.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from seqbelt.training.cuda_graphs import GraphedSteps, rounded_up
from seqbelt.training.device import (
    find_device,
    make_optimizer,
    set_learning_rate,
    subnormals_flushed,
)
from seqbelt.training.distillation import training_targets
from seqbelt.training.gradient_reach import draw_sample, measure_reach
from seqbelt.training.history import Epoch, History
from seqbelt.training.hyperparameters import Training
from seqbelt.training.interrupts import stop_signals
from seqbelt.training.loop_state import capture, restore
from seqbelt.training.losses import NonFiniteLossDetector, least_loss, make_loss
from seqbelt.training.prefetch import Prefetcher
from seqbelt.training.scoring import Scores, predict_logits, score
from seqbelt.training.step import Step

CHECKPOINT_SECONDS = 60.0
"""Time between checkpoints within an epoch."""
MIN_CHOOSING_ROWS = 50
"""With fewer validation rows the best epoch is mostly chance."""


class Loop:
    """One training: builds a network, and trains it when it is told to ``run``.

    With a ``checkpoint`` path the state is saved every epoch, every minute and on Ctrl-C or
    SIGTERM. A pass reads the training rows as often as ``row_weights`` ``(rows,)`` say.
    ``on_step`` is called after every update, ``on_epoch`` after every epoch.

    ``reach`` is the gradient reach of the untrained network. Raises SettingsError for settings that
    the network or the labels do not allow.
    """

    def __init__(
        self,
        settings: Training,
        build: Callable[[], SequenceNetwork],
        train: Sequences,
        validation: Sequences | None,
        *,
        checkpoint: Path | None = None,
        row_weights: np.ndarray | None = None,
        on_epoch: Callable[[Epoch], object] = lambda epoch: None,
        on_step: Callable[[], object] = lambda: None,
    ) -> None:
        self.train, self.row_weights = train, row_weights
        self.validation = validation if validation is not None and len(validation) else None
        self.checkpoint, self.on_epoch, self.on_step = checkpoint, on_epoch, on_step
        self.accelerator = find_device(settings.device, settings.precision)
        self.device = self.accelerator.device

        torch.manual_seed(settings.seed)
        self.model = build()
        settings = settings.resolve_for(train, self.model.is_tokens, self.model.labels_steps)
        _check_settings(settings, self.model, train)
        self.settings, self.plan = settings, settings.plan(len(train))
        _learn_normalization(self.model, draw_crops(train, settings.seed, 0))
        assert isinstance(settings.augmentation, Augmentation)  # it is resolved
        augment = Augmenter.for_network(settings.augmentation, self.model, settings.seed)
        targets = training_targets(settings, train, self.model.is_tokens)
        self.prefetcher = Prefetcher(train, augment, self.device, targets)
        self.sample = draw_sample(train, settings.seed)
        self.reach = measure_reach(self.model, self.sample)

        self.model.to(self.device)
        optimizer = make_optimizer(self.model, settings.learning_rate, settings.weight_decay)
        # evaluation_mode: the step sums the ranks' gradients, not DistributedDataParallel.
        self.network = self.accelerator.prepare_model(self.model, evaluation_mode=True)
        self.optimizer = self.accelerator.prepare_optimizer(optimizer)
        self.chunks = None
        if settings.chunk_steps is not None:
            self.chunks = Chunks(settings.chunk_steps, settings.truncate_gradient)
        assert settings.label_smoothing != "auto"
        loss = make_loss(
            train, self.num_classes, settings.class_weights == "balanced", settings.label_smoothing
        )
        self.step = Step(
            self.network, self.optimizer, loss.to(self.device), self.accelerator,
            settings.clip_norm, self.chunks,
        )  # fmt: skip
        self.ranks = self.step.ranks
        # The weights are equal on all ranks, dropout draws are not.
        if not self.ranks.is_single_process:
            torch.manual_seed(settings.seed + 1_000_003 * self.ranks.rank)

        self.keeps_best = self._validation_chooses()
        self.best_weights: dict[str, Tensor] = {}
        self.history = History(
            device=str(self.device),
            layout=self.model.main.recurrent.chosen_layout(self.device),
            kept_best=self.keeps_best,
            reaches=[(0, self.reach.curve.tolist())],
            least_loss=None if targets is None else least_loss(targets, settings.label_smoothing),
        )
        self.batch_number = 0
        self.epoch_s = 0.0
        self.loss_detector = NonFiniteLossDetector(self.step.totals)
        self.update: Callable[[Batch], None] = self.step
        if self._can_record:
            self.update = GraphedSteps(self.step, self.device)

    @property
    def num_classes(self) -> int:
        return self.model.classify.out_features

    def run(self, resume: bool = False) -> tuple[SequenceNetwork, History]:
        """Train; return the network on its device, with the kept weights.

        ``resume`` continues from the checkpoint to the result of an uninterrupted run. Raises
        SeqbeltError when the loss is no longer finite.
        """
        if resume and self.checkpoint is not None:
            restore(self, *load_checkpoint(self.checkpoint))
        with stop_signals() as stopped, subnormals_flushed():
            while not self._is_finished():
                self._train_epoch(stopped)
                if stopped.is_set():
                    break
                self._end_epoch()
                self._save()
            if stopped.is_set():
                self.history.interrupted = True
                self._save()
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)
        self.history.train_s = sum(epoch.train_s for epoch in self.history.epochs)
        network = self.accelerator.unwrap_model(self.network, keep_fp32_wrapper=False)
        return network, self.history

    def _is_finished(self) -> bool:
        if len(self.history.epochs) >= self.plan.num_epochs:
            return True
        patience = self.settings.patience
        return patience is not None and self.history.stale_epochs(self.settings.monitor) >= patience

    def _train_epoch(self, stopped: threading.Event) -> None:
        """Run the epoch's remaining batches; on a stop signal return after the current one."""
        self.network.train()
        first = len(self.history.epochs) * self.plan.passes_per_epoch
        while self.batch_number < self.plan.num_batches * self.plan.passes_per_epoch:
            self._train_pass(first + self.batch_number // self.plan.num_batches, stopped)
            if stopped.is_set():
                break
            self._check_loss()

    def _train_pass(self, number: int, stopped: threading.Event) -> None:
        """Run the remaining batches of pass ``number`` over the training rows, counted from 0."""
        train = draw_crops(self.train, self.settings.seed, number)
        plan = self._plan_pass(train, number)
        self._count_work(plan)
        began = saved = time.perf_counter()
        before, done = self.epoch_s, self.batch_number % self.plan.num_batches
        remaining = plan[done:]
        local = [self.ranks.local_rows(rows, train.lengths) for rows in remaining]
        self.loss_detector.begin(train, plan, done)
        with closing(self.prefetcher.batches(train, local, number)) as batches:
            for rows, batch in zip(remaining, batches):
                if not self.ranks.has_rows(rows):
                    batch = self.step.loss.without_labels(batch)
                progress = (number * self.plan.num_batches + done) / self.plan.num_updates
                set_learning_rate(self.optimizer, self.settings.learning_rate_at(progress))
                self.update(batch)
                self.loss_detector.record(done)
                done += 1
                self.batch_number += 1
                self.epoch_s = before + time.perf_counter() - began
                self.on_step()
                is_due = time.perf_counter() - saved > CHECKPOINT_SECONDS
                is_stopped, is_due = self._on_any_rank(stopped.is_set(), is_due)
                if is_stopped:
                    stopped.set()
                    break
                if is_due:
                    self._save()
                    saved = time.perf_counter()
        self.step.totals.tolist()  # wait for the GPU, so that the time is right
        self.epoch_s = before + time.perf_counter() - began

    def _plan_pass(self, train: Sequences, number: int) -> list[np.ndarray]:
        """The rows of each batch of a pass."""
        settings, rows = self.settings, np.arange(len(train))
        if settings.sampling == "balanced":
            rows = balanced_rows(train.labels, settings.seed, number)
        elif self.row_weights is not None:
            rows = weighted_rows(self.row_weights, settings.seed, number)
        assert settings.batch_size != "auto"
        plan = training_plan(
            train.lengths[rows], settings.batch_size, settings.seed, number, settings.bucket_batches
        )
        return [rows[indices] for indices in plan]

    def _on_any_rank(self, is_stopped: bool, is_due: bool) -> tuple[bool, bool]:
        """Whether any rank is stopped, and whether a checkpoint is due: with several ranks as of
        the step before, when all agreed on it."""
        if self.ranks.is_single_process:
            return is_stopped, is_due
        self.step.local_flags = [is_stopped, is_due]
        is_stopped, is_due = self.step.global_flags
        return is_stopped, is_due

    @property
    def _can_record(self) -> bool:
        """Whether a step computes the same kernels for all batches of a shape, on one GPU."""
        is_single_gpu = self.device.type == "cuda" and self.ranks.is_single_process
        has_one_shape = self.history.layout == "padded" and self.chunks is None
        has_one_shape &= self.model.layout is None  # the lengths of several inputs are copied
        return self.settings.cuda_graphs and is_single_gpu and has_one_shape

    def _count_work(self, plan: list[np.ndarray]) -> None:
        history = self.history
        history.fill = fill(self.train.lengths, plan, rounded_up if self._can_record else int)
        num_steps = sum(int(self.train.lengths[rows].sum()) for rows in plan)
        num_steps *= self.plan.passes_per_epoch / self.model.reduction
        history.flops = 3.0 * self.model.main.recurrent.flops_per_step * num_steps
        if history.layout == "padded":
            history.padded_flops = history.flops * (1 / history.fill - 1)

    def _end_epoch(self) -> None:
        """Score the network, and keep its weights if they are the best so far."""
        sums = self.step.totals.clone()
        self.ranks.all_reduce_sum([sums[:1]])
        loss, norm, clipped, count = sums.tolist()
        number = len(self.history.epochs) + 1
        done = number * self.plan.num_batches * self.plan.passes_per_epoch
        epoch = Epoch(
            number=number,
            train_loss=loss / max(count, 1),
            learning_rate=self.settings.learning_rate_at((done - 1) / self.plan.num_updates),
            gradient_norm=norm / self.batch_number,
            clipped=clipped / self.batch_number,
            train_s=self.epoch_s,
            validation=None if self.validation is None else self._validate(self.validation),
        )
        self.history.epochs.append(epoch)
        if number.bit_count() == 1:  # a power of two: rare enough to cost little
            curve = measure_reach(self.model, self.sample).curve.tolist()
            self.history.reaches.append((number, curve))
        if self._is_best(epoch):
            self.history.best_epoch = number
            self.best_weights = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.batch_number, self.epoch_s = 0, 0.0
        self.step.totals.zero_()
        self.on_epoch(epoch)

    def _validation_chooses(self) -> bool:
        """Whether the weights of the best epoch on the validation rows are kept, and not the last
        ones."""
        if self.validation is None or not self.settings.wants_best:
            return False
        if self.settings.keep == "best":
            return True
        target = self.validation.store.target
        counts = target.class_counts(self.validation, self.num_classes)
        return len(self.validation) >= MIN_CHOOSING_ROWS and bool(np.all(counts > 0))

    def _is_best(self, epoch: Epoch) -> bool:
        if not self.keeps_best or epoch.validation is None or not self.history.best_epoch:
            return True
        best = self.history.epochs[self.history.best_epoch - 1].validation
        assert best is not None
        monitor = self.settings.monitor
        return epoch.validation.sort_key(monitor) > best.sort_key(monitor)

    def _validate(self, validation: Sequences) -> Scores:
        """Scores of all validation rows; each rank predicts its part of them."""
        target = validation.store.target
        if self.ranks.is_single_process or target.labels_steps:
            logits = predict_logits(self.network, validation, self.device)
        else:
            rows = np.arange(len(validation))[self.ranks.rank :: self.ranks.world_size]
            logits = np.empty((0, self.num_classes), np.float32)
            if len(rows):
                logits = predict_logits(self.network, validation.take(rows), self.device)
            logits = self.ranks.gather_rows(logits, rows, len(validation))
        return score(logits, target.labels(validation), target)

    def _check_loss(self) -> None:
        """Raise SeqbeltError if the loss or the gradient is no longer finite."""
        if (where := self.loss_detector.first_failure()) is None:
            return
        good = self.checkpoint if self.checkpoint and has_checkpoint(self.checkpoint) else None
        kept = f"; {good} contains the state before it" if good else ""
        raise SeqbeltError(
            f"the loss is not finite in epoch {len(self.history.epochs) + 1}, {where}; check "
            "these rows, or lower training.learning_rate (now "
            f"{self.settings.learning_rate:g}) or training.clip_norm (now "
            f"{self.settings.clip_norm}){kept}"
        )

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        self._check_loss()
        state = capture(self)
        if self.ranks.rank == 0:
            save_checkpoint(self.checkpoint, *state)


def _check_settings(settings: Training, model: SequenceNetwork, train: Sequences) -> None:
    """Raise SettingsError for settings that this network or these labels do not allow."""
    if settings.chunk_steps and model.settings.bidirectional:
        raise SettingsError(
            "training.chunk_steps: a bidirectional network reads from the end as well and "
            "cannot run in chunks; set model.bidirectional: false, or shorten the sequences "
            "with model.crop_steps"
        )
    if settings.sampling == "balanced" and train.store.target.is_several:
        raise SettingsError(
            "training.sampling: balanced draws rows by their class, and with data.labels: "
            "several a row has several; use training.class_weights: balanced"
        )
    if settings.sampling == "balanced" and model.labels_steps:
        raise SettingsError(
            "training.sampling: balanced draws whole sequences, which have no class where each "
            "step has one; use training.class_weights: balanced"
        )


def _learn_normalization(model: SequenceNetwork, train: Sequences) -> None:
    """Set the mean and standard deviation of each input by the training rows."""
    for branch, rows in zip(model.branches, each_input(train), strict=True):
        if not branch.is_tokens and len(rows):
            branch.normalize.learn(*step_statistics(rows))
