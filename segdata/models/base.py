"""What every model that segments persons gives and takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from segdata.choices import Who

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image: TypeAlias = NDArray[np.uint8]
    Probabilities: TypeAlias = NDArray[np.float32]

Need = Literal["second-texture", "prior", "saliency", "domain"]
"""What a network is fed beside photos: in training the same views in another texture; as fourth channel a mask that was
there before, or a saliency map; the domain of each photo."""

Fourth = Literal["", "prior", "saliency"]
"""What a fourth channel of a photo holds, in 0 to 255: the dominant person's mask in the frame before, or the
dominant person's saliency map. Zeros say that nothing is known."""


class Segmenter(Protocol):
    """Segments persons. An object is for one process and one thread, and keeps nothing from one photo to the next.

    `name` is what it is called in outputs, `who` the meaning of each channel it gives, the default first, and
    `threshold` the probability from which on a pixel is a person's. `pixels` is the number of pixels that photos are
    brought to, in their own aspect, or None for a model that always sees them at one size. `sha256` tells a model from
    any other; None where its weights never change. `fourth` is what it takes for a fourth channel of a photo, and
    `uses_domains` tells whether it does better where a photo's domain is known (`for_domain`).
    """

    name: str
    who: tuple[Who, ...]
    threshold: float
    fourth: Fourth
    uses_domains: bool

    @property
    def pixels(self) -> int | None:
        """The number of pixels that photos are brought to."""

    @property
    def sha256(self) -> str | None:
        """What tells its weights from any other's."""

    def probabilities(self, images: Sequence[Image]) -> list[Probabilities]:
        """Give float32 (K, H, W) in [0, 1] for each upright uint8 (H, W, 3) RGB photo, at its own size.

        A model with a `fourth` channel takes (H, W, 4) as well, and otherwise knows nothing of it.
        """

    def for_domain(self, domain: str | None) -> Segmenter:
        """Give the model for photos of a domain of `segdata.domains.DOMAINS`, or of none that is known."""
