"""Splits of a data set: which sample trains, which validates, which tests."""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from segdata.dataset import Dataset, write_lines
from segdata.errors import InputError
from segdata.files import held

RATIOS = (60, 20, 20)
SPLIT_NAMES = ("train", "val", "test")


def parse_ratios(text: str) -> tuple[float, ...]:
    """Read ratios as they are typed: one to three numbers joined by ``/``, for train, val and test in that order.

    Only their proportions matter. Raises `InputError` for anything else, and for ratios that no split can have.

    >>> parse_ratios("60/20/20"), parse_ratios("0.8/0.2")
    ((60.0, 20.0, 20.0), (0.8, 0.2))
    """
    try:
        ratios = tuple(float(part) for part in text.split("/"))
    except ValueError:
        ratios = ()
    if not 1 <= len(ratios) <= len(SPLIT_NAMES):
        raise InputError(
            f"the ratios {text!r} are not one to three numbers joined by '/'",
            "write 60/20/20 for train, val and test, or 80/20 for train and val",
        )
    _weights(ratios)
    return ratios


def assign_splits(
    keys: Sequence[str],
    *,
    ratios: Sequence[float] = RATIOS,
    names: Sequence[str] = SPLIT_NAMES,
    seed: int = 0,
    groups: Sequence[str | None] | None = None,
    strata: Sequence[str | None] | None = None,
    keep: Sequence[str | None] | None = None,
) -> list[str]:
    """Give every key the name of its split, in the order of `keys`; of no keys, an empty list.

    `ratios` are one number a split, in any unit; `names` says what the splits are called, and may name more of
    them than there are ratios. `groups`, `strata` and `keep` hold one entry a key:

    - `groups`: samples with the same group (a person, a shoot, near-duplicates) come into the same split. None: a
      sample on its own.
    - `strata`: samples with the same stratum (a domain, or None) are spread over the splits by the same ratios.
    - `keep`: the split that an earlier call gave, which is never changed; None for a new sample. A new sample whose
      group has a split joins it; the others bring the splits as near to their ratios as they can.

    Without groups the ratios are apportioned by largest remainder, the first split winning a tie. Strata do not
    change these totals; given them, each stratum comes as near as it can to its exact shares, which with up to
    three splits and nothing kept means each share rounded up or down.

    Groups are placed from the largest to the smallest, each where most samples are lacking, so that large ones tend
    to come into the largest split. Without strata and nothing kept, no split ends further from its exact share than
    (1 - 1 / number of splits) times the largest group. With strata, a group goes where it most lowers the sum of the
    squared lacks of the strata and of the whole; how near the ratios come depends on the groups.

    Which ones is drawn by `seed`: samples are taken in the order of a hash of the seed and their key. The result
    depends on the set of keys with their groups, strata and kept splits, not on their order, on what groups and
    strata are called, on the process or on the machine.

    Raises `InputError` for duplicate keys; for ratios that are negative, not finite, all zero or none, or more than
    the names; for groups, strata or keep of another length than the keys; for a kept split that is not among the
    named ones, and for a group that is kept in two.

    >>> assign_splits(["a", "b", "c", "d", "e"])
    ['train', 'val', 'test', 'train', 'train']
    >>> assign_splits(["a", "b", "c", "d"], ratios=(50, 50), groups=["Ann", "Bob", "Bob", "Ann"])
    ['train', 'val', 'val', 'train']
    """
    weights = _weights(ratios)
    names = _names(names, len(ratios))
    strata = [None] * len(keys) if strata is None else strata
    for what, entries in ("groups", groups), ("strata", strata), ("kept splits", keep):
        if entries is not None and len(entries) != len(keys):
            raise InputError(
                f"there are {len(entries)} {what} for {len(keys)} keys", "give one for each key, or None for it"
            )
    split = _kept(keys, names, keep)
    order = _shuffled(keys, seed)
    if groups is not None:
        _join(keys, groups, split)
        _pack(order, groups, strata, split, weights)
    else:
        _deal(order, strata, split, weights)
    return [names[split[i]] for i in range(len(keys))]


def _weights(ratios: Sequence[float]) -> list[int]:
    """Give whole numbers in the exact proportions of the ratios as decimals, so that all sums are exact."""
    try:
        exact = [Fraction(str(ratio)) for ratio in ratios]
    except ValueError:
        exact = []
    if not any(exact) or min(exact) < 0:
        raise InputError(
            f"the ratios {'/'.join(map(str, ratios))!r} divide nothing",
            "give numbers of 0 or more, at least one of them above 0",
        )
    scale = math.lcm(*(ratio.denominator for ratio in exact))
    return [int(ratio * scale) for ratio in exact]


def _names(names: Sequence[str], count: int) -> list[str]:
    if count > len(names) or len(set(names)) != len(names):
        raise InputError(f"{count} ratios need {count} different names, not {', '.join(names)}", "name every split")
    return list(names[:count])


def _kept(keys: Sequence[str], names: list[str], keep: Sequence[str | None] | None) -> dict[int, int]:
    """Give the split of every sample that has one: position of the key to position of the name."""
    position = {name: k for k, name in enumerate(names)}
    split = {}
    for i, name in enumerate(keep or ()):
        if name is None:
            continue
        if name not in position:
            raise InputError(
                f"{keys[i]!r} is kept in the split {name!r}, which is not one of {', '.join(names)}",
                "give that split a ratio, 0 if no new samples are to go there",
            )
        split[i] = position[name]
    return split


def _shuffled(keys: Sequence[str], seed: int) -> list[int]:
    """Give the positions of the keys in an order that only the seed and the keys decide."""
    salt = f"{seed}\0".encode()
    digests = [blake2b(salt + key.encode("utf-8", "surrogatepass"), digest_size=16).digest() for key in keys]
    if len(set(digests)) != len(keys):
        key = Counter(keys).most_common(1)[0][0]
        raise InputError(f"the key {key!r} is there more than once", "give every sample a key of its own")
    return sorted(range(len(keys)), key=digests.__getitem__)


def _join(keys: Sequence[str], groups: Sequence[str | None], split: dict[int, int]) -> None:
    """Put the new samples of a group that has a split there too."""
    first: dict[str, int] = {}
    for i, k in split.items():
        group = groups[i]
        if group is not None and split[first.setdefault(group, i)] != k:
            raise InputError(
                f"the group {group!r} is kept in two splits, by {keys[first[group]]!r} and {keys[i]!r}",
                "put the group into one split, or keep neither",
            )
    for i, group in enumerate(groups):
        if group is not None and group in first:
            split[i] = split[first[group]]


def _pack(
    order: list[int],
    groups: Sequence[str | None],
    strata: Sequence[str | None],
    split: dict[int, int],
    weights: list[int],
) -> None:
    """Assign whole groups, the largest first, each to the split that most lacks what is in it.

    A lack is a split's exact share less what it has, times the sum of the weights. To put a group with c[s] samples
    of stratum s into split k changes the sum of the squared lacks by -2 sum(c[s] lack[s][k]) and a term that is the
    same for every k: the largest sum is the best place.
    """
    total, whole = sum(weights), object()  # the whole set counts as one more stratum, which every sample is in
    sizes: dict[object, int] = {**Counter(strata), whole: len(order)}
    lack = {stratum: [size * weight for weight in weights] for stratum, size in sizes.items()}
    for i, k in split.items():
        lack[strata[i]][k] -= total
        lack[whole][k] -= total
    members: defaultdict[object, list[int]] = defaultdict(list)
    for i in order:
        if i not in split:
            group = groups[i]
            members[(i,) if group is None else group].append(i)
    for samples in sorted(members.values(), key=len, reverse=True):
        counts: dict[object, int] = {whole: len(samples)}
        for i in samples:
            counts[strata[i]] = counts.get(strata[i], 0) + 1
        gain = [0] * len(weights)
        for stratum, count in counts.items():
            gain = [sofar + count * more for sofar, more in zip(gain, lack[stratum], strict=True)]
        best = gain.index(max(gain))
        for i in samples:
            split[i] = best
        for stratum, count in counts.items():
            lack[stratum][best] -= total * count


def _deal(order: list[int], strata: Sequence[str | None], split: dict[int, int], weights: list[int]) -> None:
    """Assign single samples: exact counts first, then each stratum's samples in order, split after split."""
    members: defaultdict[str | None, list[int]] = defaultdict(list)
    for i in order:
        members[strata[i]].append(i)
    new = [[i for i in stratum if i not in split] for stratum in members.values()]
    lacks = [_lacks(stratum, split, weights) for stratum in members.values()]
    total = sum(weights)
    counts = [_fill(len(samples), lack, total) for samples, lack in zip(new, lacks, strict=True)]
    targets = _fill(sum(map(len, new)), _lacks(order, split, weights), total)
    _balance(counts, lacks, targets, total)
    for samples, row in zip(new, counts, strict=True):
        places = (k for k, count in enumerate(row) for _ in range(count))
        split.update(zip(samples, places, strict=True))


def _lacks(samples: list[int], split: dict[int, int], weights: list[int]) -> list[int]:
    """Give each split's exact share of these samples less what it has of them, times the sum of the weights."""
    have = Counter(split[i] for i in samples if i in split)
    return [len(samples) * weight - have[k] * sum(weights) for k, weight in enumerate(weights)]


def _fill(count: int, lack: list[int], total: int) -> list[int]:
    """Divide `count` samples, each to the split that lacks most: largest remainder, when nothing is kept."""
    lack, filled = list(lack), [0] * len(lack)
    for _ in range(count):
        k = lack.index(max(lack))
        filled[k] += 1
        lack[k] -= total
    return filled


def _balance(counts: list[list[int]], lacks: list[list[int]], targets: list[int], total: int) -> None:
    """Move samples between splits, within their strata, until the columns of `counts` sum to the targets.

    This is controlled rounding as a minimum-cost flow: each sample moves along the cheapest chain of splits, so the
    table is the one nearest to the exact shares of all that have these sums. Nearest means, first, the fewest
    samples beyond a share rounded up or down and, second, the least sum of squares.
    """
    pairs = [(k, to) for k in range(len(targets)) for to in range(len(targets)) if k != to]
    excess = [sum(row[k] for row in counts) - target for k, target in enumerate(targets)]
    # Dearer than any chain of moves whose cells stay within rounding of their shares.
    beyond = 8 * len(targets) * (total * (sum(targets) + 1) + max((abs(x) for row in lacks for x in row), default=0))

    def one_more(row: int, k: int, extra: int) -> int:
        """Give the cost of a sample more in a cell that holds `extra` more than `counts` says."""
        error = (counts[row][k] + extra) * total - lacks[row][k]
        return 2 * error + total + beyond * ((error >= 0) - (error <= -total))

    def cost(row: int, k: int, to: int) -> int:
        return one_more(row, to, 0) - one_more(row, k, -1)

    # One heap of rows for every pair of splits; an entry is out of date once its row has changed.
    moves = {pair: [(cost(s, *pair), s) for s in range(len(counts))] for pair in pairs}
    for heap in moves.values():
        heapq.heapify(heap)

    def cheapest(k: int, to: int) -> tuple[int, int] | None:
        heap = moves[k, to]
        while heap and (not counts[heap[0][1]][k] or cost(heap[0][1], k, to) != heap[0][0]):
            heapq.heappop(heap)
        return heap[0] if heap else None

    while any(excess):
        for k, to, row in _chain(excess, pairs, cheapest):
            counts[row][k] -= 1
            counts[row][to] += 1
            excess[k] -= 1
            excess[to] += 1
            for pair in pairs:
                heapq.heappush(moves[pair], (cost(row, *pair), row))


def _chain(
    excess: list[int],
    pairs: list[tuple[int, int]],
    cheapest: Callable[[int, int], tuple[int, int] | None],
) -> list[tuple[int, int, int]]:
    """Find the cheapest chain of moves (from, to, row) from a split with too many to one with too few.

    By Bellman and Ford; there always is one, since a split with too many has a sample to give to any other.
    """
    reached: dict[int, tuple[int, list[tuple[int, int, int]]]] = {k: (0, []) for k, e in enumerate(excess) if e > 0}
    edges = [(k, to, *best) for k, to in pairs if (best := cheapest(k, to))]
    for _ in excess:
        for k, to, price, row in edges:
            if k in reached:
                spent, chain = reached[k]
                if to not in reached or spent + price < reached[to][0]:
                    reached[to] = (spent + price, [*chain, (k, to, row)])
    return min(reached[k] for k, e in enumerate(excess) if e < 0)[1]


class SplitReport(msgspec.Struct, frozen=True):
    """How many samples each split has, and the lists that were written."""

    data: str
    counts: dict[str, int]
    lists: tuple[str, ...] = ()


def split(
    data: str | Path,
    *,
    ratios: Sequence[float] = RATIOS,
    seed: int = 0,
    group_by: str | None = None,
    stratify: str | None = None,
    keep: bool = False,
    lists: bool = False,
) -> SplitReport:
    """Deal the samples of a data set to train, val and test, and write the column `split` of metadata.jsonl.

    `group_by` and `stratify` name columns: samples that share a value of the first never straddle splits, those that
    share one of the second are spread over them by `ratios`. With `keep`, samples that have a split keep it. With
    `lists`, train.txt, val.txt and test.txt in the data set's folder hold the keys of each. How samples are dealt is
    described at `assign_splits`.

    Raises `InputError` for a folder without metadata.jsonl or that another command is changing, a column that no row
    has, and as `assign_splits`.
    """
    dataset = Dataset(data)
    keys: list[str] = []
    columns: dict[str, list[Any]] = {name: [] for name in (group_by, stratify, "split") if name}
    with held(dataset.root):
        for row in dataset.rows():
            keys.append(row["key"])
            for name, values in columns.items():
                values.append(row.get(name))
        for column in (group_by, stratify):
            if column and keys and all(value is None for value in columns[column]):
                raise InputError(f"no row of {dataset.metadata} has a column {column!r}", "name one that it has")
        assigned = assign_splits(
            keys,
            ratios=ratios,
            seed=seed,
            groups=_as_text(columns[group_by]) if group_by else None,
            strata=_as_text(columns[stratify]) if stratify else None,
            keep=columns["split"] if keep else None,
        )
        dataset.rewrite({**row, "split": name} for row, name in zip(dataset.rows(), assigned, strict=True))
    names = SPLIT_NAMES[: len(ratios)]
    written = []
    for name in SPLIT_NAMES[len(names) :] if lists else ():  # of an earlier split, which would leak
        (dataset.root / f"{name}.txt").unlink(missing_ok=True)
    for name in names if lists else ():
        path = dataset.root / f"{name}.txt"
        write_lines(path, (key.encode() for key, at in zip(keys, assigned, strict=True) if at == name))
        written.append(str(path))
    counts = Counter(assigned)
    return SplitReport(
        str(dataset.root), {name: counts[name] for name in dict.fromkeys([*names, *assigned])}, tuple(written)
    )


def _as_text(values: Sequence[Any]) -> list[str | None]:
    """Make any column's values comparable; a missing one stays None."""
    return [None if value is None else msgspec.json.encode(value).decode() for value in values]
