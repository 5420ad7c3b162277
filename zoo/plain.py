"""Safe output of untrusted text on a terminal."""

import re
import sys

# Control characters, which can move the cursor or fake lines, and surrogates, which can't be encoded.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
MAX_LENGTH = 2_000  # characters of a line


def plain(text: str) -> str:
    """Replace control characters and surrogates by U+FFFD."""
    return UNPRINTABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return printable text as a single line of at most 2,000 characters."""
    line = plain(text.replace("\n", " ").replace("\t", " "))
    return line if len(line) <= MAX_LENGTH else f"{line[: MAX_LENGTH - 1]}…"


def complain(text: str) -> None:
    """Print an error or a warning as one line on stderr."""
    print(f"zoo: {one_line(text)}", file=sys.stderr)
