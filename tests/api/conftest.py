"""One short training that the tests of the package read."""

import pytest

import longtail


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
    """The model of a short training on the digits."""
    folder = tmp_path_factory.mktemp("api") / "run"
    return longtail.train(
        "digits", method="ce", backbone="convnet", epochs=2, tail_ratio=10, tail_largest=60, output=folder
    )
