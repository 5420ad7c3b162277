"""Text that somebody else wrote, made fit for a terminal: for its lines, and for every error's."""

import re
import sys

# Control characters, which move cursors and fake lines; halves of characters, which no encoding has.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
MOST = 2_000  # characters of a message


def plain(text: str) -> str:
    """The text with what a terminal would obey, or no encoding has, shown as question marks."""
    return UNPRINTABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """The same as a single line of a bearable length."""
    line = plain(text.replace("\n", " ").replace("\t", " "))
    return line if len(line) <= MOST else f"{line[: MOST - 1]}…"


def complain(text: str) -> None:
    """What is wrong as one line on stderr, whoever wrote what is in it."""
    print(f"zoo: {one_line(text)}", file=sys.stderr)
