"""Hooks of mkdocs: use the README as the home page, and replace links to files outside the site by their text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

README = Path(__file__).resolve().parent.parent / "README.md"


def on_files(files: Files, config: Any) -> Files:
    """Add the README as index.md."""
    text = README.read_text(encoding="utf-8").replace("](docs/", "](")
    text = re.sub(r"\[([^\[\]]+)\]\((?:hub_cards|plugins|examples|CONTRIBUTING)[^)]*\)", r"\1", text)
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Remove images outside docs/, and replace links to files outside docs/ by their text."""
    markdown = re.sub(r"!\[[^\[\]]+\]\(\.\./[^)]*\)", "", markdown)
    return re.sub(r"\[([^\[\]]+)\]\(\.\./[^)]*\)", r"\1", markdown)
