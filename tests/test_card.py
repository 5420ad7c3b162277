from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
from huggingface_hub import ModelCard, ModelCardData

from zoo import registry
from zoo.record import card, store

from .conftest import CHECKOUT
from .folders import trained_record

MODEL = registry.load("resnet8_digits")


def test_the_hub_reads_license_tags_data_set_and_results_from_it(trained: Path) -> None:
    data = ModelCard((trained / store.README).read_text()).data
    assert isinstance(data, ModelCardData)
    config = trained_record(trained)
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "zoo", "image-classification")
    assert data.datasets == [MODEL.dataset.hub_id]
    assert set(data.tags or []) >= {"zoo", "resnet8", "digits"}
    top1, top5 = data.eval_results or []
    assert (top1.metric_name, top1.metric_value) == ("top-1", round(config.results.test_top1, 4))
    assert (top5.metric_name, top5.metric_value) == ("top-5", round(config.results.test_top5, 4))
    assert data.model_name == "resnet8_digits"


def test_it_says_how_the_weights_came_about(trained: Path) -> None:
    text = (trained / store.README).read_text()
    config = trained_record(trained)
    for fact in (
        "Recipe `quick`, seed 0, 3 epochs in",
        config.environment.device,
        f"torch {config.job.versions.torch}",
        str(config.recipe_sha256),
        config.weights.sha256,
        f"{config.results.test_top1:.2f}%",
        "| `weight_decay` | `0.0005` |",
        "(curve.svg)",
    ):
        assert fact in text


def test_its_command_leaves_nothing_to_what_a_later_machine_would_choose(trained: Path) -> None:
    job = trained_record(trained).job
    expected = (
        "zoo train resnet8_digits --recipe quick --epochs 3 --seed 0 --device cpu --no-amp --compile none "
        f"--deterministic --threads {job.threads}"
    )
    assert f"\n{expected}\n" in (trained / store.README).read_text()


def test_its_command_names_what_was_changed(trained: Path) -> None:
    config = trained_record(trained)
    recipe = config.job.recipe.replace(lr=0.05, decay_milestones=(1, 2), opt="adam", nesterov=False)
    job = msgspec.structs.replace(config.job, recipe=recipe, train_images=500)
    config = msgspec.structs.replace(config, job=job, recipe_sha256=recipe.sha256())
    text = card.render(config, store.read_log(trained), MODEL)
    changed = "--set opt=adam --set lr=0.05 --set nesterov=false --set 'decay_milestones=[1,2]'"
    assert f"{changed} --seed 0 --limit-train 500 --device cpu" in text
    assert "on the first 500 of 1,437 images" in text


def test_a_card_is_current_stale_or_edited(trained: Path) -> None:
    text = (trained / store.README).read_text()
    config = trained_record(trained)
    other = card.render(msgspec.structs.replace(config, license="mit"), store.read_log(trained), MODEL)
    assert card.state(text, text) == "current"
    assert card.state(text.replace("\n", "\r\n"), text) == "current"
    assert card.state(text.replace("Written by zoo 0", "Written by zoo 9"), text) == "current"
    assert card.state(text, other) == "stale"
    assert card.state(text.replace("# resnet8_digits", "# My model"), text) == "edited"
    assert card.state(f"{text}\nMine.\n", other) == "edited"
    assert card.state("# My model\n", text) == "edited"


def test_each_of_the_three_ways_to_load_it_works() -> None:
    published = CHECKOUT / "hub_cards" / "resnet8_digits"
    blocks = re.findall(r"```python\n(.*?)```", (published / store.README).read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        names: dict[str, Any] = {}
        exec(block.replace("PATH/TO/CHECKOUT", str(CHECKOUT)).replace("PATH/TO/", f"{published.parent}/"), names)
        assert not names["model"].training
        assert sum(parameter.numel() for parameter in names["model"].parameters()) == 75_002
