from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from huggingface_hub import ModelCard, ModelCardData
from safetensors.torch import load_file
from torch import nn

from zoo import api, registry
from zoo.record import card, store

from .conftest import CHECKOUT
from .folders import trained_record
from .loopback_hub import Hub

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


def test_its_command_gives_every_automatic_choice(trained: Path) -> None:
    job = trained_record(trained).job
    expected = (
        "zoo train resnet8_digits --recipe quick --epochs 3 --seed 0 --device cpu --no-amp --compile none "
        f"--deterministic --threads {job.threads}"
    )
    assert f"\n{expected}\n" in (trained / store.README).read_text()


def test_its_command_gives_every_changed_setting(trained: Path) -> None:
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


def run_snippets(text: str) -> list[nn.Module]:
    """Execute the pieces of Python of a card, and return the model of each."""
    models = []
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        names: dict[str, Any] = {}
        exec(code.replace("PATH/TO/CHECKOUT", str(CHECKOUT)), names)
        models.append(names["model"])
    return models


def has_weights(model: nn.Module, folder: Path) -> bool:
    state = model.state_dict()
    return all(torch.equal(state[name], tensor) for name, tensor in load_file(folder / store.WEIGHTS).items())


def test_a_card_that_is_not_published_loads_its_folder(trained: Path) -> None:
    text = (trained / store.README).read_text()
    assert "From this folder, by its path:" in text
    models = run_snippets(text.replace("PATH/TO/resnet8_digits", str(trained)))
    assert [has_weights(model, trained) for model in models] == [True, True]


@pytest.mark.parametrize("address", ["file:hub", "hf://me"])
def test_a_published_card_loads_the_published_weights_and_is_rendered_the_same_again(
    trained: Path, tmp_path: Path, hub: Hub, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = api.push(trained, hub=address)
    pulled = api.pull(f"{address}/resnet8_digits", out=tmp_path / "pulled")
    text = (pulled / store.README).read_text()
    assert (f"file:{tmp_path}/hub" if address == "file:hub" else address) + '/resnet8_digits"' in text
    models = run_snippets(text)
    assert [has_weights(model, trained) for model in models] == [True, True]
    for folder in (trained, pulled):
        again = api.push(folder, hub=address)
        assert (again.revision, again.repaired, again.card) == (first.revision, (), "current")
    assert (api.pull(f"{address}/resnet8_digits", out=tmp_path / "again") / store.README).read_text() == text


def test_its_installation_is_from_a_checkout_until_the_repository_has_an_address(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command,) = re.findall(r"```sh\n(pip .*?)\n```", (trained / store.README).read_text())
    assert command == "pip install PATH/TO/CHECKOUT PATH/TO/CHECKOUT/plugins/zoo-resnet-cifar"
    assert (CHECKOUT / "plugins" / "zoo-resnet-cifar" / "pyproject.toml").is_file()
    monkeypatch.setattr("zoo.plugins.repository", lambda: "https://host.example/zoo")
    assert shlex.split(card.install(trained_record(trained))) == [
        "pip", "install", "residual-zoo @ git+https://host.example/zoo",
        "zoo-resnet-cifar @ git+https://host.example/zoo#subdirectory=plugins/zoo-resnet-cifar",
    ]  # fmt: skip
