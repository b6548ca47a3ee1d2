import json
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from longtail.errors import InputError
from longtail.models.timm_models import build_model
from longtail.models.timm_sources import find_model

from ..conftest import Placed, Tiny


def test_a_folder_names_its_network_and_what_its_weights_expect(timm, described):
    network = Tiny(3, 7)
    folder = described("tiny-own", network, num_classes=7, in_chans=3, pool="avg")
    found = find_model(f"timm:local-dir:{folder}")
    assert found.name == "tiny"  # the argument is the usual one
    assert found.described.expected.mean == (0.1, 0.2, 0.3)
    assert (found.described.expected.size, found.described.expected.fixed) == ((24, 24), False)
    trunk, _ = build_model(found.name, weights=found.weights())
    assert torch.equal(trunk.behind.weight, network.behind.weight)


def test_arguments_that_change_the_network_stay_in_its_name(timm, described):
    folder = described("tiny-max", Tiny(3, 7, "max"), pool="max", drop=None)
    found = find_model(f"timm:local-dir:{folder}")
    assert found.name == "tiny?pool=max"
    assert build_model(found.name, weights=found.weights())[0].pool == "max"


def test_a_network_of_another_size_than_timm_has_it_keeps_its_places(timm, described):
    network = Placed(3, 7, (48, 48))
    found = find_model(f"timm:local-dir:{described('placed-48', network, img_size=[48, 48])}")
    assert found.name == "placed"
    trunk, _ = build_model(found.name, image_size=(48, 48), weights=found.weights())
    assert torch.equal(trunk.places, network.places)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, r"its config.json cannot be had \(there is no .*config\.json\); expected a folder"),
        ("{", "config.json does not describe a network of timm"),
        ('{"model_type": "resnet"}', "missing required field `architecture`"),
        ('{"architecture": "tiny", "pretrained_cfg": {"mean": [1]}}', "missing required field `std`"),
        ({"architecture": "other"}, "timm has no such model"),
        ({"model_args": {"pool": {"a": 1}}}, "config.json does not describe a network of timm"),
        ({"model_args": {"checkpoint_path": "x"}}, "checkpoint_path is given by longtail"),
    ],
)
def test_a_folder_that_timm_did_not_write_is_one_line(timm, described, content, fault):
    folder = described("tiny", Tiny(3, 7), content if isinstance(content, dict) else ())
    if isinstance(content, str):
        (folder / "config.json").write_text(content)
    if content is None:
        (folder / "config.json").unlink()
    with pytest.raises(InputError, match=rf"^--backbone timm:[^\n]*{fault}[^\n]*$"):
        find_model(f"timm:local-dir:{folder}")


def test_images_of_other_than_three_channels_are_refused(timm, described):
    folder = described("tiny", Tiny(3, 7))
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"]["input_size"] = [1, 32, 32]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="its weights are for 1 channels, expected 3"):
        find_model(f"timm:local-dir:{folder}")


def test_weights_of_another_network_in_a_folder_are_refused(timm, described):
    folder = described("tiny", Tiny(3, 7))
    tensors = load_file(folder / "model.safetensors")
    del tensors["behind.weight"]
    save_file(tensors, folder / "model.safetensors")
    found = find_model(f"timm:local-dir:{folder}")
    with pytest.raises(InputError, match=r"local-dir:.*: not the weights of timm:tiny, behind\.weight"):
        build_model(found.name, weights=found.weights())


def test_weights_that_torch_saved_are_read_where_there_are_no_others(timm, described):
    folder, network = described("tiny", Tiny(3, 7)), Tiny(3, 7)
    (folder / "model.safetensors").unlink()
    found = find_model(f"timm:local-dir:{folder}")
    with pytest.raises(InputError, match=r"neither model\.safetensors nor pytorch_model\.bin can be had"):
        found.weights()
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    assert torch.equal(found.weights().tensors["behind.weight"], network.behind.weight)


@pytest.fixture
def hub(monkeypatch, described):
    """A hub with one repository, a folder; `asked` keeps what is downloaded."""
    folder, asked = described("tiny", Tiny(3, 7)), []

    def hf_hub_download(repository, name, revision):
        asked.append((repository, name, revision))
        if repository != "owner/tiny":
            raise OSError("Cannot reach the hub\nmore")
        return str(folder / name)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=hf_hub_download))
    return asked


def test_a_repository_of_the_hub_is_read_as_a_folder_is(timm, hub):
    found = find_model("timm:hf-hub:owner/tiny@v2")
    assert found.described.expected.std == (0.5, 0.6, 0.7)
    assert hub == [("owner/tiny", "config.json", "v2")]  # nothing large before it is needed
    build_model(found.name, weights=found.weights())
    assert hub[1:] == [("owner/tiny", "model.safetensors", "v2")]


def test_without_a_network_a_repository_is_one_line(timm, hub):
    with pytest.raises(InputError, match=r"timm:hf-hub:nobody/x: its config.json cannot be had \(Can"):
        find_model("timm:hf-hub:nobody/x")
    assert hub == [("nobody/x", "config.json", None)]
