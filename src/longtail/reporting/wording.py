"""Figures and findings in words, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import structs

from longtail.evaluation.intervals import Estimate
from longtail.evaluation.results import AttributeResults, Bounds, ClassFacts, ClassResults, Results
from longtail.reporting.gallery import Gallery
from longtail.words import NOTHING, count, listed, of_hundred, percent, shortened

FEW_TEST_IMAGES = 10
"""With fewer test images than this, one image moves a recall by more than ten points."""

FEW_GROUPS = 30
"""With fewer groups of test images than this, how much groups differ is itself little known."""

MOST_ALIKE = 3
"""A caution that more attributes share is given once for all of them."""

NAMELESS = "label"
"""Name of an attribute that folders gave, which says nothing to a reader."""

METRIC_NAMES = {
    "class_balanced_accuracy": "class-balanced accuracy",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "mean_average_precision": "mean average precision",
    "many_recall": "recall, many",
    "medium_recall": "recall, medium",
    "few_recall": "recall, few",
    "rare_average_precision": "average precision, rarer of two",
}
"""What each figure of results.json is called in a table."""


class WithClasses(Protocol):
    """An attribute, of results or of a comparison."""

    @property
    def classes(self) -> Sequence[ClassFacts]:
        """Its classes."""
        ...


def value(figure: Estimate | None) -> str:
    """A figure in percent, without its sign and its interval."""
    return percent(figure.value if figure else None)


def interval(figure: Estimate | None) -> str:
    """The 95 % interval of a figure in percent, without its sign: '55.1 to 66.8'."""
    return NOTHING if figure is None else f"{percent(figure.low)} to {percent(figure.high)}"


def only_some(attributes: Sequence[AttributeResults], metric: str) -> str:
    """Behind a mean, of how many attributes it is, where some do not define it: ' over 2 of 3 attributes'."""
    number = sum(attribute.metrics.of(metric) is not None for attribute in attributes)
    return f" over {number} of {len(attributes)} attributes" if number < len(attributes) else ""


def recall_interval(entry: ClassResults) -> str:
    """The 95 % interval of a class's recall in whole percent: '54 to 67'; a dash where there is none."""
    if entry.recall_low is None or entry.recall_high is None:
        return NOTHING
    return f"{of_hundred(entry.recall_low)} to {of_hundred(entry.recall_high)}"


def sentence(words: str) -> str:
    """The words with a capital and a full stop."""
    return f"{words[:1].upper()}{words[1:]}."


def options_said(options: Mapping[str, object]) -> str:
    """Options of a method in words; those that are left open or switched off say nothing.

    Example:
        >>> options_said({"feature_layer": "neck", "views": 0.0, "crl.margin": None, "replicate": True})
        'feature layer neck, views 0, replicate'
    """
    said = {name.replace("_", " "): value for name, value in options.items()}
    return ", ".join(
        name if value is True else f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in said.items()
        if value is not None and value is not False and value != "none"
    )


def named_by_data(results: Results) -> Results:
    """The results as people read them: an only attribute without a name of its own has the data's."""
    name = attribute_called(results.data.name, [a.name for a in results.attributes])
    if name is None:
        return results
    return structs.replace(results, attributes=(structs.replace(results.attributes[0], name=name),))


def attribute_called(data: str, attributes: Sequence[str]) -> str | None:
    """What an only attribute is called for people where its own name says nothing; None where that is used.

    Example:
        >>> attribute_called("tiles", ["label"]), attribute_called("tiles", ["colour"])
        ('tiles', None)
    """
    return data if list(attributes) == [NAMELESS] and data else None


def guessing(attributes: Sequence[WithClasses]) -> float:
    """Class-balanced accuracy of guessing: 1/K of an attribute, as a mean over the attributes."""
    return sum(1 / len(a.classes) for a in attributes) / len(attributes)


VERDICTS: Mapping[str, str] = {
    "unfinished": "not finished",
    "still-falling": "not finished",
    "memorised": "memorised",
}
"""What a learning curve says of a training, by the name of the fault."""


def verdict(results: Results) -> list[str]:
    """What the learning curves say, in sentences: 'Not finished: the training loss was still falling …'."""
    found = [fault for fault in results.faults if fault.name in VERDICTS]
    return [f"{sentence(VERDICTS[fault.name]).rstrip('.')}: {fault.text}." for fault in found]


def verdict_words(results: Results) -> str:
    """The same in a few words, for a picture."""
    return ", ".join(dict.fromkeys(VERDICTS[f.name] for f in results.faults if f.name in VERDICTS))


def limits(gallery: Gallery, results: Results) -> str:
    """How many images and classes a report shows, and by what rule."""
    rare = sum(len(m.rare) for m in gallery.mistakes)
    left = sum(m.left for m in gallery.mistakes)
    several = gallery.attributes > 1
    where = f" in {len(gallery.mistakes)} of {gallery.attributes} attributes" if several else ""
    more = f" ({left} more with mistakes)" if left else ""
    return (
        f"Shown are {count(len(gallery.pictures), 'image')}: the most confident mistakes on the "
        f"{results.split} images of {count(rare, 'rare class', 'rare classes')}{where}{more}, and of the "
        "most confused pairs. A class is rare here if it has fewer training images than the mean class."
    )


def by_frequency(classes: Sequence[ClassFacts]) -> list[int]:
    """Indices of the classes from the most to the least frequent in training; ties keep their order."""
    return sorted(range(len(classes)), key=lambda k: -classes[k].train_count)


def group_meaning(groups: Bounds, group: str) -> str:
    """What a frequency group holds, in training images: 'fewer than 20'."""
    many, few = groups.many_above, groups.few_below
    return {"many": f"more than {many}", "few": f"fewer than {few}"}.get(group, f"{few} to {many}")


def headline(results: Results) -> str:
    """What the class-balanced accuracy means, for a person who has not met the term."""
    mean = results.mean
    balanced, plain, few = mean.class_balanced_accuracy, mean.accuracy, mean.few_recall
    if balanced is None:
        return "No class has test images, so nothing can be said about how well the model recognises them."
    sentences = [_balanced_sentence(results, balanced)]
    if few is not None:
        meaning = group_meaning(results.groups, "few")
        rare = f"In the rare classes, those with {meaning} training images, it is"
        sentences.append(f"{rare} {of_hundred(few.value)} of 100.")
    if plain is not None and plain.value - balanced.value > 0.05:
        looks = "looks better because frequent classes dominate it"
        sentences.append(f"Plain accuracy, {of_hundred(plain.value)} of 100, {looks}.")
    return " ".join(sentences)


def _balanced_sentence(results: Results, balanced: Estimate) -> str:
    attributes = results.attributes
    over = f"Averaged over {len(attributes)} attributes: if" if len(attributes) > 1 else "If"
    guess = guessing(attributes)
    low, high = of_hundred(balanced.low), of_hundred(balanced.high)
    return (
        f"{over} every class were equally common, about {of_hundred(balanced.value)} of 100 images would "
        f"be recognised correctly (95 % interval: {low} to {high}); guessing would reach {of_hundred(guess)}."
    )


def cautions(results: Results) -> list[str]:
    """Reasons not to trust a figure, in sentences: a decision that does not hold, too few groups of images,
    classes without images, groups of classes too small to measure.

    A reason that holds for many attributes is said once.
    """
    attributes = results.attributes
    decision = [f"Decision {results.decision}: {results.caveat}."] if results.caveat else []
    meaning = group_meaning(results.groups, "few")
    together = {
        _without_test_images: "some classes have no test image; averages leave them out",
        _without_training_images: "some classes have no training image",
        _too_few_test_images: f"the rare classes ({meaning} training images) have fewer than "
        f"{FEW_TEST_IMAGES} test images together, so that their recall is little more than a hint",
    }
    lacking = (line for reason in together for line in _of_kind(attributes, reason, together[reason]))
    return [*decision, *_too_few_groups(results.image_groups, results.split), *lacking]


def _too_few_groups(groups: int | None, split: str) -> list[str]:
    if groups is None or groups >= FEW_GROUPS:
        return []
    return [
        f"The {split} images come from {count(groups, 'group')}; from fewer than {FEW_GROUPS}, intervals are "
        "rough, and all figures hang on which groups these are."
    ]


def _of_kind(
    attributes: Sequence[AttributeResults], reason: Callable[[Sequence[ClassFacts]], str], together: str
) -> list[str]:
    found = [(a.name, reason(a.classes)) for a in attributes]
    found = [(name, sentence) for name, sentence in found if sentence]
    if len(found) > MOST_ALIKE:
        return [
            f"In {len(found)} of {len(attributes)} attributes ({listed([n for n, _ in found])}) {together}."
        ]
    return [f"{shortened(name, 40)}: {sentence}." for name, sentence in found]


def _without_test_images(classes: Sequence[ClassFacts]) -> str:
    names = [c.name for c in classes if c.test_count == 0]
    return _lacking(names, classes, "no test image; averages over classes leave {} out")


def _without_training_images(classes: Sequence[ClassFacts]) -> str:
    names = [c.name for c in classes if c.train_count == 0]
    return _lacking(names, classes, "no training image; no model can learn {}")


def _too_few_test_images(classes: Sequence[ClassFacts]) -> str:
    few = [c for c in classes if c.frequency_group == "few"]
    tested = sum(c.test_count for c in few)
    if not 0 < tested < FEW_TEST_IMAGES:
        return ""
    subject = "the rare class has" if len(few) == 1 else f"the {len(few)} rare classes together have"
    return (
        f"{subject} only {count(tested, 'test image')}; the recall of this group is little more than a hint"
    )


def _lacking(names: Sequence[str], classes: Sequence[ClassFacts], what: str) -> str:
    if not names:
        return ""
    have, them = ("has", "it") if len(names) == 1 else ("have", "them")
    of = count(len(classes), "class", "classes")
    return f"{len(names)} of {of} ({listed(names)}) {have} {what.format(them)}"
