"""Text features by an encoder in an ONNX file: a vector for each token."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from seqbelt.errors import EMPTY, UNREADABLE, BadInput, SettingsError
from seqbelt.features.base import Learned, Source
from seqbelt.features.pretrained import encoder_certificate
from seqbelt.features.pretrained.encoder_certificate import Batching
from seqbelt.features.pretrained.onnx_model import (
    EncoderFile,
    OnnxModel,
    choose,
    hash_of_files,
    load_learned,
)
from seqbelt.features.pretrained.pretrained import Certified, PretrainedFeatures
from seqbelt.features.text.encoder import FILE as TOKENIZER_FILE
from seqbelt.features.text.text import max_text_bytes, read_text

if TYPE_CHECKING:  # 0.1 s to import, and the command line only reads settings
    from tokenizers import Tokenizer

MAX_BATCH_TOKENS = 16_384
"""Of one run, padding included."""
PROBE_TOKENS = (12, 12, 20)
HELPER_WORDS = {"mask": "mask", "types": "type", "positions": "position"}
"""What the names of further inputs contain."""


class EncodedText(PretrainedFeatures):
    """Texts through a frozen encoder in an ONNX file: one step for each token."""

    reads_text: ClassVar[bool] = True
    size_setting: ClassVar[str] = "features.max_characters"

    kind: Literal["encoder"]
    reads: Literal["tokens"]
    """The encoder takes token ids."""
    tokenizer: Path
    """The encoder's own tokenizer.json of Hugging Face; it is copied like the encoder."""
    truncate_tokens: Annotated[int, Field(ge=1)] = 128
    """Tokens kept of a text, those included that the tokenizer adds; the rest is truncated."""
    max_characters: Annotated[int, Field(ge=1)] = 1_000_000
    """Longer texts are quarantined before any work is spent on them."""

    @property
    def max_file_bytes(self) -> float:
        return max_text_bytes(self.max_characters)

    def identity(self) -> dict[str, Any]:
        """Without the path of the tokenizer, which is among what is learned."""
        values = super().identity()
        del values["tokenizer"]
        return values

    def files_stamp(self) -> str:
        _read_tokenizer(self.tokenizer)  # refuses what is missing
        return super().files_stamp() + hash_of_files([self.tokenizer])

    def read(self, source: Source) -> str:
        """The text in ``source``, as all text features read it. Raises BadInput."""
        return read_text(source, self.max_characters, self.size_setting)

    def learn(self, raws: Iterable[str]) -> Learned:
        """The encoder with its tokenizer and certificate; no row is read. Raises SettingsError."""
        tokenizer = _read_tokenizer(self.tokenizer)
        learned = self.learn_certified(
            lambda model, file: _certify(_probe(self, model, tokenizer), file)
        )
        return {**learned, TOKENIZER_FILE: tokenizer}

    def encoder(self, learned: Learned) -> "TokenEncoder":
        model, about = load_learned(learned)
        return TokenEncoder(self, model, learned[TOKENIZER_FILE], **about["encoder"])


def _read_tokenizer(path: Path) -> bytes:
    if not path.is_file():
        raise SettingsError(
            f"features.tokenizer: {path}: no such file; give the encoder's tokenizer.json"
        )
    return path.read_bytes()


@dataclass(frozen=True)
class TokenEncoder:
    """Encodes texts as ``EncodedText.read`` returns them."""

    features: EncodedText
    model: OnnxModel
    tokenizer_content: bytes
    ids: str
    output: str
    mask: str | None
    types: str | None
    positions: str | None
    length: int | None
    """Tokens that the graph takes; None for any number."""
    batch_size: int | None
    num_features: int = 0
    batching: Batching = "alone"

    def about(self) -> dict[str, Any]:
        """The fields of the encoder, as JSON values."""
        names = [field.name for field in dataclasses.fields(self)][3:]
        return {"encoder": {name: getattr(self, name) for name in names}}

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """Raises SettingsError if the file is no tokenizer."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_buffer(self.tokenizer_content)
        except Exception as error:  # tokenizers has no class of errors
            raise SettingsError(
                f"features.tokenizer: {self.features.tokenizer}: cannot be read as a "
                f"tokenizer.json ({error})"
            ) from None
        tokenizer.no_padding()
        most = self.features.truncate_tokens
        tokenizer.enable_truncation(most if self.length is None else min(most, self.length))
        # Do not parse special tokens, such as "[PAD]", in user text.
        tokenizer.encode_special_tokens = True
        return tokenizer

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def encode(self, raws: Sequence[str]) -> list[np.ndarray]:
        """Encode texts: float32 ``(tokens, num_features)`` each."""
        ids = [
            np.array(encoding.ids, np.int64) for encoding in self.tokenizer.encode_batch(list(raws))
        ]
        sequences: list[np.ndarray] = [np.empty(0)] * len(ids)
        for batch in self._batches([len(row) for row in ids]):
            for index, steps in zip(batch, self.run([ids[i] for i in batch]), strict=True):
                sequences[index] = steps
        return sequences

    def _batches(self, lengths: list[int]) -> list[list[int]]:
        """Indices of what is run together; a text without tokens is refused."""
        batches: list[list[int]] = []
        for index in sorted(range(len(lengths)), key=lengths.__getitem__):
            if not lengths[index]:
                raise BadInput(EMPTY, "the tokenizer finds no token in the text")
            batch = batches[-1] if batches else []
            fits = (
                self.batching == "padded" or lengths[batch[0] if batch else index] == lengths[index]
            )
            has_room = (len(batch) + 1) * lengths[index] <= MAX_BATCH_TOKENS
            if batch and self.batching != "alone" and fits and has_room:
                batch.append(index)
            else:
                batches.append([index])
        return batches

    def run(self, rows: list[np.ndarray], fill: int = 0) -> list[np.ndarray]:
        """Features of token ids that are run together, each ``(tokens, num_features)``; ``fill`` is
        the id at padding."""
        inputs = {port.name: port for port in self.model.inputs}
        shape = (self.batch_size or len(rows), self.length or max(map(len, rows)))
        ids, mask = np.full(shape, fill, np.int64), np.zeros(shape, np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        mask[len(rows) :, 0] = 1  # attention to nothing is not a number
        positions = np.broadcast_to(np.arange(shape[1]), shape)
        values = {
            self.ids: ids,
            self.mask: mask,
            self.types: np.zeros(shape, np.int64),
            self.positions: positions,
        }
        feeds = {
            name: value.astype(inputs[name].dtype)
            for name, value in values.items()
            if name is not None
        }
        (output,) = self.model.run([self.output], feeds)
        if output.ndim != 3 or output.shape[:2] != shape:
            raise BadInput(
                UNREADABLE,
                f"the output '{self.output}' of {self.model.name} has shape {output.shape} for "
                f"token ids {shape}, expected (batch, tokens, features)",
            )
        return [output[index, : len(row)].astype(np.float32) for index, row in enumerate(rows)]


def _probe(features: EncodedText, model: OnnxModel, tokenizer: bytes) -> TokenEncoder:
    """The encoder, not certified yet. Raises SettingsError where graph and settings disagree."""
    helpers: dict[str, str | None] = dict.fromkeys(HELPER_WORDS)
    ids_candidates = []
    for port in model.inputs:
        name = port.name.lower()
        helper = next((key for key, word in HELPER_WORDS.items() if word in name), None)
        if port.name != features.input and helper and len(port.shape) == 2:
            helpers[helper] = port.name
        else:
            ids_candidates.append(port)
    ids = choose(
        model, "input", features.input,
        [port for port in ids_candidates if port.is_integer and len(port.shape) == 2],
    )  # fmt: skip
    if not ids.is_integer or len(ids.shape) != 2:
        raise SettingsError(
            f"features.input: {ids} takes no token ids: 'reads: tokens' needs whole numbers "
            f"(batch, tokens). Of {model.name}: {model.describe_ports()}"
        )
    unknown = [port for port in ids_candidates if port is not ids]
    if unknown:
        raise SettingsError(
            f"features.input: it is not known what to give to {unknown[0]} beside {ids}; inputs "
            "whose names have 'mask', 'type' or 'position' are filled in; export the encoder "
            f"without others. {model.describe_ports()}"
        )
    outputs = [port for port in model.outputs if port.is_float and len(port.shape) == 3]
    output = choose(model, "output", features.output, outputs)
    length = ids.shape[1]
    if length is not None and helpers["mask"] is None:
        raise SettingsError(
            f"features.input: {ids} takes exactly {length} tokens, and {model.name} has no mask to "
            "tell padding from text; export it with a free axis of tokens"
        )
    encoder = TokenEncoder(
        features, model, tokenizer, ids.name, output.name, helpers["mask"], helpers["types"],
        helpers["positions"], length, ids.shape[0],
    )  # fmt: skip
    _ = encoder.tokenizer
    try:
        (steps,) = encoder.run([_probe_ids(encoder, 0, 4)])
    except BadInput as error:
        raise SettingsError(f"features.file: {error}") from None
    return dataclasses.replace(encoder, num_features=steps.shape[1])


def _probe_ids(encoder: TokenEncoder, number: int, length: int) -> np.ndarray:
    size = encoder.tokenizer.get_vocab_size()
    return np.random.default_rng(number).integers(0, size, length)


def _certify(encoder: TokenEncoder, file: EncoderFile) -> Certified:
    """How the encoder is used, in batches that leave its answers as they are, and its certificate.

    Raises SettingsError if answers are random, or depend on padding or batch mates that cannot be
    left out.
    """
    lengths = [min(length, encoder.length or length) for length in PROBE_TOKENS]
    rows = [_probe_ids(encoder, number, length) for number, length in enumerate(lengths)]
    alone = [encoder.run([row])[0] for row in rows]
    name = file.path.name
    again = encoder_certificate.relative_difference(encoder.run(rows[:1])[0], alone[0])
    encoder_certificate.refuse_randomness(again, name)
    if encoder.length is not None:
        other = encoder.run(rows[:1], fill=encoder.tokenizer.get_vocab_size() - 1)[0]
        difference = encoder_certificate.relative_difference(other, alone[0])
        if not difference <= encoder_certificate.TOLERANCE:
            raise SettingsError(
                f"features.file: {name} takes exactly {encoder.length} tokens, and an output "
                f"depends on the values at the padding (difference {difference:.2g} of the "
                "largest value); export it with a free axis of tokens"
            )
    equal = padded = None
    if encoder.batch_size is None:
        equal = encoder_certificate.largest_difference(zip(encoder.run(rows[:2]), alone))
        together = encoder.run([rows[0], rows[2]])
        padded = encoder_certificate.largest_difference(zip(together, [alone[0], alone[2]]))
    elif encoder.batch_size > 1:
        mates = encoder.run([rows[0], *[rows[1]] * (encoder.batch_size - 1)])[0]
        encoder_certificate.refuse_batch_mates(
            encoder_certificate.relative_difference(mates, alone[0]), encoder.batch_size, name
        )
    encoder = dataclasses.replace(
        encoder, batching=encoder_certificate.decide_batching(equal, padded)
    )
    note = (
        f"{file.describe()}: '{encoder.ids}' to '{encoder.output}', {encoder.num_features} "
        f"features a token; {encoder_certificate.describe_batching(equal, padded)}"
    )
    notes = [note, *file.copy_notes(encoder.features.max_copy_mb)]
    return encoder.about(), encoder_certificate.to_file(notes, {"equal": equal, "padded": padded})
