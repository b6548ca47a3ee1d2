import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.models.head import AttributeHead
from longtail.schema import Attribute, LabelSchema

SCHEMA = LabelSchema((Attribute("kind", ("a", "b", "c")), Attribute("new", ("no", "yes"))))


def schema_of(num_classes):
    return LabelSchema(tuple(Attribute(str(j), tuple(map(str, range(k)))) for j, k in enumerate(num_classes)))


def twin(head, x, num_classes, features, hidden):
    """Logits and features by loops over images, attributes and classes."""
    n, vectors = len(x), head.vectors
    f = torch.zeros(n, vectors, features, dtype=x.dtype)
    logits = torch.full((n, len(num_classes), max(num_classes)), -math.inf, dtype=x.dtype)
    for i in range(n):
        for v in range(vectors):
            if hidden:
                rows = slice(v * hidden, (v + 1) * hidden)
                h = (head.hidden.weight[rows] @ x[i] + head.hidden.bias[rows]).clamp(min=0)
                linear = h @ head.feature.weight[v] + head.feature.bias[v, 0]
            else:
                rows = slice(v * features, (v + 1) * features)
                linear = head.feature.weight[rows] @ x[i] + head.feature.bias[rows]
            f[i, v] = linear.clamp(min=0) if head.layer == "rectified" else linear
    g = f
    if head.layer == "neck" and n > 1:
        g = (f - f.mean(0)) / (f.var(0, correction=0) + 1e-5).sqrt()
    elif head.layer == "neck":  # as the running mean 0 and variance 1 have it
        g = f / (1 + 1e-5) ** 0.5
    for i in range(n):
        for j, classes in enumerate(num_classes):
            for k in range(classes):
                own = g[i, j if vectors > 1 else 0]
                logits[i, j, k] = own @ head.weight[j, :, k] + head.bias[j, 0, k]
    return logits, f


def randomise(head):
    """Biases start at 0, where a wrong one would not show."""
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    st.integers(0, 10_000),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.integers(0, 4),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from(["rectified", "linear", "neck"]),
)
def test_the_head_equals_its_twin(seed, num_classes, n, hidden, shared, layer):
    torch.manual_seed(seed)
    head = AttributeHead(
        5, schema_of(num_classes), features=3, shared=shared, hidden=hidden, layer=layer
    ).double()
    randomise(head)
    x = torch.randn(n, 5, dtype=torch.float64)
    logits, features, vector = head(x)
    expected_logits, expected_features = twin(head, x, num_classes, 3, hidden)
    torch.testing.assert_close(logits, expected_logits)
    torch.testing.assert_close(features, expected_features)
    assert vector is x


@pytest.mark.parametrize("hidden", [0, 3])
@pytest.mark.parametrize("layer", ["rectified", "linear", "neck"])
def test_gradients_are_exact(hidden, layer):
    torch.manual_seed(0)
    head = AttributeHead(4, SCHEMA, features=3, hidden=hidden, layer=layer).double()
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)

    def finite(x):
        logits, features, _ = head(x)
        return logits.nan_to_num(neginf=0.0), features

    assert torch.autograd.gradcheck(finite, x)


def test_features_are_never_negative_unless_they_are_linear():
    torch.manual_seed(0)
    x = torch.randn(50, 8)
    assert AttributeHead(8, SCHEMA)(x).features.min() == 0
    assert AttributeHead(8, SCHEMA, layer="linear")(x).features.min() < 0


def test_a_detached_head_learns_its_classifier_and_teaches_the_rest_nothing():
    head = AttributeHead(8, SCHEMA, hidden=4)
    head.detached = True
    x = torch.randn(5, 8, requires_grad=True)
    output = head(x)
    output.logits[:, :, :2].square().sum().backward()
    assert head.weight.grad.abs().sum() > 0
    assert head.bias.grad.abs().sum() > 0
    assert x.grad is None
    assert head.feature.weight.grad is None
    head(x).features.sum().backward()
    assert x.grad.abs().sum() > 0


def test_detaching_changes_no_value():
    torch.manual_seed(0)
    head = AttributeHead(8, SCHEMA)
    x = torch.randn(5, 8)
    attached = head(x).logits
    head.detached = True
    torch.testing.assert_close(head(x).logits, attached)


def test_weights_of_plain_heads_keep_their_names():
    names = ["weight", "bias", "feature.weight", "feature.bias"]
    assert [*AttributeHead(8, SCHEMA).state_dict()] == names
    assert [*AttributeHead(8, SCHEMA, layer="linear").state_dict()] == names


def test_a_branch_of_three_layers_has_their_parameters():
    head = AttributeHead(160, SCHEMA, features=64, hidden=32)
    per_attribute = 160 * 32 + 32 + 32 * 64 + 64
    assert sum(p.numel() for p in head.parameters()) == 2 * per_attribute + 2 * (64 * 3 + 3)


def test_every_branch_has_a_hidden_layer_of_its_own():
    head = AttributeHead(6, SCHEMA, features=3, hidden=5)
    head(torch.randn(4, 6)).features[:, 1].sum().backward()
    assert head.hidden.weight.grad[:5].eq(0).all()
    assert head.hidden.weight.grad[5:].abs().sum() > 0


def test_the_head_works_under_automatic_mixed_precision():
    head = AttributeHead(8, SCHEMA, hidden=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = head(torch.randn(5, 8))
    assert output.features.dtype == torch.bfloat16
    assert output.logits[:, 0].isfinite().all()


def test_the_neck_decides_by_running_figures_after_training():
    torch.manual_seed(0)
    head = AttributeHead(8, SCHEMA, layer="neck")
    x = 3 * torch.randn(400, 8) + 2
    for _ in range(200):
        trained = head(x).logits
    head.eval()
    torch.testing.assert_close(head(x).logits, trained, atol=0.02, rtol=0)
    torch.testing.assert_close(head(x[:1]).logits, head(x).logits[:1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_neck_works_under_automatic_mixed_precision(dtype):
    head = AttributeHead(8, SCHEMA, layer="neck")
    with torch.autocast("cpu", dtype=dtype):
        output = head(torch.randn(5, 8))
    assert output.features.dtype == dtype
    assert output.logits[:, 0].isfinite().all()
    assert head.neck.running_mean.dtype == torch.float32
    features = output.features.float().flatten(1)
    torch.testing.assert_close(head.neck.running_mean, 0.1 * features.mean(0), rtol=1e-6, atol=1e-7)


def test_the_vector_itself_has_no_layer_below_the_classifier():
    head = AttributeHead(8, SCHEMA, features=3, hidden=4, layer="vector")
    x = torch.randn(5, 8)
    assert [*head.state_dict()] == ["weight", "bias"]
    assert torch.equal(head(x).features, x[:, None])
