from pathlib import Path

import pytest

from longtail.api.settings import data_settings, settings
from longtail.errors import InputError
from longtail.methods.options import CRLOptions
from longtail.training.config import CONFIG, TrainConfig


def test_arguments_are_the_settings_of_their_names():
    given = {"epochs": 3, "val_share": 0.2, "attributes": ["a", "b"], "crl": {"level": "class"}}
    found = settings(Path("photos"), weights=Path("x"), **given)
    assert (found.data, found.epochs, found.weights) == ("photos", 3, "x")
    assert found.data_options.val_share == 0.2
    assert found.data_options.attributes == ("a", "b")
    assert found.method_options.crl == CRLOptions(level="class")
    assert found == settings(
        "photos", epochs=3, val_share=0.2, attributes=("a", "b"), crl=CRLOptions(level="class"), weights="x"
    )


def test_without_arguments_they_are_those_of_the_command_line():
    assert settings("photos") == TrainConfig("photos")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epoch": 3}, "epoch: no such argument. Did you mean 'epochs'?"),
        ({"epochs": "3"}, "epochs: expected `int | null`, got `str`"),
        ({"epochs": 0}, "--epochs: expected at least 1, got 0"),
        ({"crl": {"levl": "class"}}, "crl.levl: no such argument. Did you mean 'crl.level'?"),
        ({"crl": {"level": "both"}}, "crl.level: invalid enum value 'both'"),
        ({"crl": 3}, "crl: expected `object`, got `int`"),
        ({"val_share": 1.5}, "--val-share: expected a number from 0 up to but without 1, got 1.5"),
        ({"freeze": True, "finetune": "last"}, "--finetune: trains the backbone that --freeze keeps fixed"),
    ],
)
def test_a_mistake_is_one_line_with_its_name(given, said):
    with pytest.raises(InputError) as caught:
        settings("photos", **given)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_what_is_read_has_settings_of_its_own():
    assert data_settings(tail_ratio=10.0).tail_ratio == 10
    with pytest.raises(InputError, match="epochs: no such argument"):
        data_settings(epochs=3)


def test_a_training_that_starts_from_a_run_has_its_settings_below_its_own(tmp_path):
    first = TrainConfig("digits", epochs=7, seed=3, batch_size=16, method="ce")
    (tmp_path / "config.json").write_text(CONFIG.encode(first))
    found = settings("digits", start=tmp_path, method="crt", batch_size=8)
    assert (found.seed, found.epochs, found.batch_size, found.method) == (3, 7, 8, "crt")
    assert found.start == str(tmp_path)
    assert settings("digits", start=tmp_path, method="crt", steps=5).epochs is None
    with pytest.raises(InputError, match=r"there is no config\.json in it"):
        settings("digits", start=tmp_path / "x", method="crt")
