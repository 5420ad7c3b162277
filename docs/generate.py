"""Write what this repository has generated: the catalogue's cards, and the README's table.

python docs/generate.py             # or: make generated
python docs/generate.py --check     # say what would change, and fail where anything would
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import zoo
from zoo import card, folder, registry
from zoo.hub.catalogue import catalogue

README = Path(__file__).resolve().parent.parent / "README.md"


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated file with the text that it should have."""
    for one in catalogue().models():
        path = catalogue().path / one.name
        config, rows = folder.read_config(path), folder.read_log(path)
        yield path / folder.README, card.write(config, rows, registry.load(config.name))
    marked = r"(<!-- python docs/generate.py -->\n).*?(<!-- /models -->)"
    text = README.read_text(encoding="utf-8")
    yield README, re.sub(marked, lambda match: match[1] + table() + match[2], text, flags=re.DOTALL)


def table() -> str:
    """The Markdown table of the models with weights in the catalogue."""
    lines = [
        "| model | parameters | test top-1 | recipe, epochs, seed | trained on |",
        "|---|---:|---:|---|---|",
    ]
    for name in zoo.list_models(pretrained=True):
        config = zoo.info(name).config
        assert config is not None
        training = config.training
        lines.append(
            f"| [`{name}`](hub_cards/{name}/README.md) | {config.parameters:,} "
            f"| {config.results.test_top1:.2f}% | {config.recipe_name}, {training.epochs}, {training.seed} "
            f"| {config.environment.device.partition(',')[0]}, {training.train_seconds:,.0f} s |"
        )
    return "\n".join(lines) + "\n"


def main(check: bool) -> int:
    """Write, or only compare; the number of files that differ."""
    different = [(path, text) for path, text in generated() if path.read_text(encoding="utf-8") != text]
    for path, text in different:
        print(f"{path} {'differs from what is generated' if check else 'written'}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return len(different)


if __name__ == "__main__":
    check = "--check" in sys.argv[1:]
    differing = main(check)
    sys.exit(differing if check else 0)
