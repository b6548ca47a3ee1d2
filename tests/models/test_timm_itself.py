"""What is assumed of timm, held against timm where it is installed."""

import json
import warnings

import pytest
import torch
from safetensors.torch import save_file

from longtail.models.timm_models import build_model
from longtail.models.timm_sources import find_model


@pytest.fixture(scope="module")
def real():
    with warnings.catch_warnings(action="ignore"):
        try:
            import timm
        except (ImportError, RuntimeError) as error:  # a torchvision that does not fit
            pytest.skip(f"timm is not usable here ({error})")
    return timm


@pytest.mark.parametrize("pool", [None, "avg"])
@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_vectors_are_those_of_timm_before_its_classifier(real, tmp_path, name, pool):
    whole = real.create_model(name, num_classes=7, **({"global_pool": pool} if pool else {})).eval()
    said = real.get_pretrained_cfg(name)
    known = {"mean": said.mean, "std": said.std, "input_size": said.input_size, "classifier": said.classifier}
    arguments = {"num_classes": 7, "global_pool": pool}
    config = {"architecture": name, "pretrained_cfg": known, "model_args": arguments}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(whole.state_dict(), tmp_path / "model.safetensors")

    found = find_model(f"timm:local-dir:{tmp_path}")
    changed = pool is not None and name.startswith("vit")  # the other two pool like this anyway
    assert found.name == (f"{name}?global_pool=avg" if changed else name)
    trunk, size = build_model(found.name, weights=found.weights())
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = whole.forward_head(whole.forward_features(images), pre_logits=True)
        torch.testing.assert_close(trunk.eval()(images), expected)
    assert size == expected.shape[1]

    smaller, _ = build_model(found.name, image_size=(64, 96), weights=found.weights())
    again, _ = build_model(found.name, image_size=(64, 96))  # as when a run is opened
    again.load_state_dict(smaller.state_dict())
    assert smaller(images[..., :64, :96]).shape == (2, size)
