"""Hooks of mkdocs: the README is the home page, and links to files outside the site become plain text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

README = Path(__file__).resolve().parent.parent / "README.md"


def on_files(files: Files, config: Any) -> Files:
    """Add the README as index.md."""
    text = README.read_text(encoding="utf-8").replace("](docs/", "](")
    text = re.sub(r"\[((?:[^\[\]])+)\]\((?:hub_cards|plugins|examples|CONTRIBUTING)[^)]*\)", r"\1", text)
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace links out of docs/, to files that only the repository has, by their text."""
    return re.sub(r"!?\[([^\[\]]+)\]\(\.\./[^)]*\)", r"\1", markdown)
