"""Run a picklable function over samples: here, in processes or on a cluster, in order, a bounded number in flight."""

from segdata.engine.base import Engine, Lost
from segdata.engine.dask_cluster import DaskCluster
from segdata.engine.inline import Inline
from segdata.engine.processes import Processes

__all__ = ["DaskCluster", "Engine", "Inline", "Lost", "Processes"]
