"""What was made once and may be asked for again: the latest, up to so many bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable


class ByteCache:
    """Keeps the latest results in memory, up to `limit` bytes.

    >>> cache = ByteCache(3)
    >>> cache.get("a", lambda: b"12"), cache.get("b", lambda: b"34"), cache.get("a", lambda: b"56")
    (b'12', b'34', b'56')
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: Hashable, make: Callable[[], bytes]) -> bytes:
        """Give what is kept under a name, or make it."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        made = make()
        with self._lock:
            if name not in self._kept and len(made) <= self.limit:
                self._kept[name] = made
                self.size += len(made)
                while self.size > self.limit:
                    self.size -= len(self._kept.popitem(last=False)[1])
        return made
