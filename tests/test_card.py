from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
import yaml
from huggingface_hub import ModelCard, ModelCardData, metadata_eval_result
from huggingface_hub.repocard_data import model_index_to_eval_results
from safetensors.torch import load_file
from torch import nn

import zoo
from zoo import api, registry
from zoo.errors import HubError
from zoo.hub import publish
from zoo.record import card, store
from zoo.record.job import Origin
from zoo.spec import Recipe

from .conftest import CHECKOUT
from .folders import trained_record
from .loopback_hub import Hub

MODEL = registry.load("resnet8_digits")


def test_the_hub_reads_license_tags_dataset_and_results_from_it(trained: Path) -> None:
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


def metadata(text: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return values


@pytest.mark.parametrize("name", zoo.list_models(pretrained=True))
def test_the_classes_of_the_client_keep_the_metadata_of_every_card_of_the_catalogue(name: str) -> None:
    text = (CHECKOUT / "hub_cards" / name / store.README).read_text()
    values = metadata(text)
    assert ModelCard(text).data.to_dict() == values  # type: ignore[no-untyped-call]
    name, results = model_index_to_eval_results(values["model-index"])
    fields = {key: value for key, value in values.items() if key != "model-index"}
    assert ModelCardData(model_name=name, eval_results=results, **fields).to_dict() == values  # type: ignore[no-untyped-call]


def test_the_first_result_is_what_the_client_would_write(trained: Path) -> None:
    top1 = trained_record(trained).results.test_top1
    expected = metadata_eval_result(
        model_pretty_name="resnet8_digits",
        task_pretty_name="Image Classification",
        task_id="image-classification",
        metrics_pretty_name="top-1",
        metrics_id="accuracy",
        metrics_value=round(top1, 4),
        dataset_pretty_name=MODEL.dataset.title,
        dataset_id=MODEL.dataset.hub_id,
        dataset_split="test",
    )["model-index"]
    _, (expected_result,) = model_index_to_eval_results(expected)
    _, (result, _) = model_index_to_eval_results(metadata((trained / store.README).read_text())["model-index"])
    assert result == dataclasses.replace(expected_result, verified=None)


def rendered(folder: Path, **changes: Any) -> str:
    """The card of a model folder with other values in the record."""
    return card.render(msgspec.structs.replace(trained_record(folder), **changes), store.read_log(folder), MODEL)


def test_the_base_model_is_the_start_or_else_the_teacher(trained: Path) -> None:
    job = trained_record(trained).job
    start, teacher = Origin("hf://me/start@main", "0" * 64), Origin("hf://me/teacher", "1" * 64)
    finetuned = metadata(rendered(trained, job=msgspec.structs.replace(job, start=start, teacher=teacher)))
    assert (finetuned["base_model"], finetuned["base_model_relation"]) == ("me/start", "finetune")
    distilled = metadata(rendered(trained, job=msgspec.structs.replace(job, teacher=teacher)))
    assert distilled["base_model"] == "me/teacher"
    assert "base_model_relation" not in distilled
    local = msgspec.structs.replace(job, start=Origin("resnet8_digits", "0" * 64))
    assert "base_model" not in metadata(rendered(trained, job=local))


def test_a_license_by_address_is_linked(trained: Path) -> None:
    address = "https://example.org/licenses/Research-1.0"
    assert publish.sound_license(address) == address
    text = rendered(trained, license=address)
    values = metadata(text)
    assert (values["license"], values["license_name"], values["license_link"]) == ("other", "research-1.0", address)
    assert f"License of the weights: [research-1.0]({address})." in text
    for wrong in ("other", "http://example.org/x", "https://"):
        with pytest.raises(HubError, match="license should be"):
            publish.sound_license(wrong)


def test_it_has_the_intended_use_and_the_limits(trained: Path) -> None:
    section = (trained / store.README).read_text().partition("## Intended use and limits\n\n")[2].partition("\n")[0]
    title = MODEL.dataset.title
    assert section.startswith(f"It classifies grayscale images of 8×8 pixels that resemble those of {title} into 10")
    assert "classes: 0, 1, 2" in section
    assert "It is not meant for other images" in section


def test_it_shows_the_errors_by_class_if_the_folder_has_their_chart(model_folder: Path, tmp_path: Path) -> None:
    assert "(errors.svg)" in (model_folder / store.README).read_text()
    (model_folder / store.ERRORS).unlink()
    assert api.push(model_folder, hub=f"file:{tmp_path / 'hub'}").card == "stale"
    for folder in (model_folder, tmp_path / "hub" / MODEL.name):
        assert "errors" not in (folder / store.README).read_text().partition("## Intended use")[0]


def test_it_cites_the_paper_of_the_architecture(trained: Path) -> None:
    (citation,) = re.findall(r"## Citation\n\n```bibtex\n(.*?)\n```", (trained / store.README).read_text(), re.DOTALL)
    assert citation == MODEL.architecture.citation.strip()
    assert citation.startswith("@inproceedings{he2016deep,")


def test_hyper_parameters_with_the_default_value_are_folded(trained: Path) -> None:
    text = (trained / store.README).read_text()
    shown, _, folded = text.partition("<details>")
    folded = folded.partition("</details>")[0]
    recipe = trained_record(trained).job.recipe
    rows = re.compile(r"^\| `(\w+)` \| `(.*)` \|$", re.MULTILINE)
    values = {name: json.loads(value) for name, value in [*rows.findall(shown), *rows.findall(folded)]}
    assert values == recipe.to_json()
    defaults = Recipe(epochs=recipe.epochs).to_json()
    assert all(value == json.dumps(defaults[name]) for name, value in rows.findall(folded))
    assert all(value != json.dumps(defaults[name]) for name, value in rows.findall(shown) if name != "epochs")


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
