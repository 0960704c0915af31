"""Deal a data set as the figures of the model card want it: the photos that docs/labels lists are val and test.

python benchmarks/splits.py DATASET docs/labels/coco
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from segdata import Dataset


def main() -> None:
    data, lists = Dataset(sys.argv[1]), sys.argv[2]
    parts = {}
    for part in ("val", "test"):
        with Path(f"{lists}_{part}.csv").open(encoding="utf-8", newline="") as file:
            parts.update({row["key"]: part for row in csv.DictReader(file)})
    rows = [{**row, "split": parts.get(row["key"], "train")} for row in data.rows()]
    data.rewrite(iter(rows))
    print({part: sum(row["split"] == part for row in rows) for part in ("train", "val", "test")})


if __name__ == "__main__":
    main()
