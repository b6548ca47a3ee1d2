import pickle

import pytest
import torch
from safetensors.torch import save_file

from longtail.errors import InputError
from longtail.models.classifier import build_backbone
from longtail.models.convnet import ConvNet
from longtail.models.weights import Weights, read_tensors


@pytest.fixture
def tensors():
    return {name: tensor + 1 for name, tensor in ConvNet().state_dict().items()}


def loaded(tensors):
    trunk, _ = build_backbone("convnet", weights=Weights(tensors, "--weights f"))
    return trunk.state_dict()


@pytest.mark.parametrize("wrapper", ["", "module.", "model.", "backbone.", "module.backbone.", "_orig_mod."])
def test_the_usual_wrappers_around_a_backbone_are_taken_off(tensors, wrapper):
    wrapped = {wrapper + name: tensor for name, tensor in tensors.items()}
    found = loaded(wrapped | {"head.fc.weight": torch.zeros(2, 2), f"{wrapper}fc.bias": torch.zeros(2)})
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_what_belongs_to_a_classifier_is_left_out_with_it(tensors):
    more = {"top.bn.weight": torch.zeros(2), "top.linear.weight": torch.zeros(2, 2)}
    build_backbone("convnet", weights=Weights(tensors | more, "f", classifiers=("top.linear",)))
    with pytest.raises(InputError, match=r"has no top\.bn\.weight"):
        build_backbone("convnet", weights=Weights(tensors | more, "f", classifiers=("fc",)))


def test_counts_of_batches_may_be_missing_and_half_precision_is_widened(tensors):
    halves = {name: x.half() for name, x in tensors.items() if not name.endswith("num_batches_tracked")}
    found = loaded(halves)
    assert all(torch.equal(found[name], x.float()) for name, x in halves.items())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"stages.1.0.weight": None}, r"stages\.1\.0\.weight \(64, 32, 3, 3\) is missing"),
        (
            {"stages.0.0.weight": torch.zeros(32, 1, 3, 3)},
            r"stages\.0\.0\.weight: expected \(32, 3, 3, 3\), got \(32, 1, 3, 3\)",
        ),
        ({"stages.0.1.bias": torch.full((32,), torch.nan)}, r"stages\.0\.1\.bias holds values that are not"),
        ({"stages.4.0.weight": torch.zeros(1)}, r"which has no stages\.4\.0\.weight"),
    ],
)
def test_weights_of_another_network_are_refused_by_the_first_tensor_that_differs(tensors, change, fault):
    changed = {name: x for name, x in (tensors | change).items() if x is not None}
    with pytest.raises(InputError, match=rf"^--weights f: not the weights of convnet, {fault}[^\n]*$"):
        loaded(changed)


def test_a_refused_file_leaves_the_network_as_it_was(tensors):
    trunk = ConvNet()
    before = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    with pytest.raises(InputError):
        Weights(tensors | {"more": torch.zeros(1)}, "f").load_into(trunk, "convnet")
    assert all(torch.equal(tensor, before[name]) for name, tensor in trunk.state_dict().items())


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"state_dict": x, "a": 3}, lambda x: {"model": x}])
def test_a_state_dict_is_found_in_the_checkpoint_of_a_training(tensors, tmp_path, wrap):
    torch.save(wrap(tensors), tmp_path / "w.pth")
    save_file(tensors, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        found = read_tensors(tmp_path / name, "f")
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[key], tensors[key]) for key in tensors)


class Trap:
    """Would make a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_a_file_is_not_run(tmp_path):
    (tmp_path / "trap.pth").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    torch.save({"a": Trap(tmp_path / "sprung")}, tmp_path / "new.pth")
    for name in ("trap.pth", "new.pth"):
        with pytest.raises(InputError, match="nothing in it was run"):
            read_tensors(tmp_path / name, "--weights f")
    assert not (tmp_path / "sprung").exists()


def test_what_is_no_file_of_weights_is_one_line(tmp_path):
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.safetensors").write_text("weights")
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    for name, fault in {
        "empty.pth": "damaged",
        "text.safetensors": "damaged",
        "none.pth": "expected the tensors of a network by name",
        "tensor.pth": "expected the tensors of a network by name",
        "nowhere.pth": "there is no such file",
        ".": "expected a file of weights, got a folder",
    }.items():
        with pytest.raises(InputError, match=rf"^--weights f: {fault}[^\n]*$"):
            read_tensors(tmp_path / name, "--weights f")


def test_an_old_file_that_was_cut_short_anywhere_is_one_line(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 3):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"^--weights w: "):
            read_tensors(path, "--weights w")
