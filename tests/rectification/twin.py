"""The Class Rectification Loss a second time: slow, in plain loops, one image and one pair after the other.

It follows the published rules word for word and shares no code with the package. Distances are float64
scalars that torch can differentiate, so the twin checks gradients as well as values. Which images are
chosen is decided on plain Python numbers: no gradient flows through a selection.
"""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

Images = list[int]


class Anchor(NamedTuple):
    """One anchor of one attribute, the distances to its own positives and negatives, its margin."""

    attribute: int
    image: int
    positives: list[Tensor]
    negatives: list[Tensor]
    margin: float


class Outcome(NamedTuple):
    """The loss and what it was made of; `kept` and `skipped` hold one set of classes per attribute.

    `anchors` counts those with a positive pair: with κ = 1 at class level, one anchor a class has none.
    """

    loss: Tensor
    kept: list[set[int]]
    skipped: list[set[int]]
    anchors: list[int]
    positive_pairs: int
    negative_pairs: int
    triplets: int
    active_share: float


def minorities(column: Images, rho: float) -> tuple[list[int], list[int]]:
    """Minority classes of one attribute: those with two images or more, and those with a single one."""
    counts = Counter(label for label in column if label >= 0)
    limit = Fraction(str(rho)) * sum(counts.values())
    kept, skipped, cumulative = [], [], 0
    for c in sorted(counts, key=lambda c: (counts[c], c)):
        cumulative += counts[c]
        if cumulative > limit:
            break
        (kept if counts[c] >= 2 else skipped).append(c)
    return kept, skipped


def class_level(column: Images, kept: list[int], scores: list[dict[int, Tensor]], kappa: int) -> list[tuple]:
    """(image, d+, d-) of every anchor; the hard images are chosen once per class."""
    anchors = []
    for c in kept:
        p = {i: scores[i][c] for i, label in enumerate(column) if label >= 0}
        same = [i for i in p if column[i] == c]
        other = [i for i in p if column[i] != c]
        lowest = sorted(same, key=lambda i: p[i].item())[:kappa]
        highest = sorted(other, key=lambda i: -p[i].item())[:kappa]
        for a in same:
            positives = [(p[a] - p[i]).abs() for i in lowest if i != a]
            negatives = [p[a] - p[i] for i in highest]
            anchors.append((a, positives, negatives))
    return anchors


def instance_level(column: Images, kept: list[int], vectors: list[Tensor], kappa: int) -> list[tuple]:
    """(image, d+, d-) of every anchor; the hard images are chosen for each anchor on its own."""
    anchors = []
    points = [vector.tolist() for vector in vectors]
    for a, c in enumerate(column):
        if c not in kept:
            continue
        same = [i for i, label in enumerate(column) if label == c and i != a]
        other = [i for i, label in enumerate(column) if label not in (c, -1)]
        farthest = sorted(same, key=lambda i: -math.dist(points[a], points[i]))[:kappa]
        nearest = sorted(other, key=lambda i: math.dist(points[a], points[i]))[:kappa]
        positives = [euclidean(vectors[a], vectors[i]) for i in farthest]
        negatives = [euclidean(vectors[a], vectors[i]) for i in nearest]
        anchors.append((a, positives, negatives))
    return anchors


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    """‖a - b‖₂, with the subgradient 0 where the points coincide."""
    squared = ((a - b) * (a - b)).sum()
    return squared.sqrt() if squared.item() > 0 else squared * 0


def total(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum() if terms else torch.zeros((), dtype=torch.float64)


def relative(anchors: list[Anchor]) -> tuple[Tensor, int, int]:
    """Mean hinge over all triplets; how many triplets there are, and how many cost something."""
    active, triplets = [], 0
    for anchor in anchors:
        d_neg = [(d, d.item()) for d in anchor.negatives]
        for d_plus in anchor.positives:
            room = anchor.margin + d_plus.item()
            for d_minus, number in d_neg:
                triplets += 1
                if room - number > 0:
                    active.append(anchor.margin + d_plus - d_minus)
    return total(active) / max(triplets, 1), triplets, len(active)


def absolute(anchors: list[Anchor], power: int) -> Tensor:
    """Half the mean pull of the positive pairs, plus half the mean squared push of the negative pairs."""
    pulls = [d**power for anchor in anchors for d in anchor.positives]
    pushes = []
    negative_pairs = 0
    for anchor in anchors:
        for d in anchor.negatives:
            negative_pairs += 1
            if anchor.margin - d.item() > 0:
                pushes.append((anchor.margin - d) ** 2)
    return 0.5 * (total(pulls) / max(len(pulls), 1) + total(pushes) / max(negative_pairs, 1))


def distribution(anchors: list[Anchor], low: float, high: float | None, nodes: int) -> Tensor:
    """Σ_t h⁺_t Σ_{k≤t} h⁻_k; without `high` the grid ends at the largest distance there is."""
    d_pos = [d for anchor in anchors for d in anchor.positives]
    d_neg = [d for anchor in anchors for d in anchor.negatives]
    if not d_pos or not d_neg:
        return total([])
    if high is None:
        high = max(d.item() for d in d_pos + d_neg)
    h_pos, h_neg = histogram(d_pos, low, high, nodes), histogram(d_neg, low, high, nodes)
    return total([h_pos[t] * h_neg[k] for t in range(nodes) for k in range(t + 1)])


def histogram(distances: list[Tensor], low: float, high: float, nodes: int) -> list[Tensor]:
    """Mean triangular kernel at every node: a distance shares its mass between its two neighbours."""
    mass: list[list[Tensor]] = [[] for _ in range(nodes)]
    spacing = (high - low) / (nodes - 1)
    for d in distances:
        if spacing == 0:
            mass[0].append(d * 0 + 1)
            continue
        d = d.clamp(low, high)
        left = 0
        while left < nodes - 2 and d.item() > low + (left + 1) * spacing:
            left += 1
        fraction = (d - (low + left * spacing)) / spacing
        mass[left].append(1 - fraction)
        mass[left + 1].append(fraction)
    return [total(m) / len(distances) for m in mass]


def log_odds(logits: list[Tensor], c: int) -> Tensor:
    """log p(c) - log(1 - p(c)): the logit of c against all others together, in a sum without the largest."""
    others = [z for k, z in enumerate(logits) if k != c and z.item() > -math.inf]
    largest = max(z.item() for z in others)
    return logits[c] - largest - torch.log(total([torch.exp(z - largest) for z in others]))


def log_odds_gaps(logits: Tensor, columns: list[Images], rho: float, kappa: int) -> list[list[list[Tensor]]]:
    """For every attribute and minority class, a table: z_+ - z_- of its hard positives and hard negatives."""
    tables = []
    for j, column in enumerate(columns):
        for c in minorities(column, rho)[0]:
            z = {i: log_odds(list(logits[i, j].unbind()), c) for i, label in enumerate(column) if label >= 0}
            lowest = sorted((i for i in z if column[i] == c), key=lambda i: z[i].item())[:kappa]
            highest = sorted((i for i in z if column[i] != c), key=lambda i: -z[i].item())[:kappa]
            tables.append([[z[a] - z[n] for n in highest] for a in lowest])
    return tables


def soft_plus(x: Tensor) -> Tensor:
    """log(1 + e^x), by the sign of x so that nothing overflows."""
    return x + torch.log(1 + torch.exp(-x)) if x.item() > 0 else torch.log(1 + torch.exp(x))


def mean_cost(table: list[list[Tensor]], margin: float) -> Tensor:
    costs = [soft_plus(margin - gap) for row in table for gap in row]
    return total(costs) / len(costs)


def twin_of_log_odds(
    logits: Tensor, labels: Tensor, *, kappa: int = 25, rho: float = 0.5, margin: float | None = None, **_
) -> Outcome:
    """The log-odds comparison: no anchors, one table of pairs a class."""
    columns = [labels[:, j].tolist() for j in range(labels.shape[1])]
    margin = 1.0 if margin is None else margin
    tables = log_odds_gaps(logits, columns, rho, kappa)
    gaps = [gap for table in tables for row in table for gap in row]
    profiles = [minorities(column, rho) for column in columns]
    return Outcome(
        loss=total([mean_cost(table, margin) for table in tables]) / max(len(tables), 1),
        kept=[set(kept) for kept, _ in profiles],
        skipped=[set(skipped) for _, skipped in profiles],
        anchors=[sum(a in kept for a in column) for column, (kept, _) in zip(columns, profiles)],
        positive_pairs=sum(len(table) for table in tables),
        negative_pairs=sum(len(table[0]) for table in tables),
        triplets=len(gaps),
        active_share=sum(gap.item() < margin for gap in gaps) / max(len(gaps), 1),
    )


def default_margin(level: str, normalize: bool, num_classes: int) -> float:
    return 0.5 if level == "class" or normalize else 2 * math.pi / num_classes


def class_scores(logits: Tensor) -> list[list[dict[int, Tensor]]]:
    """scores[j][i][c] = softmax probability of class c, over the classes that attribute j has."""
    n, attributes, k = logits.shape
    cells = [[list(row.unbind()) for row in image.unbind()] for image in logits.unbind()]
    scores = []
    for j in range(attributes):
        classes = [c for c in range(k) if any(cells[i][j][c].item() > -math.inf for i in range(n))]
        rows = [torch.softmax(torch.stack([cells[i][j][c] for c in classes]), 0) for i in range(n)]
        scores.append([dict(zip(classes, row.unbind())) for row in rows])
    return scores


def find_anchors(logits: Tensor, columns: list[Images], features: Tensor | None, **how) -> list[Anchor]:
    """Every anchor of every attribute."""
    anchors = []
    for j, column in enumerate(columns):
        kept, _ = minorities(column, how["rho"])
        if how["level"] == "class":
            found = class_level(column, kept, class_scores(logits[:, j : j + 1])[0], how["kappa"])
        else:
            vectors = list(features[:, j if features.shape[1] > 1 else 0].unbind())
            if how["normalize"]:
                vectors = [vector / max(vector.norm(), 1e-12) for vector in vectors]
            found = instance_level(column, kept, vectors, how["kappa"])
        num_classes = int((logits[:, j] > -math.inf).any(0).sum())
        margin = how["margin"]
        if margin is None and found:
            margin = default_margin(how["level"], how["normalize"], num_classes)
        anchors += [Anchor(j, image, d_pos, d_neg, margin) for image, d_pos, d_neg in found]
    return anchors


def twin(
    logits: Tensor,
    labels: Tensor,
    features: Tensor | None = None,
    *,
    level: str = "class",
    comparison: str = "relative",
    kappa: int = 25,
    rho: float = 0.5,
    margin: float | None = None,
    power: int = 1,
    normalize: bool = False,
    nodes: int = 21,
) -> Outcome:
    """Class Rectification Loss of (N, J, K) logits, (N, J) labels and (N, J or 1, D) features."""
    if comparison == "log-odds":
        return twin_of_log_odds(logits, labels, kappa=kappa, rho=rho, margin=margin)
    columns = [labels[:, j].tolist() for j in range(labels.shape[1])]
    how = {"level": level, "rho": rho, "kappa": kappa, "margin": margin, "normalize": normalize}
    anchors = find_anchors(logits, columns, features, **how)
    loss, triplets, active = relative(anchors)
    if comparison == "absolute":
        loss = absolute(anchors, power)
    elif comparison == "distribution":
        low = -1.0 if level == "class" else 0.0
        high = 1.0 if level == "class" else 2.0 if normalize else None
        loss = distribution(anchors, low, high, nodes)
    profiles = [minorities(column, rho) for column in columns]
    return Outcome(
        loss=loss,
        kept=[set(kept) for kept, _ in profiles],
        skipped=[set(skipped) for _, skipped in profiles],
        anchors=[sum(a.attribute == j and bool(a.positives) for a in anchors) for j in range(len(columns))],
        positive_pairs=sum(len(anchor.positives) for anchor in anchors),
        negative_pairs=sum(len(anchor.negatives) for anchor in anchors),
        triplets=triplets,
        active_share=active / max(triplets, 1),
    )


def gradients(loss: Tensor, *leaves: Tensor) -> list[Tensor]:
    """Gradient of each leaf; zeros where the loss does not depend on it."""
    if not loss.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(loss, leaves, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, found)]
