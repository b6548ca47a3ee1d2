"""The README.md of a run: what a person should know before using the model, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from longtail.evaluation.results import AttributeResults, Results
from longtail.methods.options import DECISIONS
from longtail.models.backbones import EXPECTED, LICENCES, TIMM_PREFIX, Tuning
from longtail.reporting.wording import (
    by_frequency,
    cautions,
    headline,
    interval,
    recall_interval,
    sentence,
    value,
)
from longtail.training.checkpoint import ModelCard
from longtail.training.config import TrainConfig
from longtail.words import NOTHING, as_markdown, count, of_hundred

LEARNED: dict[Tuning | None, str] = {
    None: "all of it was trained",
    "all": "all of it was fine-tuned",
    "last": "its last stage was fine-tuned",
    "head": "it was frozen, and the head on it trained",
    "adapters": "it was frozen, and adapters in it trained",
}


def model_card(results: Results, card: ModelCard, config: TrainConfig) -> str:
    """What the model was trained on, how well it recognises each class, how it decides, and its limits.

    The same arguments give the same text: it holds no times.

    Args:
        results: of the decision that the model was trained for.
        card: of the model.
        config: of its training.
    """
    parts = [
        f"# {as_markdown(results.data.name)}, {as_markdown(results.method.name)}",
        as_markdown(headline(results)),
        _table(("", ""), _facts(results, card, config)),
        f"## Recall of each class, on {results.split} images",
        *(part for attribute in results.attributes for part in _attribute(attribute)),
        "## Limits",
        "\n".join(f"- {as_markdown(line)}" for line in _limits(results)),
        "## Use",
        "```sh\nlongtail predict RUN photo.jpg      # RUN: this folder\n"
        "longtail export RUN                 # one ONNX file that decides alike\n```",
    ]
    return "\n\n".join(parts) + "\n"


def started_from(card: ModelCard, config: TrainConfig) -> str:
    """Which weights the training began from, and their licence where we know it."""
    if config.start is not None:
        return f"the network of the run {Path(config.start).name}; see its own card"
    if config.weights is not None:
        return f"the backbone in {Path(config.weights).name}, of unknown licence"
    published = card.backbone in EXPECTED or card.backbone.startswith(TIMM_PREFIX)
    if config.from_scratch or not published:
        return "random weights"
    licence = LICENCES.get(card.backbone)
    known = f"licence {licence}" if licence else "their licence is not recorded here, look it up"
    return f"the published weights of {card.backbone}; {known}"


def _facts(results: Results, card: ModelCard, config: TrainConfig) -> list[tuple[str, str]]:
    data, (height, width) = results.data, card.image_size
    images = ", ".join(f"{number:,} {name}" for name, number in data.images.items())
    names = ", ".join(f"{a.name} ({count(len(a.classes), 'class', 'classes')})" for a in results.attributes)
    network = f"{card.backbone}, {results.model.parameters:,} parameters; {LEARNED[card.tuning]}"
    return [
        ("Trained on", f"{data.name}; images: {images}"),
        ("Recognises", names),
        ("Takes", f"images, cut to their middle and brought to {height}x{width} pixels"),
        ("Method", f"{results.method.name}, seed {results.seed}"),
        ("Network", network),
        ("Began from", started_from(card, config)),
        ("Decides by", f"{results.decision}: {DECISIONS[results.decision].summary.partition(';')[0]}"),
        ("Made by", f"longtail {results.longtail_version}"),
    ]


def _attribute(attribute: AttributeResults) -> Iterator[str]:
    metrics = attribute.metrics
    yield f"### {as_markdown(attribute.name)}"
    yield (
        f"Class-balanced accuracy {value(metrics.class_balanced_accuracy)} % (95 % interval "
        f"{interval(metrics.class_balanced_accuracy)}), accuracy {value(metrics.accuracy)} %."
    )
    rows = [
        (
            entry.name,
            str(entry.train_count),
            str(entry.test_count),
            NOTHING if entry.recall is None else of_hundred(entry.recall),
            recall_interval(entry),
        )
        for entry in (attribute.classes[k] for k in by_frequency(attribute.classes))
    ]
    yield _table(("class", "training images", "evaluated images", "recall, %", "95 % interval"), rows)


def _limits(results: Results) -> list[str]:
    return [
        "Every image is given one of these classes, also one that shows something else.",
        "Figures hold for images like those it was evaluated on; another camera or place can lower them.",
        *cautions(results),
        *(sentence(fault.text) for fault in results.faults),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; numbers stand to the right of the first column."""
    ruler = ["---", *["---:" if len(head) > 2 else "---"] * (len(head) - 1)]
    lines = [head, ruler, *(tuple(map(as_markdown, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
