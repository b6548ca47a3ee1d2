"""Second stages: what they make anew, and what they decide by."""

import torch

from .conftest import build, model


def test_crt_begins_with_a_new_classifier():
    trained = model()
    torch.nn.init.ones_(trained.head.bias)
    before = trained.head.weight.clone()
    build("crt").begin(trained)
    assert (trained.head.weight != before).all()
    assert not trained.head.bias.any()


def test_lws_decides_by_scaled_logits_and_never_for_a_class_that_is_not_there(output):
    method = build("lws")
    scale = torch.tensor([[2.0, -1.0, -3.0], [0.5, 1.0, 2.0]])
    method.scale.data.copy_(scale)
    scores, scaled = method.scores(output), output.logits * scale
    torch.testing.assert_close(scores[:, 0, :2], scaled[:, 0, :2].softmax(1))
    torch.testing.assert_close(scores[:, 1], scaled[:, 1].softmax(1))
    assert not scores[:, 0, 2].any()
