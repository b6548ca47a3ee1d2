"""From a configuration to data that are read and split, and to what defaults are chosen by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from longtail.data.dataset import Dataset
from longtail.data.longtail import TailProfile, impose_on
from longtail.data.splits import SPLITS_FILE, Splits, split_dataset, split_further
from longtail.errors import InputError
from longtail.runs.data import read_dataset
from longtail.runs.folder import RunFolder
from longtail.runs.unfinished import is_unfinished
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.watcher import Watcher


def read_and_split(
    config: TrainConfig, watcher: Watcher, splits_file: Path | None = None
) -> tuple[Dataset, Splits]:
    """Read and split the data, and say what was found; a run that goes on has a splits.json.

    Raises:
        InputError: when the data cannot be used as they are.
    """
    dataset = read_dataset(config.data, config.data_options, watcher=watcher)
    for note in dataset.notes:
        watcher.say(note)
    _expect_utf_8(dataset.ids)
    if splits_file is None:
        splits = _split(dataset, config, watcher.say)
    else:
        splits = SPLITS_FILE.read(splits_file).rows(dataset.ids, str(splits_file))
    for note in splits.notes:
        watcher.say(note)
    if len(splits.train) == 0:
        raise InputError(f"{config.data}: no image is left to train on")
    return dataset, splits


def _expect_utf_8(names: Iterable[str]) -> None:
    """Refuse names of images that no file of a run could hold; diagnosing and predicting bear them."""
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise InputError(
                f"{name!a}: the name of this image is not UTF-8; rename it, or the folders above it"
            ) from None


def _split(dataset: Dataset, config: TrainConfig, say: Callable[[str], None]) -> Splits:
    """Train, val and test rows, with the imposed tail on the training rows."""
    options = config.data_options
    shares = (1 - options.val_share - options.test_share, options.val_share, options.test_share)
    if config.start is not None:
        splits = _split_as_before(dataset, config, Path(config.start), shares, say)
        if splits is not None:
            return splits
    splits = split_dataset(dataset, shares, config.seed)
    if options.tail_ratio is None:
        return splits
    profile = TailProfile(options.tail_profile, options.tail_ratio, largest=options.tail_largest)
    attribute = options.tail_attribute or dataset.schema.names[0]
    train, note = impose_on(dataset, splits.train, attribute, profile, config.seed)
    return replace(splits, train=train, notes=(*splits.notes, note))


def _split_as_before(
    dataset: Dataset,
    config: TrainConfig,
    run: Path,
    shares: tuple[float, float, float],
    say: Callable[[str], None],
) -> Splits | None:
    """The splits of the run that a training goes on from: its network has seen the training images.

    Returns:
        None where they say nothing of these images.

    Raises:
        InputError: when another tail is asked for than those training images have.
    """
    folder, options = RunFolder(run), config.data_options
    if is_unfinished(folder):
        say(f"--from {run}: its training is not finished")
    known = SPLITS_FILE.read(folder.splits) if folder.splits.exists() else None
    splits = known and split_further(dataset, known, shares, config.seed, deal=options.tail_ratio is None)
    if splits is None:
        why = f"{folder.splits} is missing" if known is None else "no image has a name that it had there"
        say(
            f"--from {run}: {why}, so the images are split anew; if they are those of that run, some are "
            "tested on that its network was trained with"
        )
        return None
    before = CONFIG.read(folder.config).data_options
    for name in ("tail_ratio", "tail_profile", "tail_attribute", "tail_largest"):
        if (had := getattr(before, name)) != getattr(options, name):
            raise InputError(
                f"--{name.replace('_', '-')}: --from {run} keeps the training images of that run, which was "
                f"trained {'without it' if had is None else f'with {had}'}; leave it out"
            )
    return replace(splits, notes=(f"splits of {run}", *splits.notes))
