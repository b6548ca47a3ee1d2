"""From a method's name and options to the method."""

from __future__ import annotations

import copy

from torch import nn

from longtail.errors import InputError
from longtail.methods.balanced_contrastive import BalancedContrastive
from longtail.methods.base import Decision, Method, Setting
from longtail.methods.class_rectification import ClassRectification
from longtail.methods.cross_entropy import CrossEntropy
from longtail.methods.decision import Argmax, Neighbours, Prior
from longtail.methods.deepid2 import DeepID2
from longtail.methods.lmle import LMLE, NearestClusters
from longtail.methods.metric import MetricLearning
from longtail.methods.mtct import MTCT
from longtail.methods.options import MethodOptions
from longtail.methods.parts import crl_form, parts_of
from longtail.methods.rows import METHODS, METRIC
from longtail.methods.second_stage import ClassifierRetraining, LearnableWeightScaling
from longtail.words import did_you_mean


def build_method(name: str, options: MethodOptions, setting: Setting, backbone: nn.Module) -> Method:
    """The method of a name of `METHODS`.

    Args:
        name: of the method.
        options: its parts and options.
        setting: what it is built for.
        backbone: of the model that it is to train; MTCT keeps a copy.

    Raises:
        InputError: when the name is unknown, parts do not go together, or options do not fit.
    """
    if name not in METHODS:
        near = did_you_mean(name, METHODS)
        raise InputError(f"--method: expected one of {', '.join(METHODS)}, got {name!r}.{near}")
    parts, objective = parts_of(name, options), METHODS[name].objective
    decision = build_decision(parts.decision, options, setting)
    if objective == "crl":
        return ClassRectification(crl_form(name, options), options, setting, parts, decision)
    if objective == "crt":
        return ClassifierRetraining(options, setting, parts, decision)
    if objective == "lws":
        return LearnableWeightScaling(options, setting, parts, decision)
    if objective == "bcl":
        return BalancedContrastive(options, setting, parts, decision)
    if objective in METRIC:
        return MetricLearning(objective, options, setting, parts, decision)
    if objective == "deepid2":
        return DeepID2(options, setting, parts, decision)
    if objective == "lmle":
        return LMLE(options, setting, parts, decision)
    if objective == "mtct":
        return MTCT(options, setting, parts, decision, copy.deepcopy(backbone))
    return CrossEntropy(options, setting, parts, decision)


def build_decision(name: str, options: MethodOptions, setting: Setting) -> Decision:
    """The decision rule of a name of `DecisionName`, not yet prepared."""
    if name == "prior":
        return Prior()
    if name == "knn":
        return Neighbours(options.knn, setting)
    if name == "clusters":
        return NearestClusters(options.lmle, setting)
    return Argmax()
