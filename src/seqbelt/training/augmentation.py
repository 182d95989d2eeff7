"""The section ``training.augmentation``: random changes of the training sequences."""

from typing import Annotated

from pydantic import Field

from seqbelt.settings import Fraction, Settings

Size = Annotated[float, Field(ge=0)]


class Augmentation(Settings):
    """Random transforms of numeric training sequences; 0 turns a transform off.

    Every row draws its own strengths. Noise and masks come last, so that nothing smooths them.
    """

    time_stretch: Fraction = 0.0
    """Largest relative change of the number of steps: 0.2 makes a sequence up to a fifth shorter
    or longer."""
    time_warp: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Standard deviation of the log of the speed, which changes smoothly along the sequence
    (Um et al. 2017, arXiv:1706.00527). The number of steps stays."""
    shift: Fraction = 0.0
    """Largest shift in time, as a fraction of the steps; the first or last value fills the gap."""
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest rotation in degrees, about an axis of any direction. Features are taken in groups
    of three (x, y, z), which turn together."""
    frequency_warp: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest relative change of frequency, for features that are the bands of a spectrum in rising
    order: each row is read at bands that are stretched or compressed by one factor, as other
    vocal tracts would do (Jaitly & Hinton 2013, vocal tract length perturbation)."""
    equalizer_std: Size = 0.0
    """Standard deviation of a curve that is added to the bands of a spectrum, in each band's
    standard deviations: smooth over the bands and the same at every step, as another microphone
    or room would do (FilterAugment, Nam et al. 2022, arXiv:2110.03282)."""
    scale_std: Size = 0.0
    """Standard deviation of the factor, around 1, that each feature's distance from its training
    mean is multiplied by (Um et al. 2017)."""
    mixup_alpha: Size = 0.0
    """Parameter of the Beta distribution of the weights with which two rows and their labels are
    mixed (Zhang et al. 2018, arXiv:1710.09412). The second row is stretched to the first one's
    steps, so that no padding is mixed in, and has the smaller weight."""
    noise_std: Size = 0.0
    """Standard deviation of white noise, in each feature's standard deviations: those of the row
    itself, or of the training rows where those are smaller."""
    time_mask_steps: Annotated[int, Field(ge=0)] = 0
    """Largest number of consecutive steps that are replaced by the training mean, at most half of a
    sequence (SpecAugment, Park et al. 2019, arXiv:1904.08779)."""
    channel_mask: Fraction = 0.0
    """Largest fraction of adjacent features that are replaced in the same way."""

    feature_dropout: Fraction = 0.0
    """Largest fraction of features, drawn independently, that are replaced in the same way; each
    row draws its fraction between 0 and this. At least one feature stays."""

    @property
    def is_on(self) -> bool:
        """Whether any transform is on."""
        return self != Augmentation()
