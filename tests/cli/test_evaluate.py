from __future__ import annotations

from pathlib import Path

from longtail.training.data_options import DataOptions

from .conftest import Job, Run


def test_by_default_the_runs_own_test_images_are_judged(run: Run, evaluation: Job):
    ended = run("evaluate", "runs/x")
    assert ended.code == 0
    assert "lynx" in ended.out
    (call,) = evaluation.calls
    assert (call.run, call.data, call.split, call.options, call.output) == (
        Path("runs/x"),
        None,
        "test",
        None,
        None,
    )


def test_other_data_are_read_as_the_flags_say(run: Run, evaluation: Job, tmp_path: Path):
    output = tmp_path / "new.json"
    words = f"runs/x new.csv --split val --group-column owner --skip-unreadable --output {output}"
    assert run("evaluate", *words.split()).code == 0
    (call,) = evaluation.calls
    assert (call.data, call.split, call.output) == ("new.csv", "val", output)
    assert call.options == DataOptions(group_column="owner", skip_unreadable=True)


def test_flags_for_other_data_need_other_data(run: Run, evaluation: Job):
    message = run("evaluate", "runs/x", "--images", "photos", "--skip-unreadable").mistake
    assert message.startswith("--images, --skip-unreadable: goes with DATA")


def test_notes_do_not_stand_between_the_results(run: Run, evaluation: Job):
    table = run("evaluate", "runs/x", "--quiet").out

    def act(call: object) -> object:
        evaluation.calls[-1].watcher.say("204 images")
        return results

    results = evaluation.act(None)
    evaluation.act = act
    ended = run("evaluate", "runs/x")
    assert (ended.out, ended.err) == (table, "204 images\n")
    assert run("evaluate", "runs/x", "--quiet").err == ""


def test_the_place_of_the_output_is_checked_before_the_work(run: Run, evaluation: Job, tmp_path: Path):
    place = tmp_path / "nowhere" / "a.json"
    assert run("evaluate", "x", "--output", str(place)).mistake == (
        f"--output {place}: the folder {place.parent} does not exist"
    )
    assert run("evaluate", "x", "--output", str(tmp_path)).mistake.endswith(
        "expected a file to write, got a folder"
    )
    for name in ("config.json", "results.json"):
        (tmp_path / name).write_text("{}")
    assert run("evaluate", "x", "new.csv", "--output", str(tmp_path / "results.json")).mistake.endswith(
        "results.json: is a file of a run; choose another place"
    )
    assert evaluation.calls == []
