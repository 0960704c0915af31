"""Words that many messages share."""


def amount(count: int, thing: str) -> str:
    """Say how many there are.

    >>> amount(1, "sample"), amount(2000, "sample")
    ('1 sample', '2,000 samples')
    """
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
