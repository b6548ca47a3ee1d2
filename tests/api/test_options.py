"""The written types of the arguments are those of the configuration."""

import importlib.util
from dataclasses import fields
from pathlib import Path

from longtail.api.options import Arguments
from longtail.methods.options import MethodOptions
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions

ROOT = Path(__file__).parents[2]


def test_the_module_is_as_it_would_be_written_now():
    spec = importlib.util.spec_from_file_location("make_options", ROOT / "docs/make_options.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PLACE.read_text(encoding="utf-8") == module.render(), "run make docs"


def test_every_setting_is_an_argument():
    names = {f.name for kind in (TrainConfig, DataOptions, MethodOptions) for f in fields(kind)}
    assert set(Arguments.__annotations__) == names - {"data", "data_options", "method_options"}
