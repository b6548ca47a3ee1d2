"""The page: bounded, offline, and safe for any name."""

from __future__ import annotations

import base64
import io
import re

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from longtail.diagnosing.label_page import MOST_PICTURES, not_judged, render_labels, shares_of
from longtail.diagnosing.labels import AttributeCheck, ClassSuspects
from longtail.diagnosing.pictures import picture
from longtail.images.thumbnails import EDGE

from .label_data import doubted, shades


def test_a_suspect_is_shown_with_its_label_and_the_one_that_fits_better():
    dataset = shades(8)
    page = render_labels(dataset, doubted(dataset, 3), {"command": "longtail diagnose shades"})
    assert "<s>odd</s> → <b>even</b>" in page
    assert "image 3" in page
    assert "longtail diagnose shades" in page
    assert page.count("<img") == 1


def test_the_page_holds_its_pictures_and_asks_nothing_of_a_network():
    dataset = shades(40)
    page = render_labels(dataset, doubted(dataset, *range(30)), {})
    assert page.count("<img") == 27  # three cannot be read
    assert page.count("no picture") == 3
    assert not re.search(r"(src|href)=[\"'](?!data:image/jpeg;base64,|#)", page)
    assert "img-src data:" in page


def test_of_many_suspects_the_first_are_shown_and_the_others_counted():
    dataset = shades(400, ("a", "b"))
    page = render_labels(dataset, doubted(dataset, *range(150)), {}, most=20)
    assert page.count('<li><div class="frame">') == 20
    assert page.count("140 more are in labels.csv.") == 2
    assert len(render_labels(dataset, doubted(dataset, *range(400)), {})) < MOST_PICTURES * 6000


def test_names_cannot_end_a_tag():
    dataset = shades(4, ("<script>alert(1)</script>",), ids=["<b>", "\x1b[31m", "c", "d"])
    page = render_labels(dataset, doubted(dataset, 0, 1), {"command": "<i>"})
    assert "alert(1)" in page
    assert not any(bad in page for bad in ("<script>alert", "<b>,", "\x1b", "<i>"))


def test_an_image_with_a_contradicting_twin_names_it():
    dataset = shades(8)
    page = render_labels(dataset, doubted(dataset, 3, twins={3: (4, 5, 6)}), {})
    assert "identical to image 4, image 5 and 1 more" in page


def test_a_picture_is_small_and_keeps_its_shape():
    address = picture(shades(3).images, 1)
    assert address is not None
    image = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    assert (image.format, image.size) == ("JPEG", (EDGE // 2, EDGE))
    assert picture(shades(10).images, 9) is None


def test_classes_that_were_not_judged_are_named():
    found = AttributeCheck("a", shades(1).labels[:, 0] * 0.0, (ClassSuspects("lynx", 1, 0, 0),), ())
    assert not_judged(found) == (
        "1 class could not be judged, with one image or all images in one group: lynx."
    )


@given(st.lists(st.integers(0, 50), max_size=6), st.integers(0, 100))
def test_places_on_the_page_are_given_one_at_a_time(sizes, most):
    found = shares_of(sizes, most)
    assert sum(found) == min(sum(sizes), most)
    assert all(n <= size for n, size in zip(found, sizes, strict=True))
    level = max((n for n, size in zip(found, sizes, strict=True) if n < size), default=None)
    if level is not None:  # no list has more than one place beyond one that has to leave some out
        assert max(found) <= level + 1
        assert all(n >= level - 1 for n, size in zip(found, sizes, strict=True) if n < size)
