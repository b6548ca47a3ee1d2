"""How l_crl and cross entropy are weighed against each other."""

from __future__ import annotations

import pytest
import torch

from longtail import balanced_loss, tpami_alpha, training_imbalance


@pytest.mark.parametrize(
    ("counts", "omega"),
    [
        ([50, 50], 0.0),
        ([90, 10], 40.0),  # 40 of 100 images would have to change class
        ([100, 0], 50.0),  # a class without images still asks for its share
        ([80, 10, 10], 100 * (0.8 - 1 / 3)),
        ([7], 0.0),
        ([0, 0], 0.0),  # no image has a label
    ],
)
def test_imbalance_is_the_percentage_of_images_in_the_wrong_class(counts: list[int], omega: float):
    assert training_imbalance([counts]) == pytest.approx([omega], abs=1e-9)


def test_alpha_is_eta_times_the_mean_imbalance_of_the_attributes():
    counts = [[90, 10], [50, 50], [80, 10, 10]]
    assert training_imbalance(counts) == pytest.approx([40, 0, 100 * (0.8 - 1 / 3)])
    assert tpami_alpha(counts) == pytest.approx(0.01 * (40 + 0 + 100 * (0.8 - 1 / 3)) / 3)
    assert tpami_alpha(counts, eta=0.005) == pytest.approx(tpami_alpha(counts) / 2)


def test_alpha_is_never_more_than_one():
    assert tpami_alpha([[900, 100]], eta=0.05) == 1


def test_balanced_training_data_ask_for_an_explicit_alpha():
    with pytest.raises(ValueError, match="alpha"):
        tpami_alpha([[50, 50], [10, 10]])


@pytest.mark.parametrize(
    ("alpha", "value"), [(None, 5.0), (0.25, 0.25 * 2 + 0.75 * 3), (0.0, 3.0), (1.0, 2.0)]
)
def test_the_two_losses_are_added_or_shared_out(alpha: float | None, value: float):
    assert balanced_loss(torch.tensor(2.0), torch.tensor(3.0), alpha).item() == pytest.approx(value)


@pytest.mark.parametrize("alpha", [-0.1, 1.5])
def test_a_share_outside_0_and_1_is_refused(alpha: float):
    with pytest.raises(ValueError, match="alpha"):
        balanced_loss(torch.tensor(2.0), torch.tensor(3.0), alpha)


@pytest.mark.parametrize("counts", [[], [90, 10], torch.tensor([90, 10])])
def test_counts_without_a_row_for_each_attribute_are_named(counts):
    with pytest.raises(ValueError, match=r"^class_counts: expected a row for every attribute"):
        tpami_alpha(counts)
