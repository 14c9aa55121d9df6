"""What a part may end with, and how it says what it does."""


class Finding(Exception):
    """A tool found a fault."""


class Skipped(Exception):
    """A program that the part needs is not installed."""


def expect(holds, sentence):
    """A finding, unless it holds."""
    if not holds:
        raise Finding(sentence)


def say(sentence):
    print(sentence, flush=True)
