"""Print the Markdown table of the models in the catalogue, as it stands in the README.

python examples/models_table.py
"""

from __future__ import annotations

from zoo import api


def table() -> str:
    """One row per model with weights in the catalogue."""
    lines = [
        "| model | parameters | test top-1 | recipe, epochs, seed | trained on |",
        "|---|---:|---:|---|---|",
    ]
    for one in api.overview(pretrained=True):
        assert one.config is not None
        config, training = one.config, one.config.training
        lines.append(
            f"| [`{one.name}`](hub_cards/{one.name}/README.md) | {config.parameters:,} "
            f"| {config.results.test_top1:.2f}% | {config.recipe_name}, {training.epochs}, {training.seed} "
            f"| {config.environment.device.partition(',')[0]}, {training.train_seconds:,.0f} s |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
