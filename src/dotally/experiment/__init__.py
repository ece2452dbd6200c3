"""Tables as typed scripts: runs, results, reports. The only place with a Trainer and loggers."""

from dotally.baselines import Kind as TrivialKind
from dotally.experiment.script import main
from dotally.experiment.spec import Cell, Literature, Run, Table, Tolerance, Trivial, Value

__all__ = ["Cell", "Literature", "Run", "Table", "Tolerance", "Trivial", "TrivialKind", "Value", "main"]
