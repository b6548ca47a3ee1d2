"""What the trainings of a comparison leave open, decided once for all of its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain

from longtail.comparing.cells import Comparison, Entry, stages
from longtail.comparing.launcher import visible_gpus
from longtail.runs.leak import leak_note
from longtail.runs.origin import DataMarks
from longtail.runs.reading import read_and_split
from longtail.training.defaults import chosen
from longtail.training.facts import facts_of
from longtail.training.watcher import Silent


@dataclass(frozen=True)
class Decision:
    """Entries with nothing left open, and the sentences that say what the data are and what was chosen.

    `marks` are those of the data, where there are cells that may have seen others.
    """

    entries: dict[str, Entry]
    notes: tuple[str, ...]
    marks: DataMarks | None = None


def decided(comparison: Comparison, entries: Mapping[str, Entry], *, leaks: bool = False) -> Decision:
    """Decide what the entries leave open, by the data as they are split for seed 0.

    A second stage has the regime of the runs that it goes on from. Seconds of a budget take the place of
    the length. With `leaks`, images are looked at to say whether the split leaks, and what they are now.

    Raises:
        InputError: when the data cannot be used.
    """
    base = comparison.base
    dataset, splits = read_and_split(base, Silent())
    gpus = comparison.engine == "slurm" or visible_gpus()  # the nodes of a cluster have what is asked for
    device = "cuda" if base.accelerator in ("auto", "cuda") and gpus else "cpu"
    found: dict[str, Entry] = {}
    said: dict[str, list[str]] = {}
    for label, entry in chain.from_iterable(stage.items() for stage in stages(entries)):
        config = entry.config if comparison.budget is None else replace(entry.config, epochs=1, steps=None)
        if entry.first is not None:
            of_first = found[entry.first].config
            config = replace(config, freeze=of_first.frozen, finetune=of_first.finetune)
        choice = chosen(config, facts_of(config, dataset, splits, device))
        found[label] = replace(entry, config=choice.config)
        for note in choice.notes:
            said.setdefault(note, []).append(label)
    notes = [f"{', '.join(labels)}: {note}" for note, labels in said.items()]
    leak = leak_note(dataset, splits, base.data_options.value_bits) if leaks else None
    notes = [*dataset.notes, *splits.notes, *([leak] if leak else []), *notes]
    there = leaks and comparison.folder.exists()
    marks = DataMarks.of(dataset) if there else None
    return Decision({label: found[label] for label in entries}, tuple(notes), marks)
