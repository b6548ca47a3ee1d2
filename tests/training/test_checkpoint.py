import json
import math
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from longtail.errors import InputError
from longtail.images.normalise import normalise
from longtail.methods.options import CRLOptions, MethodOptions
from longtail.schema import Attribute, LabelSchema
from longtail.training.checkpoint import CARD as FORM
from longtail.training.checkpoint import ModelCard, load_model, load_network, weights_of, write_model
from longtail.training.sealed import write_sealed
from longtail.training.state import SEAL, load_state

CARD = ModelCard(
    schema=LabelSchema((Attribute("kind", ("a", "b", "c")), Attribute("new", ("no", "yes")))),
    class_counts=[[9, 3, 1], [10, 3]],
    images=13,
    backbone="convnet",
    features=8,
    hidden=0,
    shared_feature=False,
    image_size=(8, 16),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.2, 0.1),
    method="crl",
    method_options=MethodOptions(crl=CRLOptions(level="instance", balance="tpami")),
)


def test_a_model_comes_back_with_its_card_and_the_same_scores(tmp_path):
    learner = CARD.build()
    learner.train()(torch.randn(6, 3, 8, 16), torch.randint(0, 2, (6, 2)), torch.arange(6))  # moves the norms
    write_model(tmp_path / "m", weights_of(learner), CARD)
    again, card = load_model(tmp_path / "m")
    assert card == CARD
    images = torch.randn(4, 3, 8, 16)
    assert torch.equal(again.scores(images), learner.eval().scores(images))
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_images_as_they_are_stored_and_normalised_ones_have_the_same_scores():
    learner = CARD.build().eval()
    stored = torch.randint(0, 256, (4, 3, 8, 16), dtype=torch.uint8)
    normalised = normalise(stored, CARD.mean, CARD.std)
    assert torch.equal(learner.scores(stored), learner.scores(normalised))
    assert torch.equal(learner.features(stored), learner.model(normalised).features)
    assert not {"mean", "std"} & set(learner.state_dict())


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("load", [load_model, load_state])
def test_a_pickle_is_never_run(tmp_path, load):
    mark = tmp_path / "ran"
    (tmp_path / "m").write_bytes(pickle.dumps(Hostile(mark)))
    torch.save({"x": Hostile(mark)}, tmp_path / "n")
    for name in ("m", "n"):
        with pytest.raises(InputError, match=f"{name}: "):
            load(tmp_path / name)
    content = (tmp_path / "n").read_bytes()
    (tmp_path / "n").write_bytes(content + SEAL + sha256(content).digest())
    with pytest.raises(InputError, match="n: "):
        load(tmp_path / "n")
    assert not mark.exists()
    pickle.loads((tmp_path / "m").read_bytes()).close()
    assert mark.exists()  # it would have


def test_missing_empty_and_truncated_files_are_one_line(tmp_path):
    path = tmp_path / "m"
    with pytest.raises(InputError, match="m: "):
        load_model(path)
    whole = tmp_path / "whole"
    write_model(whole, weights_of(CARD.build()), CARD)
    for size in (0, 5, whole.stat().st_size // 2):
        path.write_bytes(whole.read_bytes()[:size])
        with pytest.raises(InputError, match=r"m: .*") as caught:
            load_model(path)
        assert "\n" not in str(caught.value)


def test_equal_weights_are_equal_bytes_in_any_process(tmp_path):
    code = """if True:
        import sys, torch
        from longtail.training.checkpoint import load_model, weights_of, write_model
        from pathlib import Path
        learner, card = load_model(Path(sys.argv[1]))
        held = learner.state_dict()
        learner.state_dict = lambda: dict(sorted(held.items(), key=lambda item: hash(item[0])))
        write_model(Path(sys.argv[2]), weights_of(learner), card)
    """
    write_model(tmp_path / "m", weights_of(CARD.build()), CARD)
    arguments = [sys.executable, "-c", code, tmp_path / "m", tmp_path / "again"]
    subprocess.run(arguments, env={**os.environ, "PYTHONHASHSEED": "1"}, check=True)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


def test_metadata_stand_in_the_order_of_their_names(tmp_path):
    for i in range(8):  # the library orders them anew in every call
        write_model(tmp_path / "m", weights_of(CARD.build()), CARD)
        content = (tmp_path / "m").read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert list(header["__metadata__"]) == [
            "card", "format", "format_version", "longtail_version", "sha256",
        ], i  # fmt: skip


def test_one_flipped_bit_anywhere_is_noticed(tmp_path):
    write_model(tmp_path / "m", weights_of(CARD.build()), CARD)
    content = (tmp_path / "m").read_bytes()
    numbers = 8 + int.from_bytes(content[:8], "little")
    for place in (*range(0, numbers, numbers // 60), *range(numbers, len(content), len(content) // 60)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "m").write_bytes(damaged)
        with pytest.raises(InputError, match="m: "):
            load_model(tmp_path / "m")


def test_a_model_without_its_checksum_is_damaged(tmp_path):
    path = card_file(tmp_path / "m")
    with safe_open(path, framework="pt") as file:
        metadata = {name: text for name, text in file.metadata().items() if name != "sha256"}
    save_file(load_file(path), path, metadata)
    with pytest.raises(InputError, match="m: damaged, its checksum is wrong"):
        load_model(tmp_path / "m")


def card_file(path, **changes):
    metadata = {"format": "longtail-model", "format_version": "4", "card": FORM.encode(CARD)}
    write_sealed(path, weights_of(CARD.build()), {**metadata, **changes})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "expected a model that longtail wrote"),
        ({"format_version": "2"}, "expected model format 4, got 2"),
        ({"card": "{"}, "m: not JSON .*; expected a model that longtail wrote"),
        ({"card": "{}"}, "m: not valid model card: Object missing required field `schema`; train again"),
        ({"card": FORM.encode(replace(CARD, features=9))}, "expected weights that fit their model card"),
        ({"card": FORM.encode(replace(CARD, features=0))}, r"m: not valid model card: .*`\$.features`"),
        ({"card": FORM.encode(replace(CARD, image_size=(0, 8)))}, r"m: not valid model card: .*image_size"),
        ({"card": FORM.encode(replace(CARD, std=(0.0,)))}, r"m: not valid model card: .*`\$.std\[0\]`"),
        ({"card": FORM.encode(replace(CARD, std=(1e-50,)))}, r"m: not valid model card: .*`\$.std\[0\]`"),
        ({"card": FORM.encode(replace(CARD, std=(1e300,)))}, r"m: not valid model card: .*`\$.std\[0\]`"),
        ({"card": FORM.encode(replace(CARD, mean=(1e300,)))}, r"m: not valid model card: .*`\$.mean\[0\]`"),
        (
            {"card": FORM.encode(replace(CARD, mean=(math.nan,)))},
            r"m: not valid model card: .*`\$.mean\[0\]`",
        ),
        ({"card": FORM.encode(replace(CARD, images=-1))}, r"m: not valid model card: .*`\$.images`"),
    ],
)
def test_another_format_or_card_is_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        load_model(card_file(tmp_path / "m", **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("load", [load_model, load_network])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["model.head.weight", "model.backbone"])
def test_weights_that_are_not_finite_are_one_line_with_the_file_and_the_tensor(tmp_path, load, number, name):
    learner = CARD.build()
    found = next(n for n, x in learner.state_dict().items() if n.startswith(name) and x.is_floating_point())
    with torch.no_grad():
        learner.state_dict()[found].fill_(number)
    write_model(tmp_path / "m", weights_of(learner), CARD)
    with pytest.raises(InputError, match=rf"m: expected finite weights, got NaN or infinity in {found}; "):
        load(tmp_path / "m")
