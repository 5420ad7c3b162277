from __future__ import annotations

from zoo.errors import FolderError
from zoo.plain import MAX_LENGTH, one_line, plain


def test_control_characters_are_replaced() -> None:
    assert plain("\x1b]0;owned\x07 \x1b[2J \x9b31m") == "\ufffd]0;owned\ufffd \ufffd[2J \ufffd31m"
    assert plain("half of one \ud800").isprintable()
    assert plain("Gewöhnlich, 普通, ✓\n") == "Gewöhnlich, 普通, ✓\n"


def test_a_message_is_one_line_of_limited_length() -> None:
    assert one_line("wrong\nzoo: all good\r") == "wrong zoo: all good\ufffd"
    assert len(one_line("A" * 3_000_000)) == MAX_LENGTH


def test_text_from_outside_cannot_add_lines_to_an_error() -> None:
    assert str(FolderError("config.json has \x1b[31m\nzoo: all good")) == "config.json has \ufffd[31m zoo: all good"
