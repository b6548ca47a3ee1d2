from __future__ import annotations

import numpy as np
import pytest

from longtail.evaluation.ranking import by_class


@pytest.mark.parametrize("number", [0, 1, 63, 64, 65, 200])
def test_the_scores_of_each_class_come_in_the_order_asked_for(number: int) -> None:
    draw = np.random.default_rng(number)
    scores, classes = draw.random((7, 200)), draw.permutation(200)[:number]
    found = list(by_class(scores, classes))
    assert len(found) == number
    assert all(np.array_equal(own, scores[:, c]) for c, own in zip(classes, found))
