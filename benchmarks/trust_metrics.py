"""How far each measure lies from an independent implementation, over ten thousand random cases each.

python benchmarks/trust_metrics.py --cases 10000

The comparisons are those of tests/quality/independent.py. Those with scikit-learn and with vos-benchmark, which holds
the code of DAVIS 2017, run where these are installed. Takes about an hour on one core; `--only AP50` takes those alone
whose name holds a text.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

from common import arguments

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "quality"))


def main() -> None:
    """Print a row of a table a comparison."""
    from independent import COMPARISONS
    from random_pairs import real_masks

    options = arguments(__doc__, cases=10_000, seed=1, only="")
    real = real_masks(options.data)
    print("| measure | against | figures | equal to the bit | largest difference | allowed | s |")
    print("|---|---|---|---|---|---|---|")
    worst = 0.0
    for each in COMPARISONS:
        if options.only not in f"{each.measure} {each.reference}" or (
            each.needs and importlib.util.find_spec(each.needs) is None
        ):
            continue
        start = time.perf_counter()
        found = list(each.differences(options.cases, options.seed, real))
        equal, largest = sum(value == 0 for value in found), max(found)
        worst = max(worst, largest - each.bound)
        print(
            f"| {each.measure} | {each.reference} | {len(found):,} | {100 * equal / len(found):.1f} % | "
            f"{largest:.2g} | {each.bound:.2g} | {time.perf_counter() - start:.0f} |",
            flush=True,
        )
    if worst > 0:
        sys.exit("a measure differs by more than is allowed")


if __name__ == "__main__":
    main()
