"""A step that does not fit is split; one that diverges names its rows."""

import logging
import re

import pytest
import torch
from toys import PLAIN, UNCHANGED, toy_store

from seqbelt.errors import SeqbeltError
from seqbelt.models.classifier import SingleNetwork, build_network
from seqbelt.models.model import Model
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop

MODEL = Model(hidden_size=8, **PLAIN)
TRAINING = Training(num_epochs=3, batch_size=8, learning_rate=0.02, device="cpu", **UNCHANGED)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


class Small(SingleNetwork):
    """A network on a device with room for so many sequences."""

    room = 3

    def forward(self, inputs, lengths, chunks=None):
        if self.training and len(inputs) > self.room:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return super().forward(inputs, lengths, chunks)


def fit(store, network=SingleNetwork, training=TRAINING, resume=False, **options):
    train, validation = store.split("train"), store.split("validation")

    def build():
        return network(MODEL, 3, 2, False)

    return Loop(training, build, train, validation, **options).run(resume)


def test_a_batch_that_does_not_fit_is_split_with_the_same_result(store, caplog):
    whole, expected = fit(store)
    with caplog.at_level(logging.WARNING):
        parts, found = fit(store, Small)
    assert [epoch.train_loss for epoch in found.epochs] == pytest.approx(
        [epoch.train_loss for epoch in expected.epochs], rel=1e-5
    )
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    told = [record.getMessage() for record in caplog.records]
    assert [text.split(" in ")[1] for text in told] == [
        "2 pieces, with the same result. Lower training.batch_size, model.crop_steps or "
        "training.chunk_steps to use less memory.",
        "4 pieces, with the same result. Lower training.batch_size, model.crop_steps or "
        "training.chunk_steps to use less memory.",
    ]


def test_a_sequence_that_does_not_fit_is_an_error(store, monkeypatch):
    monkeypatch.setattr(Small, "room", 0)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        fit(store, Small)


class Broken(SingleNetwork):
    """Predictions of one known sequence are undefined."""

    first: float

    def forward(self, inputs, lengths, chunks=None):
        logits = super().forward(inputs, lengths, chunks)
        is_bad = torch.isclose(inputs[:, 0, 0], torch.tensor(self.first))
        return torch.where(is_bad[:, None], torch.nan, logits)


def test_a_loss_that_is_not_finite_names_the_rows_and_the_last_good_checkpoint(
    store, monkeypatch, tmp_path
):
    train = store.split("train")
    bad = 5
    monkeypatch.setattr(Broken, "first", float(train[bad][0, 0]), raising=False)
    with pytest.raises(SeqbeltError, match="not finite in epoch 1, batch") as caught:
        fit(store, Broken, checkpoint=tmp_path / "c.safetensors")
    assert train.column("id")[bad] in str(caught.value).replace(",", " ").split()
    assert "c.safetensors" not in str(caught.value), "there is no good one yet"
    Loop(
        Training(num_epochs=1, batch_size=8, device="cpu"),
        lambda: build_network(MODEL, 3, 2, False),
        train,
        None,
        checkpoint=tmp_path / "c.safetensors",
    ).run()
    before = (tmp_path / "c.safetensors").read_bytes()
    with pytest.raises(SeqbeltError, match=r"c\.safetensors contains the state before it"):
        fit(store, Broken, checkpoint=tmp_path / "c.safetensors", resume=True)
    assert (tmp_path / "c.safetensors").read_bytes() == before


class BrokenLater(Broken):
    """The known sequence is read well once, in the first pass."""

    num_seen = 0

    def forward(self, inputs, lengths, chunks=None):
        logits = super().forward(inputs, lengths, chunks)
        if self.training and not logits.isfinite().all():
            self.num_seen += 1
            if self.num_seen < 2:
                return SingleNetwork.forward(self, inputs, lengths, chunks)
            self.bad_inputs = getattr(self, "bad_inputs", inputs)
        return logits


@pytest.mark.parametrize("bad", [5, 17, 29])
def test_a_batch_that_fails_in_the_second_pass_of_an_epoch_is_named(store, monkeypatch, bad):
    monkeypatch.setattr("seqbelt.training.hyperparameters.MAX_EPOCHS", 1)
    train = store.split("train")
    monkeypatch.setattr(Broken, "first", float(train[bad][0, 0]), raising=False)
    networks = []

    def build():
        networks.append(BrokenLater(MODEL, 3, 2, False))
        return networks[-1]

    training = TRAINING.replace(num_epochs=None, num_updates=12)  # one epoch of three passes
    with pytest.raises(SeqbeltError, match="not finite in epoch 1, batch") as caught:
        Loop(training, build, train, None).run()
    firsts = networks[0].bad_inputs[:, 0, 0].tolist()
    ids = train.column("id")
    rows = [row for row in range(len(train)) if float(train[row][0, 0]) in firsts]
    assert bad in rows and len(rows) == len(firsts)
    (named,) = re.findall(r"batch \d of 4: ([^;]+); check", str(caught.value))
    assert sorted(named.split(", ")) == sorted(ids[row] for row in rows)
