import numpy as np
import pytest
import torch

from longtail.tables import at_labels, count_table, expect_table


def test_ragged_counts_are_filled_with_zeros_which_are_no_classes():
    expected = torch.tensor([[4, 0, 2], [7, 0, 0]], dtype=torch.float64)
    assert torch.equal(count_table([[4, 0, 2], [7]]), expected)


def test_the_least_count_raises_classes_that_exist_only():
    expected = torch.tensor([[4, 3, 3], [7, 0, 0]], dtype=torch.float64)
    assert torch.equal(count_table([[4, 0, 2], [7]], least=3), expected)


@pytest.mark.parametrize("least", [0, 1])
def test_a_negative_count_is_refused_whatever_the_least(least: int):
    with pytest.raises(ValueError, match="counts: expected numbers of images"):
        count_table([[3, 1], [2, -1]], least)


def test_a_count_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="counts: expected numbers of images"):
        count_table([[3.0, float("nan")]])


def test_each_label_reads_the_row_of_its_attribute():
    table = torch.arange(6).reshape(2, 3) * 10
    labels = torch.tensor([[2, 0], [0, 2], [-1, 1]])
    assert at_labels(table, labels).tolist() == [[20, 30], [0, 50], [0, 40]]


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 2), (2, 3, 1)])
def test_a_table_of_another_shape_is_refused_by_its_name(shape):
    with pytest.raises(ValueError, match=r"margins: expected shape \(2, 3\), got"):
        expect_table("margins", torch.ones(shape), 2, 3)


@pytest.mark.parametrize("counts", [[], [90, 10], np.array([90, 10]), torch.tensor([90, 10])])
def test_counts_without_a_row_for_each_attribute_are_refused(counts):
    with pytest.raises(ValueError, match=r"^counts: expected a row of class counts for every attribute"):
        count_table(counts)
