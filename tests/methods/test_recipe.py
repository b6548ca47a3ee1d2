"""What a method is made of, and what does not go together."""

from dataclasses import fields

import pytest

from longtail.errors import InputError
from longtail.methods.options import CRLOptions, KNNOptions, LMLEOptions, MethodOptions, MetricOptions
from longtail.methods.recipe import Recipe, check_decision, compared, recipe, shown
from longtail.methods.rows import METHODS, Row

from .conftest import build


def test_the_cost_sensitive_row_has_the_papers_weights():
    assert recipe("cost-sensitive", MethodOptions()).class_weights == "exp-share"
    chosen = recipe("cost-sensitive", MethodOptions(class_weights="inverse-frequency"))
    assert chosen.class_weights == "inverse-frequency"


@pytest.mark.parametrize("name", ["triplet", "contrastive", "histogram", "lmle"])
def test_a_metric_loss_alone_learns_points(name):
    assert recipe(name, MethodOptions()).feature_layer == "linear"


def test_beside_cross_entropy_the_largest_probability_decides_alone_the_neighbours():
    assert recipe("triplet", MethodOptions()).decision == "knn"
    assert recipe("triplet", MethodOptions(metric=MetricOptions(beside=True))).decision == "argmax"
    assert recipe("triplet", MethodOptions(decision="argmax")).decision == "argmax"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lmle", MethodOptions(sampler="over"), "--sampler over: lmle draws its own batches"),
        ("deepid2", MethodOptions(sampler="under"), "--sampler under: deepid2 draws its own"),
        ("mtct", MethodOptions(sampler="shuffled"), "--sampler shuffled: mtct draws its own"),
        ("ce", MethodOptions(replicate=True), "--replicate: goes with over-sampling"),
        ("ce", MethodOptions(views=40), "--views: goes with root sampling, add --sampler root"),
        ("ce", MethodOptions(decision="clusters"), "--decision clusters: needs the clusters that lmle"),
        ("lmle", MethodOptions(decision="prior"), "--decision prior: lmle trains on every class alike"),
    ],
)
def test_parts_that_do_not_go_together_are_refused_with_the_reason(name, options, message):
    with pytest.raises(InputError, match=message):
        recipe(name, options)


@pytest.mark.parametrize("decision", ["argmax", "prior", "knn"])
@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("lmle", "asl")])
def test_any_training_goes_with_any_decision_but_clusters(name, decision):
    check_decision(name, decision, MethodOptions())
    assert build(name, MethodOptions(decision=decision)).options.decision == decision


def test_the_options_shown_are_those_of_the_method():
    found = shown("triplet", MethodOptions(sampler="over", metric=MetricOptions(margin=0.3)))
    assert found["sampler"] == "over"
    assert found["metric.margin"] == 0.3
    assert found["knn.k"] == 20
    assert "crl.kappa" not in found
    assert shown("ce", MethodOptions()) == {
        "sampler": "shuffled",
        "class_weights": "none",
        "loss": "softmax",
    }


def test_options_of_two_tables_with_one_name_are_both_shown():
    found = shown("lmle", MethodOptions(decision="knn", lmle=LMLEOptions(k=7), knn=KNNOptions(k=5)))
    assert (found["lmle.k"], found["knn.k"]) == (7, 5)


def test_the_options_shown_name_the_form(output):
    found = shown("ldam-drw", MethodOptions())
    assert (found["loss"], found["ldam.margin"], found["defer_weights"]) == ("ldam", 0.5, 0.8)
    assert shown("mixup", MethodOptions())["mix.alpha"] == 1.0
    assert shown("class-balanced", MethodOptions())["effective_beta"] == 0.9999
    assert shown("crl", MethodOptions(views=9.0))["views"] == 9.0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("crl", MethodOptions(mixing="mixup"), "--mixing mixup: crl compares images of one class"),
        ("bcl", MethodOptions(mixing="remix"), "--mixing remix: bcl compares"),
        ("crt", MethodOptions(mixing="mixup"), "--mixing mixup: crt trains on the images as they are"),
        ("remix", MethodOptions(loss="focal"), "--mixing remix: mixes labels of plain cross entropy"),
        ("asl", MethodOptions(class_weights="exp-share"), "--class-weights exp-share: the asymmetric loss"),
        ("ce", MethodOptions(defer_weights=0.5), "--defer-weights: there are no weights to defer"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        recipe(name, options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kappa": 0}, "--crl.kappa: expected at least 1, got 0"),
        ({"level": "instance", "comparison": "log-odds"}, "--crl.comparison log-odds: .*--crl.level class"),
        ({"rho": 1.5}, "--crl.rho: expected a share between 0 and 1, got 1.5"),
        ({"margin": -1.0}, "--crl.margin: expected a positive"),
        ({"nodes": 1}, "--crl.nodes: expected at least 2"),
        ({"weight": 0}, "--crl.weight: expected a positive"),
        ({"alpha": 0.5}, "--crl.alpha: goes with --crl.balance tpami"),
        ({"balance": "tpami", "weight": 2}, "--crl.weight: goes with --crl.balance sum"),
        ({"balance": "tpami", "alpha": 0.0}, "--crl.alpha: expected a share above 0"),
        ({"balance": "tpami", "eta": 0}, "--crl.eta: expected a positive number, got 0"),
    ],
)
def test_options_that_do_not_fit_name_their_flag(options, message):
    with pytest.raises(InputError, match=message):
        build("crl-iccv", MethodOptions(crl=CRLOptions(**options)))


def test_an_unknown_decision_is_refused():
    with pytest.raises(InputError, match=r"^--decision: expected one of argmax, prior, .* got 'votes'$"):
        check_decision("ce", "votes", recipe("ce", MethodOptions()))


def test_nothing_is_left_open_but_who_draws():
    for name, row in METHODS.items():
        full = recipe(name, MethodOptions())
        left = [field.name for field in fields(Recipe) if getattr(full, field.name) is None]
        assert left == (["sampler"] if row.draws else [])


def test_the_user_stands_over_the_row_and_the_row_over_what_is_usual():
    full = recipe("crl", MethodOptions(sampler="over", crl=CRLOptions(weight=0.3, kappa=7)))
    assert (full.sampler, full.loss, full.mixing) == ("over", "logit-adjusted", "none")
    crl = full.crl
    assert (crl.level, crl.balance, crl.weight, crl.kappa, crl.rho) == ("instance", "attributes", 0.3, 7, 0.5)


@pytest.mark.parametrize(
    ("method", "options", "what"),
    [
        ("ce", {}, None),
        ("crl-iccv", {}, None),
        ("crl-iccv", {"crl": CRLOptions("instance")}, "features"),
        ("crl", {}, "features"),
        ("bcl", {}, "features"),
        ("lmle", {}, "features"),
        ("triplet", {}, "features"),
        ("deepid2", {}, "vectors"),
        ("mtct", {}, "vectors"),
    ],
)
def test_what_a_loss_compares_follows_from_the_method_and_its_level(method, options, what):
    assert compared(method, recipe(method, MethodOptions(**options))) == what


@pytest.mark.parametrize("wrong", [{"draws": True}, {"compares": True}, {"compares": "images"}])
def test_a_row_says_what_it_draws_and_compares_in_known_words(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"^{name}: expected one of"):
        Row("mine", **wrong)
