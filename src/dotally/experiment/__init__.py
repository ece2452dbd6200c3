"""Tables as typed scripts: runs, results, reports. The only place with a Trainer and loggers."""

from dotally.baselines import Kind as TrivialKind
from dotally.experiment.localization import Localization
from dotally.experiment.localization_methods import Method, small_network_methods
from dotally.experiment.script import main
from dotally.experiment.spec import Cell, Contest, Literature, Mean, Run, Table, Tolerance, Trivial, Value

__all__ = [
    "Cell",
    "Contest",
    "Literature",
    "Localization",
    "Mean",
    "Method",
    "Run",
    "Table",
    "Tolerance",
    "Trivial",
    "TrivialKind",
    "Value",
    "main",
    "small_network_methods",
]
