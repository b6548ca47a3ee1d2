"""Where a run lies, and its settings with paths that hold from any folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from longtail.data.builtin import BUILTIN
from longtail.data.patterns import is_pattern, plain_name
from longtail.files import file_name, place_of
from longtail.models.backbones import IN_FOLDER
from longtail.runs.folder import RunFolder
from longtail.training.config import AUTO, TrainConfig


def output_of(config: TrainConfig) -> str:
    """The run's folder: as asked, or named after data, method where one is named, and seed."""
    if config.output is not None:
        return config.output
    method = [] if config.method == AUTO else [file_name(config.method)]
    return f"runs/{'-'.join([plain_name(config.data), *method, f'seed{config.seed}'])}"


def folder_of(config: TrainConfig) -> RunFolder:
    """That folder, with the names of its files."""
    return RunFolder(Path(output_of(config)))


def with_whole_paths(config: TrainConfig) -> TrainConfig:
    """The configuration with absolute paths, so that its run can be used from any folder."""
    options = config.data_options
    return replace(
        config,
        data=config.data if config.data in BUILTIN else _whole_path(config.data) or config.data,
        start=_whole_path(config.start),
        weights=_whole_path(config.weights),
        backbone=_with_whole_folder(config.backbone),
        data_options=replace(options, images=_whole_path(options.images)),
    )


def _with_whole_folder(backbone: str | None) -> str | None:
    """The name of a backbone, absolute where it is that of a folder."""
    if backbone is None or not backbone.startswith(IN_FOLDER):
        return backbone
    return f"{IN_FOLDER}{_whole_path(backbone.removeprefix(IN_FOLDER))}"


def _whole_path(path: str | None) -> str | None:
    """A path that exists, or names shards, as an absolute one; another name, or a mistake, as it is."""
    place = place_of(path or "")
    return str(place.absolute()) if path and (place.exists() or is_pattern(path)) else path
