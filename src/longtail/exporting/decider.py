"""Everything between the pixels of an image and its decision, as one network."""

from __future__ import annotations

from torch import Tensor, nn

from longtail.decisions.temperature import tempered
from longtail.exporting.resize import Resize
from longtail.training.learner import Learner


class Decider(nn.Module):
    """Images as they are stored -> probabilities and decisions, by the functions that `predict` calls.

    Args:
        learner: in evaluation mode, with the decision that is to be made.
        size: (height, width) of the images that it takes.
        temperature: (J,) of its scores, None where they stay as they are.
    """

    temperature: Tensor | None

    def __init__(self, learner: Learner, size: tuple[int, int], temperature: Tensor | None) -> None:
        super().__init__()
        self.resize = Resize(size)
        self.learner = learner
        self.register_buffer("temperature", temperature)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, H, W, 3) uint8 of any N, H and W -> probabilities (N, J, K), decision (N, J) int64.

        A probability is 0 where an attribute has no such class.
        """
        return self.decide(self.resize(images))

    def decide(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The same of images (N, 3, height, width) uint8 that have the right size."""
        scores = self.learner.scores(images)
        probabilities = scores if self.temperature is None else tempered(scores, self.temperature)
        return probabilities, probabilities.argmax(2)
