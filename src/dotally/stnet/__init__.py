"""STNet's top-down pass, and its peers, over any classification network."""

from dotally.stnet.baselines import cam, captum_map, grad_cam, last_map
from dotally.stnet.bottom_up import BottomUp
from dotally.stnet.boxes import BoxRule, boxes_of, kept_cells
from dotally.stnet.class_hypothesis import class_hypothesis, paint_hypothesis, score_map
from dotally.stnet.engine import STNet
from dotally.stnet.geometry import Axis, Geometry
from dotally.stnet.layer import Layer, fold_batch_norm
from dotally.stnet.registry import METHODS, Method, MissingRuleError, Rule, register_rule
from dotally.stnet.result import Explanation
from dotally.stnet.rules import convolution, fully_connected
from dotally.stnet.settings import SETTINGS_ORIGIN, STOP_LAYERS, Settings
from dotally.stnet.structural import pass_through, rearrange
from dotally.stnet.target import Target

__all__ = [
    "METHODS",
    "SETTINGS_ORIGIN",
    "STOP_LAYERS",
    "Axis",
    "BottomUp",
    "BoxRule",
    "Explanation",
    "Geometry",
    "Layer",
    "Method",
    "MissingRuleError",
    "Rule",
    "STNet",
    "Settings",
    "Target",
    "boxes_of",
    "cam",
    "captum_map",
    "class_hypothesis",
    "convolution",
    "fold_batch_norm",
    "fully_connected",
    "grad_cam",
    "kept_cells",
    "last_map",
    "paint_hypothesis",
    "pass_through",
    "rearrange",
    "register_rule",
    "score_map",
]
