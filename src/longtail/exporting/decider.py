"""Everything between the pixels of an image and its decision, as one network."""

from __future__ import annotations

from torch import Tensor, nn

from longtail.exporting.resize import Resize
from longtail.training.learner import Learner


class Decider(nn.Module):
    """Images as they are stored -> probabilities and decisions, by the functions that `predict` calls.

    Args:
        learner: in evaluation mode, with the decision that is to be made.
        size: (height, width) of the images that it takes.
    """

    def __init__(self, learner: Learner, size: tuple[int, int]) -> None:
        super().__init__()
        self.resize = Resize(size)
        self.learner = learner

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, H, W, 3) uint8 of any N, H and W -> probabilities (N, J, K), decision (N, J) int64.

        A probability is 0 where an attribute has no such class.
        """
        probabilities = self.learner.scores(self.resize(images))
        return probabilities, probabilities.argmax(2)
