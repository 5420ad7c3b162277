"""Checks that also run under `python -O`, which removes assert statements."""


def require(condition: bool, message: str) -> None:
    """Raise AssertionError with the message if the condition is false."""
    if not condition:
        raise AssertionError(message)
