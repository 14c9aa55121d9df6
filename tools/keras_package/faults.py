"""What was asked for and cannot be done."""


class PackageFault(ValueError):
    """A sentence for the one who asked: what it is about, the fact, what was expected."""


def one_of(what, value, known):
    """The value, if it is known.

    Raises PackageFault, which names the known ones.
    """
    if value not in known:
        raise PackageFault(f"{what} is `{value}`, expected one of `{'`, `'.join(known)}`")
    return value
