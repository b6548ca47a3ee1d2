"""Methods by their names, and classes of the user's own."""

import sys
from pathlib import Path

import pytest

from longtail.errors import InputError
from longtail.methods import find
from longtail.methods.find import allow, allowed_again, class_of, row_of
from longtail.methods.options import MethodOptions
from longtail.methods.rows import METHODS

OWN = '''
from pathlib import Path

from longtail.methods.context import Losses
from longtail.methods.base import Method

Path({mark!r}).touch()


class Own(Method):
    def loss(self, output, batch):
        return Losses({{"ce": self.cross_entropy(output, batch)}})


class Open(Method):
    """It does not say what it minimises."""


class Odd(Own):
    row = "ce"


ANSWER = 42
'''


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch):
    monkeypatch.setattr(find, "_allowed", {})


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A file own.py in the current folder, which leaves a mark when it is imported."""
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN.format(mark=str(tmp_path / "imported")))
    return tmp_path


@pytest.mark.parametrize("name", METHODS)
def test_every_row_has_its_class(name):
    assert class_of(name).__module__ == "longtail.methods." + METHODS[name].path.partition(":")[0]


def test_a_name_alone_imports_nothing(own):
    for look in (class_of, row_of, lambda name: allowed_again(name, None)):
        with pytest.raises(
            InputError, match=r"^own.py:Own: is a method of your own.*add --method own.py:Own$"
        ):
            look("own.py:Own")
    assert not (own / "imported").exists()


@pytest.mark.parametrize("name", ["own.py:Own", "{folder}/own.py:Own", "own:Own", "package.mine:Own"])
def test_a_class_that_is_named_is_found(own, name, monkeypatch):
    (own / "package").mkdir()
    (own / "package" / "mine.py").write_text((own / "own.py").read_text())
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(own))])
    before, name = [*sys.path], name.format(folder=own)
    try:
        allow(name)
    finally:
        for module in ("own", "package", "package.mine"):
            sys.modules.pop(module, None)
    assert class_of(name).__name__ == "Own"
    assert row_of(name).options == MethodOptions()
    assert sys.path == before


def test_a_file_of_the_current_folder_does_not_stand_for_an_installed_module(own):
    (own / "colorsys.py").write_text("raise SystemExit('shadowed')")
    with pytest.raises(InputError, match=r"^--method colorsys:Own: colorsys has no class 'Own'"):
        allow("colorsys:Own")


def test_a_file_does_not_take_the_place_of_a_module_of_its_name(own):
    import math

    (own / "math.py").write_text((own / "own.py").read_text())
    allow("math.py:Own")
    assert sys.modules["math"] is math


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.py:Own", "--method none.py:Own: there is no file none.py"),
        ("nowhere.else:Own", "--method nowhere.else:Own: there is no module nowhere.else, installed or in"),
        ("own.py:Owm", "--method own.py:Owm: own.py has no class 'Owm'. Did you mean 'Own'?"),
        ("own.py:ANSWER", "--method own.py:ANSWER: expected a class behind longtail.methods.base.Method"),
        ("own.py:Path", "--method own.py:Path: expected a class behind longtail.methods.base.Method"),
        ("own.py:Open", "--method own.py:Open: expected a class that can be made, it does not say loss"),
        ("own.py:Odd", "--method own.py:Odd: expected its row to be a longtail.methods.rows.Row, got 'ce'"),
        ("raises.py:Own", "raises.py cannot be imported (ValueError: two lines)"),
        ("exits.py:Own", "exits.py cannot be imported (SystemExit: 3)"),
        ("wrong.py:Own", "wrong.py cannot be imported (SyntaxError: "),
        ("needs.py:Own", "needs.py cannot be imported (ModuleNotFoundError: No module named 'nowhere')"),
        (":Own", "--method :Own:  cannot be imported (ValueError: Empty module name)"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(own, name, message):
    (own / "raises.py").write_text("raise ValueError('two\\nlines')")
    (own / "exits.py").write_text("raise SystemExit(3)")
    (own / "wrong.py").write_text("class Own(")
    (own / "needs.py").write_text("import nowhere")
    with pytest.raises(InputError) as caught:
        allow(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_is_loaded_by_the_method_that_is_named_again(own):
    (own / "moved.py").write_text((own / "own.py").read_text())
    assert allowed_again("crl", None) == "crl"
    assert allowed_again("crl", "crl") == "crl"
    assert allowed_again("own.py:Own", "own.py:Own") == "own.py:Own"
    assert allowed_again("own.py:Own", "moved.py:Own") == "moved.py:Own"


@pytest.mark.parametrize(("found", "named"), [("crl", "own.py:Own"), ("crl", "ce"), ("own.py:Own", "crl")])
def test_another_method_than_that_of_the_run_is_refused(own, found, named):
    with pytest.raises(
        InputError, match=rf"^--method {named}: the run was trained with {found}; leave it out"
    ):
        allowed_again(found, named)
    assert not (own / "imported").exists()


def test_an_unknown_method_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match=r"--method: expected one of ce, .*got 'crll'\. Did you mean 'crl'"):
        class_of("crll")
