"""Sound features by a frozen encoder, learned as its certificate."""

from collections.abc import Iterable

from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.base import Encoder, Learned
from seqbelt.features.pretrained.onnx_model import load_learned
from seqbelt.features.pretrained.sound_encoder import SoundEncoder
from seqbelt.features.pretrained.sound_settings import SoundEncoderSettings
from seqbelt.features.pretrained.sound_trials import certify, probe


class EncodedSound(SoundEncoderSettings):
    """Sound through a frozen encoder in an ONNX file: of each window, or of the whole recording."""

    def learn(self, raws: Iterable[Audio]) -> Learned:
        """The encoder with its certificate; no row is read. Raises SettingsError."""
        return self.learn_certified(lambda model, file: certify(probe(self, model), file))

    def encoder(self, learned: Learned) -> SoundEncoder:  # type: ignore[override]
        model, about = load_learned(learned)
        return SoundEncoder.from_about(self, model, about)

    def remarks(self, raw: Audio, encoder: Encoder) -> tuple[str, ...]:
        if raw.sample_rate >= self.sample_rate:
            return ()
        return (
            f"resampled from {raw.sample_rate} Hz to the encoder's {self.sample_rate} Hz: nothing "
            f"is above {raw.sample_rate // 2} Hz",
        )
