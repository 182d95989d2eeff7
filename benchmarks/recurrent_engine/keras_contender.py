"""Keras 3 on torch, with masking: an optional contender (``pip install seqbelt[keras]``)."""

import os

from recurrent_engine.contenders import HIDDEN_SIZE, Contender, Task
from seqbelt.data.batches import Batch

KERAS = "Keras 3, masked, random"


def keras_contender(device: str) -> tuple[Contender | None, str]:
    """The contender, or None, and the version or why there is none."""
    os.environ["KERAS_BACKEND"], os.environ["KERAS_TORCH_DEVICE"] = "torch", device
    try:
        import keras
    except ImportError as error:
        return None, f"Keras skipped ({error})"
    contender = Contender(KERAS, KerasRunner, bucketed=False, slow="always")
    return contender, f"Keras {keras.__version__}"


class KerasRunner:
    """The network as Keras's guides write it; padding is 0 and masked."""

    def __init__(self, task: Task, bf16: bool) -> None:
        import keras
        from keras import layers

        keras.utils.set_random_seed(0)
        workload = task.workload
        if workload.vocabulary_size:
            size = workload.vocabulary_size
            first = layers.Embedding(size, workload.input_size, mask_zero=True)
        else:
            first = layers.Masking()
        kinds = {"lstm": layers.LSTM, "gru": layers.GRU, "rnn": layers.SimpleRNN}
        layer = kinds[task.cell](HIDDEN_SIZE)
        if workload.bidirectional:
            layer = layers.Bidirectional(layer)
        self.network = keras.Sequential([first, layer, layers.Dense(workload.num_classes)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.network.compile(optimizer=keras.optimizers.AdamW(), loss=loss)

    def load(self, batch: Batch) -> Batch:
        return batch

    def train(self, batch: Batch) -> None:
        self.network.train_on_batch(batch.inputs, batch.labels)

    def infer(self, batch: Batch) -> None:
        self.network.predict_on_batch(batch.inputs)
