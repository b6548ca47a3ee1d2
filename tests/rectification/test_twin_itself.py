"""The brute-force twin gives the numbers that a pencil gives."""

from __future__ import annotations

import math

import pytest
import torch

from .twin import gradients, histogram, minorities, twin

# Class level. Two classes; p(1) of five images. Class 1 has 2 of 5 images, 2 <= 0.5 * 5: a minority.
# Its hardest positives (kappa = 2): both images. Its hardest negatives: 0.9 and 0.5.
#   anchor 0.6: d+ = |0.6 - 0.2| = 0.4    d- = 0.6 - 0.9 = -0.3,  0.6 - 0.5 =  0.1
#   anchor 0.2: d+ = |0.2 - 0.6| = 0.4    d- = 0.2 - 0.9 = -0.7,  0.2 - 0.5 = -0.3
PROBABILITIES = [0.6, 0.2, 0.1, 0.5, 0.9]
CLASS_LABELS = [1, 1, 0, 0, 0]

# Instance level, features on a line. Class 1 at 0, 1, 4 (3 of 7 images, 3 <= 3.5); class 0 at 2, 3, 10, 20.
POSITIONS = [0.0, 1.0, 4.0, 2.0, 3.0, 10.0, 20.0]
INSTANCE_LABELS = [1, 1, 1, 0, 0, 0, 0]


def two_class_logits(probabilities: list[float]) -> torch.Tensor:
    p = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack([torch.log(1 - p), torch.log(p)], dim=-1)[:, None, :].requires_grad_()


def as_column(labels: list[int]) -> torch.Tensor:
    return torch.tensor(labels)[:, None]


def on_classes(**how):
    logits = two_class_logits(PROBABILITIES)
    return logits, twin(logits, as_column(CLASS_LABELS), level="class", kappa=2, **how)


def on_instances(**how):
    features = torch.tensor(POSITIONS, dtype=torch.float64)[:, None, None].requires_grad_()
    logits = torch.zeros(7, 1, 2, dtype=torch.float64)
    return features, twin(logits, as_column(INSTANCE_LABELS), features, level="instance", **how)


def test_relative_on_classes_averages_the_hinges_of_all_four_triplets():
    # margin 0.5: (0.5+0.4+0.3) + (0.5+0.4-0.1) + (0.5+0.4+0.7) + (0.5+0.4+0.3) = 1.2+0.8+1.6+1.2 = 4.8
    _, outcome = on_classes(comparison="relative")
    assert outcome.loss.item() == pytest.approx(4.8 / 4, abs=1e-12)
    assert (outcome.triplets, outcome.positive_pairs, outcome.negative_pairs) == (4, 2, 4)
    assert outcome.active_share == 1


def test_relative_on_classes_divides_by_the_inactive_triplets_too():
    # margin -0.8: 1.2-1.3 < 0, 0.8-1.3 < 0, 1.6-1.3 = 0.3, 1.2-1.3 < 0
    _, outcome = on_classes(comparison="relative", margin=-0.8)
    assert outcome.loss.item() == pytest.approx(0.3 / 4, abs=1e-12)
    assert outcome.active_share == 0.25


@pytest.mark.parametrize(("power", "pull"), [(1, 0.4), (2, 0.16)])
def test_absolute_on_classes_pulls_with_the_power_and_pushes_with_the_square(power: int, pull: float):
    # pushes: (0.5+0.3)^2 + (0.5-0.1)^2 + (0.5+0.7)^2 + (0.5+0.3)^2 = 0.64+0.16+1.44+0.64 = 2.88, mean 0.72
    _, outcome = on_classes(comparison="absolute", power=power)
    assert outcome.loss.item() == pytest.approx(0.5 * (pull + 0.72), abs=1e-12)


def test_distribution_on_classes_counts_the_negatives_below_each_positive():
    # nodes -1, -.5, 0, .5, 1. Both d+ = .4: .2 on node 0 and .8 on node .5.
    # d-: -.3 -> .6 on -.5, .4 on 0 (twice); .1 -> .8 on 0, .2 on .5; -.7 -> .4 on -1, .6 on -.5
    # h- = (.4, 1.8, 1.6, .2, 0)/4 = (.1, .45, .4, .05, 0), cumulative (.1, .55, .95, 1, 1)
    _, outcome = on_classes(comparison="distribution", nodes=5)
    assert outcome.loss.item() == pytest.approx(0.2 * 0.95 + 0.8 * 1.0, abs=1e-12)


def test_gradient_of_relative_on_classes_is_the_one_worked_out_by_hand():
    # dL/dp, times 4. Anchor 0.6 twice: |p0-p1| gives +2, -2; -p0 gives -2. Anchor 0.2 twice: +2, -2; -p1
    # gives -2. So p0: +2, p1: -6; the negatives 0.9 and 0.5: +2 each.
    # Then dp(1)/dz1 = p(1-p), dp(1)/dz0 = -p(1-p).
    logits, outcome = on_classes(comparison="relative")
    (grad,) = gradients(outcome.loss, logits)
    by_hand = [0.24 * 0.5, 0.16 * -1.5, 0.0, 0.25 * 0.5, 0.09 * 0.5]
    assert grad[:, 0, 1].tolist() == pytest.approx(by_hand, abs=1e-12)
    assert grad[:, 0, 0].tolist() == pytest.approx([-g for g in by_hand], abs=1e-12)


def test_an_anchor_leaves_its_positives_only_after_they_are_chosen():
    # kappa = 1: the one hardest positive is 0.2, so anchor 0.2 has none; the hardest negative is 0.9.
    # Left: anchor 0.6, d+ 0.4, d- -0.3: 0.5+0.4+0.3 = 1.2. Both anchors keep their negative pair.
    logits = two_class_logits(PROBABILITIES)
    outcome = twin(logits, as_column(CLASS_LABELS), level="class", kappa=1)
    assert outcome.loss.item() == pytest.approx(1.2, abs=1e-12)
    assert (outcome.anchors, outcome.positive_pairs, outcome.negative_pairs) == ([1], 1, 2)


def test_relative_on_instances_mines_for_each_anchor():
    # kappa = 1, margin 2*pi/2. Anchor 0: farthest positive 4 (d 4), nearest negative 2 (d 2): pi + 2.
    # Anchor 1: 4 (d 3), 2 (d 1): pi + 2. Anchor 4: 0 (d 4), 3 (d 1): pi + 3.
    _, outcome = on_instances(comparison="relative", kappa=1)
    assert outcome.loss.item() == pytest.approx(math.pi + 7 / 3, abs=1e-12)
    assert (outcome.triplets, outcome.anchors) == (3, [3])


def test_absolute_on_instances_ignores_negatives_beyond_the_margin():
    # margin 1.5: pulls (4+3+4)/3; pushes (0 + 0.5^2 + 0.5^2)/3
    _, outcome = on_instances(comparison="absolute", kappa=1, margin=1.5)
    assert outcome.loss.item() == pytest.approx(0.5 * (11 / 3 + 0.5 / 3), abs=1e-12)


def test_distribution_on_instances_ends_its_grid_at_the_largest_distance():
    # kappa = 2: d+ = 4,1, 3,1, 4,3; d- = 2,3, 1,2, 1,2; nodes 0, 2, 4.
    # h+ = (.5+.5, .5+.5+.5+.5, 1+.5+1+.5)/6 = (1, 2, 3)/6; h- = (1, 4.5, .5)/6, cumulative (1, 5.5, 6)/6
    _, outcome = on_instances(comparison="distribution", kappa=2, nodes=3)
    assert outcome.loss.item() == pytest.approx((1 * 1 + 2 * 5.5 + 3 * 6) / 36, abs=1e-12)


def test_gradient_of_relative_on_instances_is_the_one_worked_out_by_hand():
    # Times 3. d+(0,4): x0 -1, x4 +1; -d-(0,2): x0 +1, x2 -1; d+(1,4): x1 -1, x4 +1; -d-(1,2): x1 +1, x2 -1;
    # d+(4,0): x4 +1, x0 -1; -d-(4,3): x4 -1, x3 +1. The sum at 0, 1, 4, 2, 3 is -1, 0, 2, -2, 1.
    features, outcome = on_instances(comparison="relative", kappa=1)
    (grad,) = gradients(outcome.loss, features)
    assert (3 * grad).flatten().tolist() == pytest.approx([-1, 0, 2, -2, 1, 0, 0], abs=1e-12)


def test_normalised_features_are_compared_on_the_unit_circle():
    # Angles 0, 90 degrees (class 1), 180, 180, 270 degrees (class 0), lengths 1, 5, 2, 3, 4; kappa = 1,
    # margin 0.5. Anchor 0: d+ sqrt 2, nearest negative at 270 degrees, sqrt 2. Anchor 90: d+ sqrt 2, nearest
    # at 180, sqrt 2. Both hinges are 0.5.
    features = torch.tensor([[1, 0], [0, 5], [-2, 0], [-3, 0], [0, -4]], dtype=torch.float64)[:, None]
    logits = torch.zeros(5, 1, 2, dtype=torch.float64)
    outcome = twin(logits, as_column(CLASS_LABELS), features, level="instance", kappa=1, normalize=True)
    assert outcome.loss.item() == pytest.approx(0.5, abs=1e-12)


def test_two_attributes_share_one_mean_over_all_their_triplets():
    # Attribute 0 as above: 4 triplets, sum 4.8. Attribute 1: p = .9, .8 against .1, .1, .1 with kappa 2 and
    # margin 0.5: d+ .1; d- .8, .8 and .7, .7: 0.5+.1-.7 < 0, no hinge is active. Together 4.8 / 8.
    first, second = two_class_logits(PROBABILITIES), two_class_logits([0.9, 0.8, 0.1, 0.1, 0.1])
    labels = torch.tensor([CLASS_LABELS, CLASS_LABELS]).T
    outcome = twin(torch.cat([first, second], 1), labels, level="class", kappa=2)
    assert outcome.loss.item() == pytest.approx(4.8 / 8, abs=1e-12)
    assert (outcome.triplets, outcome.anchors) == (8, [2, 2])


def test_a_padded_class_is_no_class_of_the_attribute():
    # Attribute 0 has classes 0, 1 of three columns: margin 2*pi/2, and its scores ignore the third column.
    logits = torch.full((7, 1, 3), -math.inf, dtype=torch.float64)
    logits[..., :2] = 0
    features = torch.tensor(POSITIONS, dtype=torch.float64)[:, None, None]
    outcome = twin(logits, as_column(INSTANCE_LABELS), features, level="instance", kappa=1)
    assert outcome.loss.item() == pytest.approx(math.pi + 7 / 3, abs=1e-12)


@pytest.mark.parametrize(
    ("column", "rho", "kept", "skipped"),
    [
        ([0] * 6 + [1] * 2 + [2] * 2, 0.5, [1, 2], []),  # 2, 4 <= 5; then 10 > 5
        ([0] * 6 + [1] * 3 + [2] * 3, 0.4, [1], []),  # 3 <= 4.8; then 6 > 4.8, although 3 alone would fit
        ([0, 0, 1, 1], 0.5, [0], []),  # tie: class 0 comes first, 2 <= 2; then 4 > 2
        ([0] * 5 + [1] + [2] * 2, 0.5, [2], [1]),  # 1 <= 4 but alone; 3 <= 4; then 8 > 4
        ([0] * 4 + [1] * 2 + [-1] * 9, 0.5, [1], []),  # n = 6 labelled: 2 <= 3; then 6 > 3
        ([0] * 4 + [1] * 3 + [-1] * 9, 0.4, [], []),  # n = 7 labelled: 3 > 2.8 (it would fit into 0.4 * 16)
        ([0] * 9 + [1], 0.1, [], [1]),  # 1 <= 1 exactly
        ([3, 3, 3], 0.9, [], []),  # one class: 3 > 2.7
        ([-1, -1], 0.5, [], []),
        ([], 0.5, [], []),
    ],
)
def test_minorities_are_the_smallest_classes_up_to_the_share(column, rho, kept, skipped):
    assert minorities(column, rho) == (kept, skipped)


def test_a_histogram_keeps_its_mass_also_outside_of_its_range():
    distances = [torch.tensor(d, dtype=torch.float64) for d in (-3.0, 0.0, 0.25, 1.0, 7.0)]
    # on nodes 0, .5, 1: 1 | 1 | .5 and .5 | 1 | 1, in the order above
    assert [h.item() for h in histogram(distances, 0.0, 1.0, 3)] == pytest.approx([2.5 / 5, 0.5 / 5, 2 / 5])


def test_distances_that_are_all_zero_put_all_mass_on_one_node():
    features = torch.ones(7, 1, 2, dtype=torch.float64, requires_grad=True)
    logits = torch.zeros(7, 1, 2, dtype=torch.float64)
    labels = as_column(INSTANCE_LABELS)
    outcome = twin(logits, labels, features, level="instance", comparison="distribution")
    assert outcome.loss.item() == 1
    assert gradients(outcome.loss, features)[0].abs().max() == 0
