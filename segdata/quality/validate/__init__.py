"""Everything that can be found wrong with a data set or an annotation file, and mended where no judgement is needed."""

from segdata.quality.validate.findings import KINDS, Finding, Kind, KindCount, table_of_kinds
from segdata.quality.validate.rules import RuleSample, rule
from segdata.quality.validate.run import Validation, validate

__all__ = [
    "KINDS",
    "Finding",
    "Kind",
    "KindCount",
    "RuleSample",
    "Validation",
    "rule",
    "table_of_kinds",
    "validate",
]
