"""Every measure gives what an independent implementation gives, on random and real masks of every kind.

`benchmarks/trust_metrics.py` does the same ten thousand times; docs/trust.md has its figures.
"""

from pathlib import Path

import pytest
from independent import COMPARISONS, Comparison
from random_pairs import LONGEST_SIDE, random_pairs, real_masks


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the benchmark of the saliency map, which has a measure of its own, be imported."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "benchmarks")


@pytest.mark.parametrize("each", COMPARISONS, ids=lambda each: f"{each.measure} - {each.reference}")
def test_the_measure_is_that_of_an_independent_implementation(each: Comparison, shared_data: Path) -> None:
    if each.needs:
        pytest.importorskip(each.needs)
    found = list(each.differences(each.few, 0, real_masks(shared_data)))
    assert found
    assert max(found) <= each.bound


def test_the_pairs_are_of_every_kind(shared_data: Path) -> None:
    pairs = list(random_pairs(1000, 0, real_masks(shared_data)))
    sides = [side for pair in pairs for side in pair.gt.shape]
    assert min(sides) == 1
    assert LONGEST_SIDE / 2 < max(sides) <= LONGEST_SIDE
    for kind in (
        [pair for pair in pairs if not pair.gt.any()],
        [pair for pair in pairs if pair.gt.all()],
        [pair for pair in pairs if pair.gt.sum() == 1 < pair.gt.size],
        [pair for pair in pairs if not pair.gt.any() and not pair.pred.any()],
        [pair for pair in pairs if pair.void is not None and pair.void.any() and not pair.void.all()],
        [pair for pair in pairs if 0 < (pair.pred & pair.gt).sum() < (pair.pred | pair.gt).sum()],
    ):
        assert len(kind) >= 10
