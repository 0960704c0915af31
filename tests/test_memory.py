"""A bound of memory is said in bytes or with a unit, and shared out."""

import pytest

from segdata.errors import InputError
from segdata.memory import DEFAULT, bytes_of, share_of


@pytest.mark.parametrize(
    ("said", "size"),
    [
        (300_000_000, 300_000_000),
        ("300000000", 300_000_000),
        ("500MB", 500_000_000),
        ("500 mb", 500_000_000),
        ("1.5GB", 1_500_000_000),
        ("2GiB", 2 << 30),
        ("1 TB", 10**12),
        ("64KiB", 1 << 16),
    ],
)
def test_amounts_are_read(said: int | str, size: int) -> None:
    assert bytes_of(said) == size


@pytest.mark.parametrize("said", ["", "MB", "-1MB", "much", "1 XB", "1e9", "nan", "9" * 400, -5])
def test_what_is_no_amount_is_refused(said: int | str) -> None:
    with pytest.raises(InputError, match="is no amount of memory: give one such as 500MB or 2GB"):
        bytes_of(said)


def test_what_the_program_itself_takes_is_kept_back() -> None:
    with pytest.raises(InputError, match="149MB of memory is too little: give 150MB or more"):
        share_of("149MB")
    for memory in ("150MB", DEFAULT, "8GB"):
        share = share_of(memory)
        assert 6 * share.held + 100 * share.run < bytes_of(memory) - 130_000_000
