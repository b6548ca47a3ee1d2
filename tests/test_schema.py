import math

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.testing import assert_close

from longtail.losses.cross_entropy import cross_entropy
from longtail.schema import Attribute, LabelSchema, as_features, as_labels, as_logits, from_binary


def test_a_schema_counts_its_classes():
    schema = LabelSchema((Attribute("kind", ("a", "b", "c")), Attribute("new", ("no", "yes"))))
    assert schema.num_classes == (3, 2)
    assert schema.max_classes == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Attribute("kind", ()), "at least one class"),
        (lambda: Attribute("kind", ("a", "a")), "distinct class names"),
        (lambda: LabelSchema(()), "at least one attribute"),
        (lambda: LabelSchema((Attribute("a", ("x",)), Attribute("a", ("y",)))), "distinct attribute names"),
    ],
)
def test_a_schema_that_names_nothing_or_something_twice_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_one_label_an_image_is_one_attribute():
    labels = as_labels(torch.zeros(4, dtype=torch.int64))
    assert labels.shape == (4, 1)
    assert as_logits(torch.zeros(4, 3), labels).shape == (4, 1, 3)
    assert as_features(torch.zeros(4, 7), labels).shape == (4, 1, 7)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool])
def test_whole_numbers_of_any_size_are_labels(dtype):
    labels = as_labels(torch.tensor([1, 0, 1], dtype=dtype))
    assert labels.dtype == torch.int64
    assert labels[:, 0].tolist() == [1, 0, 1]


def test_the_mark_that_torch_ignores_is_unlabelled():
    assert as_labels(torch.tensor([-100, -1, 2])).tolist() == [[-1], [-1], [2]]


def test_a_label_out_of_range_is_named_with_its_place():
    labels = torch.tensor([[0, 1], [1, -2], [2, 3]])
    with pytest.raises(ValueError, match=r"class indices, or -1 or -100 .*, got -2 at image 1, attribute 1"):
        as_labels(labels)
    labels[1, 1] = -100
    with pytest.raises(ValueError, match=r"class indices below 3, -1 .*, got 3 at image 2, attribute 1"):
        as_logits(torch.zeros(3, 2, 3), as_labels(labels))
    assert as_logits(torch.zeros(3, 2, 4), as_labels(labels)).shape == (3, 2, 4)


@pytest.mark.parametrize(
    ("check", "error", "message"),
    [
        (lambda labels: as_labels(labels.float()), TypeError, "labels: expected integers"),
        (lambda labels: as_labels(labels[None]), ValueError, r"labels: expected shape \(N,\) or \(N, J\)"),
        (lambda labels: as_logits(torch.zeros(4, 2, 3).long(), labels), TypeError, "logits: expected float"),
        (lambda labels: as_logits(torch.zeros(3, 2, 3), labels), ValueError, r"expected shape \(4, 2, K\)"),
        (lambda labels: as_logits(torch.zeros(4, 3), labels), ValueError, r"got \(4, 1, 3\)"),
        (lambda labels: as_features(torch.zeros(4, 3, 5), labels), ValueError, r"\(4, 2, D\) or \(4, 1, D\)"),
    ],
)
def test_tensors_that_break_the_contract_are_named_with_what_was_expected(check, error, message):
    with pytest.raises(error, match=message):
        check(torch.zeros(4, 2, dtype=torch.int64))


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.uint8, torch.float32])
def test_binary_targets_are_attributes_of_two_classes(kind):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    targets = torch.randint(2, (6, 3), generator=generator)
    logits, labels = from_binary(z, targets.to(kind))
    assert_close(logits.softmax(2)[..., 1], z.sigmoid())
    assert torch.equal(labels, targets)
    mean = binary_cross_entropy_with_logits(z, targets.double())  # over attributes, of which ours is the sum
    assert_close(cross_entropy(logits, labels), 3 * mean)


def test_unknown_binary_targets_are_unlabelled():
    targets = torch.tensor([[float("nan"), -1.0, -100.0, 1.0]])
    assert from_binary(torch.zeros(1, 4), targets)[1].tolist() == [[-1, -1, -1, 1]]
    assert from_binary(torch.zeros(1, 2), torch.tensor([[-100, 0]]))[1].tolist() == [[-1, 0]]


@pytest.mark.parametrize(
    "wrong", [torch.tensor([[0.5]]), torch.tensor([[2]]), torch.tensor([[-3.0]]), torch.zeros(2)]
)
def test_other_binary_targets_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        from_binary(torch.zeros(1, 1), wrong)


@pytest.mark.parametrize(("wrong", "said"), [(0.95, "0.95"), (math.inf, "inf"), (2.0, "2"), (-3.0, "-3")])
def test_a_target_that_is_none_is_named_with_its_value(wrong, said):
    targets = torch.tensor([[0.0, 1.0], [1.0, wrong]])
    with pytest.raises(
        ValueError, match=rf"^targets: expected 0, 1, .*, got {said} at image 1, attribute 1$"
    ):
        from_binary(torch.zeros(2, 2), targets)


@pytest.mark.parametrize("wrong", [2, 255, 156])
def test_a_target_in_8_bits_without_a_sign_is_no_negative_number(wrong):
    targets = torch.tensor([[0, wrong]], dtype=torch.uint8)
    with pytest.raises(ValueError, match=rf"^targets: .*, got {wrong} at image 0, attribute 1$"):
        from_binary(torch.zeros(1, 2), targets)


@pytest.mark.parametrize("value", [np.zeros((2, 3), np.float32), [[0.0, 1.0]]])
def test_what_is_no_tensor_is_named(value):
    labels = torch.zeros(2, 1, dtype=torch.int64)
    for name, take in (
        ("labels", as_labels),
        ("logits", lambda x: as_logits(x, labels)),
        ("features", lambda x: as_features(x, labels)),
    ):
        with pytest.raises(TypeError, match=rf"^{name}: expected a tensor, got (ndarray|list)$"):
            take(value)


def test_the_shape_of_features_is_named_as_it_was_given():
    labels = torch.zeros(8, 1, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"^features: expected shape \(8, D\), got \(5, 16\)$"):
        as_features(torch.zeros(5, 16), labels)
