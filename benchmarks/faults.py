"""What damage, kills, a full disk and changed data do to a run: the counts.

    python benchmarks/faults.py [--long] [--seed 0] [--only damage kills full changed ranks] [--keep FOLDER]

- damage: bits flipped, ends cut, pieces spliced, odd values and deep nesting in every file that is read. A
  traceback is a fault, and so is a change of weights or state that passes.
- kills: a training is killed with SIGKILL at a random moment, then resumed. It must end with the weights of a
  training that was never killed, or say that it had not begun.
- full: files cannot grow beyond a size. The training must end with one line, and go on with more room.
- ranks: one or both of two processes are killed, or stand still, at a random step; in the long form also
  while they write a checkpoint, evaluate, cluster, and keep vectors. All must end within a minute with a line
  that names the process, and go on to the same weights. Only where it is asked for: a minute and a half on
  two idle cores, the long form about 20 minutes.
- changed: labels, images, splits and settings are changed while a training is stopped. Resuming must refuse.

The quick form takes below five minutes on one core. The long form (`--long`) takes about eight times as long:
10,560 damaged files and 200 kills. The exit code is 1 where a fault was found.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import rank_faults
import torch
from mutations import damage, targets
from PIL import Image

from longtail.cli import main as longtail
from longtail.runs.train import train
from longtail.training.checkpoint import load_model
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions

USUAL = ("damage", "kills", "full", "changed")
KINDS = (*USUAL, "ranks")
COLOURS = {"red": 30, "green": 12, "blue": 6}
UNKNOWN = 1
"""Exit code of a process that ended with a traceback."""


@dataclass(frozen=True)
class Place:
    """Where the tests work: images, a manifest of them, and the settings of a short training."""

    root: Path
    config: TrainConfig

    def settings(self, name: str) -> TrainConfig:
        """Of a training into a folder of this name."""
        return replace(self.config, output=str(self.root / name))


def main() -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=USUAL)
    parser.add_argument("--keep", type=Path, help="work there, and leave everything behind")
    options = parser.parse_args()
    torch.set_num_threads(1)
    times = 8 if options.long else 1
    root = options.keep.resolve() if options.keep else Path(tempfile.mkdtemp(prefix="longtail-faults-"))
    place = prepare(root)
    suites: dict[str, Callable[[Place, int, random.Random], list[str]]] = {
        "damage": damages, "kills": kills, "full": full, "changed": changed, "ranks": ranks,
    }  # fmt: skip
    faults: list[str] = []
    for kind in options.only:
        began = time.perf_counter()
        faults += suites[kind](place, times, random.Random(options.seed))
        print(f"{kind}: {time.perf_counter() - began:.0f} s", flush=True)
    if not options.keep:
        shutil.rmtree(root)
    for fault in faults[:40]:
        print(f"FAULT {fault}")
    print(f"{len(faults)} faults")
    return bool(faults)


def prepare(root: Path) -> Place:
    """Images of three colours, a manifest of them, a finished and an unfinished run."""
    rows: list[tuple[str, str]] = []
    for number, (name, size) in enumerate(COLOURS.items()):
        (root / "images" / name).mkdir(parents=True, exist_ok=True)
        for i in range(size):
            pixel = [20 + i, 20 + i, 20 + i]
            pixel[number] = 200 + i
            Image.new("RGB", (12, 10), tuple(pixel)).save(root / "images" / name / f"{i}.png")
            rows.append((f"{name}/{i}.png", name))
    (root / "table").mkdir(exist_ok=True)
    write_table(root / "table" / "labels.csv", rows)
    config = TrainConfig(
        data=str(root / "table" / "labels.csv"),
        method="ce",
        backbone="convnet",
        epochs=3,
        batch_size=8,
        features=8,
        accelerator="cpu",
        data_options=DataOptions(images=str(root / "images")),
    )
    return Place(root, config)


def write_table(path: Path, rows: list[tuple[str, str]]) -> None:
    """A manifest, as CSV and where possible as Parquet."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "colour"), *rows])
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table(dict(zip(("image", "colour"), map(list, zip(*rows))))), path.with_suffix(".parquet")
    )


def damages(place: Place, times: int, chance: random.Random) -> list[str]:
    """See the top."""
    # names below the folder that the tests work in: a damaged one then never names a folder high up
    os.chdir(place.root)
    run, unfinished = train(place.settings("finished")), stopped(place, "unfinished")
    settings = place.root / "settings"
    settings.mkdir(exist_ok=True)
    data, images = "table/labels.csv", "images"
    texts = {
        "a.toml": f'data = "{data}"\nimages = "{images}"\nepochs = 2\n'
        + 'seed = 3\n\n[crl]\nlevel = "class"\nkappa = 5\n',
        "a.yaml": f"data: {data}\nimages: {images}\nepochs: 2\n"
        + "seed: 3\ncrl:\n  level: class\n  kappa: 5\n",
        "a.json": json.dumps({"data": data, "images": images, "epochs": 2, "crl": {"level": "class"}}),
    }
    for name, text in texts.items():
        (settings / name).write_text(text)
    table = place.root / "table" / "labels.csv"
    found: list[str] = []
    for target in targets(run, unfinished, table, place.root / "images", [settings / name for name in texts]):
        counts, faults = damage(target, times * (300 if target.sealed else 120), chance)
        print(f"  damaged {target.file.name}: {said(counts)}", flush=True)
        found += faults
    return found


def stopped(place: Place, name: str, after: int = 2) -> Path:
    """A training that was stopped in its second epoch."""
    config, path = place.settings(name), place.root / name
    shutil.rmtree(path, ignore_errors=True)

    def act() -> int:
        from longtail.training.watcher import Silent

        class Stopper(Silent):
            def step(self, epoch: int, step: int, *_: object) -> None:
                if (epoch, step) == (1, after):
                    os.kill(os.getpid(), signal.SIGINT)

        train(config, watcher=Stopper())
        return 0

    ended(forked(act))
    return path


def kills(place: Place, times: int, chance: random.Random) -> list[str]:
    """See the top."""
    whole = train(place.settings("whole"))
    began = time.perf_counter()
    ended(forked(lambda: bool(train(place.settings("timed"))) - 1))
    length = time.perf_counter() - began
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for number in range(25 * times):
        config, run = place.settings("killed"), place.root / "killed"
        shutil.rmtree(run, ignore_errors=True)
        child = forked(lambda config=config: bool(train(config)) - 1)
        delay = chance.uniform(0, length)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        ended(child)
        how, fault = after_kill(config, run, whole)
        counts[how] += 1
        if fault:
            faults.append(f"kill {number} after {delay:.3f} s: {fault}")
    print(f"  killed: {said(counts)}", flush=True)
    return faults


def after_kill(config: TrainConfig, run: Path, whole: Path) -> tuple[str, str | None]:
    """Go on after a kill, and compare the end with that of a training that was never killed."""
    if not (run / "config.json").exists():
        code, said_there = spoken("train", config)
        return ("had written nothing", None) if code == 0 else ("lost", f"cannot begin again: {said_there}")
    code, said_there = spoken("resume", config)
    finished = (run / "results.json").exists() and "came to its end" in said_there
    how = "was finished" if finished else "resumed"
    if code == 2 and "no state of its training was kept" in said_there:
        code, said_there = spoken("overwrite", config)
        how = "had taken no step"
    if code not in (0, 2) or (code == 2 and not finished):
        return "lost", said_there
    if differ(run, whole):
        return "different", "ended with other weights"
    left = [path.name for path in run.iterdir() if path.name.startswith(".") or path.suffix == ".pt"]
    return (how, None) if not left or finished else ("litter", f"left {left}")


def full(place: Place, times: int, chance: random.Random) -> list[str]:
    """See the top."""
    whole = train(place.settings("whole-full"))
    sizes = sorted(path.stat().st_size for path in stopped(place, "sizes").iterdir())
    limits = [0, 1, *(size + extra for size in sizes for extra in (-1, 0, 1) if size + extra > 1)]
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for limit in [*limits, *(chance.randrange(sizes[-1]) for _ in range(10 * (times - 1)))]:
        config, run = place.settings("full"), place.root / "full"
        shutil.rmtree(run, ignore_errors=True)
        code, text = spoken("train", config, limit)
        if code not in (0, 2) or (code == 2 and "cannot be written" not in text):
            faults.append(f"files of at most {limit} bytes: ended with {code}: {text[-200:]}")
        counts["ended well" if code == 0 else "refused" if code == 2 else "traceback"] += 1
        if code != 0:
            how, fault = after_kill(config, run, whole)
            counts[f"then {how}"] += 1
            faults += [f"files of at most {limit} bytes: then {fault}"] if fault else []
    print(f"  full disk: {said(counts)}", flush=True)
    return faults


def ranks(place: Place, times: int, chance: random.Random) -> list[str]:
    """See the top."""
    data = [place.config.data, "--images", str(place.config.data_options.images)]
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for method, strike in rank_faults.strikes(chance, long=times > 1):
        how, fault = rank_faults.judged(place.root, data, method, strike, differ)
        counts[how] += 1
        faults += [f"{method} {strike}: {how}: {fault}"] if fault else []
    print(f"  two processes: {said(counts)}", flush=True)
    return faults


def changed(place: Place, _times: int, _: random.Random) -> list[str]:
    """See the top."""
    table, image = place.root / "table" / "labels.csv", place.root / "images" / "red" / "7.png"
    kept = table.read_bytes(), image.read_bytes()
    rows = [(row[0], row[1]) for row in csv.reader(io.StringIO(kept[0].decode()))][1:]
    changes: dict[str, Callable[[Path], object]] = {
        "relabelled": lambda _: write_table(table, [(rows[0][0], "green"), *rows[1:]]),
        "a class renamed": lambda _: write_table(table, [(a, b.replace("blue", "navy")) for a, b in rows]),
        "replaced": lambda _: Image.new("RGB", (12, 10), (1, 2, 3)).save(image),
        "reordered": lambda _: write_table(table, rows[::-1]),
        "added": lambda _: write_table(table, [*rows, added(place.root / "images")]),
        "removed": lambda _: write_table(table, rows[:-1]),
        "splits": moved_to_training,
        "settings": lambda run: (run / "config.json").write_text(
            (run / "config.json").read_text().replace('"seed": 0', '"seed": 1')
        ),
    }
    unfinished, counts, faults = stopped(place, "unchanged"), Counter[str](), []
    for name, change in changes.items():
        run = place.root / "changed"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(unfinished, run)
        change(run)
        code, text = spoken("resume", place.settings("changed"))
        counts["refused" if code == 2 else "accepted"] += 1
        faults += [] if code == 2 else [f"{name}: resumed with exit {code}: {text[-200:]}"]
        table.write_bytes(kept[0])
        image.write_bytes(kept[1])
    code, text = spoken("resume", place.settings("unchanged"))
    counts["unchanged, resumed"] += code == 0
    faults += [] if code == 0 else [f"unchanged data: refused: {text[-200:]}"]
    print(f"  changed data: {said(counts)}", flush=True)
    return faults


def added(images: Path) -> tuple[str, str]:
    """One more image, and its row."""
    Image.new("RGB", (12, 10), (200, 2, 3)).save(images / "red" / "99.png")
    return "red/99.png", "red"


def moved_to_training(run: Path) -> None:
    """A test image is trained on."""
    splits = json.loads((run / "splits.json").read_text())
    splits["train"].append(splits["test"].pop())
    (run / "splits.json").write_text(json.dumps(splits))


def forked(act: Callable[[], int]) -> int:
    """A process that shares all imports and does this; its number."""
    child = os.fork()
    if child == 0:
        code = UNKNOWN
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                code = act()
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    """The exit code of a process, or its signal below 0."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def spoken(how: str, config: TrainConfig, largest: int | None = None) -> tuple[int, str]:
    """Exit code and words of a training in a process of its own, whose files may be so large."""
    reading, writing = os.pipe()

    def act() -> int:
        sys.stderr = io.StringIO()
        if largest is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        try:
            return longtail(words(how, config))
        except Exception as error:
            sys.stderr.write(f"{type(error).__name__}: {error}")
            return UNKNOWN
        finally:
            os.write(writing, sys.stderr.getvalue().encode()[-4000:])

    child = forked(act)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    return ended(child), text.strip()


def words(how: str, config: TrainConfig) -> list[str]:
    """The command line of a training."""
    if how == "resume":
        return ["train", "--resume", str(config.output), "--quiet"]
    flags = ["--output", str(config.output), "--quiet", *["--overwrite"] * (how == "overwrite")]
    named = {"method": "ce", "backbone": "convnet", "epochs": "3", "batch-size": "8", "features": "8"}
    settings = [word for name, value in named.items() for word in (f"--{name}", value)]
    images = ["--images", str(config.data_options.images), "--accelerator", "cpu"]
    return ["train", config.data, *settings, *images, *flags]


def differ(first: Path, second: Path) -> bool:
    """Whether two runs ended with other weights."""
    one, other = (load_model(run / "model.safetensors")[0].state_dict() for run in (first, second))
    return any(not torch.equal(one[name], other[name]) for name in one)


def said(counts: Counter[str]) -> str:
    """'12 refused, 3 accepted'."""
    return ", ".join(f"{number} {name}" for name, number in counts.most_common())


if __name__ == "__main__":
    sys.exit(main())
