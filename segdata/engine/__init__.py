"""Run a picklable function over samples: inline or in processes, in order, a bounded number in flight."""

from segdata.engine.base import Engine, Lost
from segdata.engine.inline import Inline
from segdata.engine.processes import Processes

__all__ = ["Engine", "Inline", "Lost", "Processes"]
