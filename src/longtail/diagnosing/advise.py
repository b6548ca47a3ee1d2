"""What follows from a diagnosis: plain sentences, each from one explicit rule.

A rule says what the numbers mean for training and measuring, and what can be done. None of them
promises that a figure will rise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from longtail.diagnosing.advise_images import (
    near_across_splits,
    near_to_be_split,
    near_with_other_labels,
    shrunk_images,
    tiny_images,
)
from longtail.diagnosing.batch_shares import BatchShares
from longtail.diagnosing.examine import AttributeDiagnosis, ClassDiagnosis, Diagnosis
from longtail.diagnosing.image_check import ALMOST_BLACK
from longtail.images.bits import usual_bits
from longtail.reporting.wording import FEW_TEST_IMAGES
from longtail.words import count, listed, shortened

EXTREME_RATIO = 100
"""From 100 : 1 on, never to name the smaller of two classes costs less than a point of accuracy on both."""

BALANCED_OMEGA = 0.5
"""Below half a percent, a loss weight of Ω/100 is under 0.005: the loss is cross entropy."""

OFTEN_WITHOUT_PAIR = 0.1
"""From a tenth of the batches on, batches in which nothing is rectified are worth a sentence."""


@dataclass(frozen=True)
class Advice:
    """One sentence or two, the rule they come from, and the attribute they are about, if it is one."""

    rule: str
    attribute: str | None
    text: str


def advise(diagnosis: Diagnosis) -> tuple[Advice, ...]:
    """All that the rules find to say, the most serious first."""
    whole = [Advice(rule.__name__, None, text) for rule in DATA_RULES for text in rule(diagnosis)]
    single = [
        Advice(rule.__name__, attribute.name, f"{shortened(attribute.name, 40)}: {text}")
        for rule in ATTRIBUTE_RULES
        for attribute in diagnosis.attributes
        for text in rule(diagnosis, attribute)
    ]
    return tuple(whole + single)


def unusable_images(diagnosis: Diagnosis) -> Iterator[str]:
    """An image that is missing or cannot be decoded cannot be trained on, and is not dropped silently."""
    if (check := diagnosis.image_check) and (check.missing or check.unreadable):
        found = f"{len(check.missing):,} missing, {len(check.unreadable):,} unreadable"
        yield (
            f"{len(check.missing) + len(check.unreadable):,} of {check.checked:,} images cannot be used "
            f"({found}): restore the files, or take them out of the list."
        )


def almost_black_images(diagnosis: Diagnosis) -> Iterator[str]:
    """Sensors of 10 or 12 bits save files of 16 bits, whose values are taken for 0 to 65535."""
    check = diagnosis.image_check
    if check and check.almost_black > check.checked / 2 and usual_bits(check.bits) is None:
        yield (
            f"{check.almost_black:,} of {check.checked:,} images are almost black (no value above"
            f" {ALMOST_BLACK} of 255). 16-bit files with 10- or 12-bit values look like this: scale them up."
        )


def narrow_values(diagnosis: Diagnosis) -> Iterator[str]:
    """Sensors of 10, 12 or 14 bits save files of 16 bits, whose values are taken for 0 to 65535."""
    if (check := diagnosis.image_check) and (bits := usual_bits(check.bits)) is not None:
        yield (
            f"No 16-bit training image has a value above {2**bits - 1:,}, so all become dark. Train with"
            f" --bits {bits} if the sensor has {bits} bits."
        )


def contradicting_duplicates(diagnosis: Diagnosis) -> Iterator[str]:
    """Equal pixels give equal predictions, so of two different labels at least one counts as a mistake."""
    if (check := diagnosis.image_check) and check.conflicting:
        yield (
            f"{count(len(check.conflicting), 'set')} of identical images with different labels: no model "
            "can be right about all of them. Correct the labels, or remove the images."
        )


def duplicates_across_splits(diagnosis: Diagnosis) -> Iterator[str]:
    """An image that was trained on and is tested on measures memory, not recognition."""
    if (check := diagnosis.image_check) and check.across_splits:
        yield (
            f"In more than one of the given splits: {count(len(check.across_splits), 'set')} of identical "
            "images. On them, the figures measure memory: keep each image in one split."
        )


def groups_across_splits(diagnosis: Diagnosis) -> Iterator[str]:
    """Images of one group resemble each other by more than their class, so a shared group is leakage too."""
    if diagnosis.groups_across_splits and diagnosis.groups is not None:
        yield (
            f"In more than one of the given splits: images of {diagnosis.groups_across_splits:,} of "
            f"{diagnosis.groups:,} groups. A model can recognise the group instead of the class: split by "
            "group."
        )


def duplicates_to_be_split(diagnosis: Diagnosis) -> Iterator[str]:
    """Without given splits, identical images outside of one common group can end up on both sides."""
    check = diagnosis.image_check
    if check is None or diagnosis.given_splits:
        return
    found = [d for d in check.duplicates if d.groups is None or d.groups > 1]
    if found:
        common = "" if diagnosis.groups is None else "common "
        yield (
            f"Without a {common}group: {count(len(found), 'set')} of identical images. A split can put the "
            "same image in training and test: keep one of each, or give them one group."
        )


def fewer_images_than_a_batch(diagnosis: Diagnosis) -> Iterator[str]:
    """A batch is drawn without replacement: it cannot hold more than there is."""
    if diagnosis.training_images < diagnosis.batch_size:
        yield (
            f"{count(diagnosis.training_images, 'image')} for training, fewer than a batch of "
            f"{diagnosis.batch_size:,}: every batch is the whole data set."
        )


def one_class(_: Diagnosis, attribute: AttributeDiagnosis) -> Iterator[str]:
    """With a single class in training every prediction is the same."""
    present = [c.name for c in attribute.classes if c.train_images]
    if not present:
        yield "no training image has a label, so nothing can be learned about it."
    elif len(present) == 1:
        yield f"all labelled training images are {listed(present)}, so there is nothing to tell apart."


def no_training_image(_: Diagnosis, attribute: AttributeDiagnosis) -> Iterator[str]:
    """A class without training images can never be predicted for a reason."""
    names = [c.name for c in attribute.classes if c.train_images == 0]
    if 0 < len(names) < len(attribute.classes):
        yield f"{_of_classes(names, attribute)} no image to train on: {listed(names)}."


def few_test_images(diagnosis: Diagnosis, attribute: AttributeDiagnosis) -> Iterator[str]:
    """With fewer than 10 test images of a class, one image moves its recall by more than 10 points."""
    if "test" not in diagnosis.given_splits:
        return
    untested = attribute.absent_from("test")
    few = [c.name for c in attribute.classes if 0 < c.in_split("test") < FEW_TEST_IMAGES]
    if untested:
        yield f"{_of_classes(untested, attribute)} no test image to be measured with: {listed(untested)}."
    if few:
        yield (
            f"{_of_classes(few, attribute)} fewer than {FEW_TEST_IMAGES} test images, so one image moves the "
            f"recall by more than {100 // FEW_TEST_IMAGES} points: {listed(few)}."
        )


def too_few_to_test(diagnosis: Diagnosis, attribute: AttributeDiagnosis) -> Iterator[str]:
    """Without a given test split: not even half of fewer than 20 images would be 10 to test on."""
    enough = 2 * FEW_TEST_IMAGES
    names = [c.name for c in attribute.classes if 1 < c.images < enough]
    if names and "test" not in diagnosis.given_splits:
        yield (
            f"{_of_classes(names, attribute)} 2 to {enough - 1} images: even with half of them for testing, "
            f"one image moves the recall by more than {100 // FEW_TEST_IMAGES} points ({listed(names)})."
        )


def no_validation_image(diagnosis: Diagnosis, attribute: AttributeDiagnosis) -> Iterator[str]:
    """What is chosen on the validation images is chosen without the classes that are not among them."""
    names = attribute.absent_from("val") if "val" in diagnosis.given_splits else ()
    if names:
        yield f"{_of_classes(names, attribute)} no val image to choose a model with: {listed(names)}."


def single_image(_: Diagnosis, attribute: AttributeDiagnosis) -> Iterator[str]:
    """One image is either trained on or tested on, and a pair needs two."""
    names = attribute.single
    if names:
        yield (
            f"{_of_classes(names, attribute)} a single image, which is for training or for the test, not "
            f"both, and never forms a pair for rectification: {listed(names)}."
        )


def single_group(diagnosis: Diagnosis, attribute: AttributeDiagnosis) -> Iterator[str]:
    """A split by group keeps a group on one side, and so does it with a class that lives in one group."""
    names = attribute.one_group
    if names and not diagnosis.given_splits:
        yield (
            f"{_of_classes(names, attribute)} images of one group only: split by group, they are trained on "
            f"or tested on, not both ({listed(names)})."
        )


def unlabelled_images(diagnosis: Diagnosis, attribute: AttributeDiagnosis) -> Iterator[str]:
    """An unlabelled image counts for nothing in an attribute: the real number of images is smaller."""
    if attribute.unlabelled and attribute.labelled:
        share = _percent(attribute.unlabelled / diagnosis.images)
        yield (
            f"{count(attribute.unlabelled, 'image')} ({share}) without a label; they count neither in "
            "training nor in the test of this attribute."
        )


def extreme_imbalance(_: Diagnosis, attribute: AttributeDiagnosis) -> Iterator[str]:
    """Accuracy hardly notices a class that is a hundred times smaller than another."""
    ratio = attribute.imbalance_ratio
    if ratio is not None and ratio >= EXTREME_RATIO:
        present = (c for c in attribute.classes if c.train_images)
        largest, *_middle, smallest = sorted(present, key=lambda c: -c.train_images)
        yield (
            f"{_named(largest)} has {ratio:,.0f} times as many images as {_named(smallest)}. Accuracy hardly "
            "notices whether the rare class is recognised: read the class-balanced accuracy."
        )


def balanced(_: Diagnosis, attribute: AttributeDiagnosis) -> Iterator[str]:
    """Where Ω is 0 there is no minority to protect, and a loss weight taken from Ω is 0 as well."""
    if len(attribute.classes) > 1 and attribute.labelled and attribute.omega < BALANCED_OMEGA:
        yield (
            f"the classes are balanced (Ω = {attribute.omega:.1f}): there is nothing to rectify. Minorities "
            "in a batch arise by chance, and a loss weight taken from Ω is close to 0."
        )


def batch_too_small(_: Diagnosis, attribute: AttributeDiagnosis) -> Iterator[str]:
    """A class needs two images in the batch to be rectified: the rarer, the larger must the batch be."""
    first, *larger = attribute.batches
    pairless = _mostly_pairless(attribute, first)
    if not pairless:
        return
    rarest = min(pairless, key=lambda k: (attribute.classes[k].train_images, k))
    several = f"{len(pairless)} of {len(attribute.classes)} classes {'is' if len(pairless) == 1 else 'are'}"
    yield (
        f"{several} absent or alone, and so not rectified, in more than half of the batches of "
        f"{first.batch_size:,}; {_named(attribute.classes[rarest])} is absent from "
        f"{_percent(first.absent[rarest])} and alone in {_percent(first.skipped[rarest])}."
        + _with_larger_batches(attribute, len(pairless), larger)
    )


def batches_without_pair(_: Diagnosis, attribute: AttributeDiagnosis) -> Iterator[str]:
    """A batch in which no minority class has two images gives a rectification loss of zero."""
    first, *larger = attribute.batches
    present = sum(c.train_images > 0 for c in attribute.classes)
    if present < 2 or first.without_pair < OFTEN_WITHOUT_PAIR:
        return
    better = next((b for b in larger if b.without_pair < OFTEN_WITHOUT_PAIR), None)
    yield (
        f"{_percent(first.without_pair)} of the batches of {first.batch_size:,} hold no minority class with "
        "two images, so nothing is rectified in them"
        + (f"; with {better.batch_size:,} it would be {_percent(better.without_pair)}." if better else ".")
    )


DATA_RULES: tuple[Callable[[Diagnosis], Iterator[str]], ...] = (
    unusable_images,
    almost_black_images,
    narrow_values,
    contradicting_duplicates,
    duplicates_across_splits,
    groups_across_splits,
    duplicates_to_be_split,
    near_across_splits,
    near_to_be_split,
    near_with_other_labels,
    fewer_images_than_a_batch,
    shrunk_images,
    tiny_images,
)
"""Rules about the data as a whole, in the order they are shown."""

ATTRIBUTE_RULES: tuple[Callable[[Diagnosis, AttributeDiagnosis], Iterator[str]], ...] = (
    one_class,
    no_training_image,
    few_test_images,
    too_few_to_test,
    no_validation_image,
    single_image,
    single_group,
    unlabelled_images,
    extreme_imbalance,
    balanced,
    batch_too_small,
    batches_without_pair,
)
"""Rules about one attribute each, in the order they are shown."""


def _mostly_pairless(attribute: AttributeDiagnosis, batches: BatchShares) -> list[int]:
    """Classes with at least two training images that are absent or alone in more than half of the batches."""
    return [
        k
        for k, c in enumerate(attribute.classes)
        if c.train_images > 1 and batches.absent[k] + batches.skipped[k] > 0.5
    ]


def _with_larger_batches(attribute: AttributeDiagnosis, now: int, larger: Sequence[BatchShares]) -> str:
    """How many classes it would be with the smallest size that leaves fewest of them, if it helps any."""
    left = [(len(_mostly_pairless(attribute, batches)), batches.batch_size) for batches in larger]
    fewest, size = min(left, default=(now, 0))
    if fewest == now:
        return ""
    return f" With batches of {size:,} it would be {fewest or 'none'}."


def _named(found: ClassDiagnosis) -> str:
    return f"{shortened(found.name, 40)} ({count(found.train_images, 'image')})"


def _of_classes(names: Sequence[str], attribute: AttributeDiagnosis) -> str:
    """'1 of 12 classes has', '2 of 12 classes have'."""
    return f"{len(names):,} of {len(attribute.classes):,} classes {'has' if len(names) == 1 else 'have'}"


def _percent(share: float) -> str:
    """A share as a whole percentage that says 0 or 100 only where it is exactly that."""
    if 0 < share < 0.005:
        return "under 1%"
    return "over 99%" if 0.995 <= share < 1 else f"{100 * share:.0f}%"
