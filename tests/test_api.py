from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import msgspec
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

import zoo
from zoo import api
from zoo.data import batches, sources
from zoo.datasets import DIGITS
from zoo.errors import (
    CompileWarning,
    FolderError,
    HubError,
    RecipeError,
    TrainingError,
    UnknownModel,
)
from zoo.evaluation.evaluate import evaluate
from zoo.record import store
from zoo.record.types import require_trained
from zoo.training.learner import Learner

from .folders import trained_record

CPU = torch.device("cpu")


@pytest.fixture
def hub(trained: Path, tmp_path: Path) -> str:
    """The address of a folder hub with the trained model in it."""
    address = f"file:{tmp_path / 'hub'}"
    api.push(trained, hub=address)
    return address


# -- load ------------------------------------------------------------------------------------------


def test_pretrained_weights_are_loaded_from_the_catalogue_in_evaluation_mode() -> None:
    net = zoo.load("resnet8_digits", pretrained=True)
    assert not net.training
    config = trained_record(api.find("resnet8_digits"))
    test = sources.read_split(DIGITS, Path(), train=False, device=CPU)
    assert evaluate(net, test, batches.pixels(config.mean, config.std, CPU)).test_top1 == config.results.test_top1


def test_a_hub_a_path_and_an_address_load_the_same_weights(hub: str, trained: Path) -> None:
    wanted = load_file(trained / store.WEIGHTS)
    for net in (
        zoo.load("resnet8_digits", pretrained=True, hub=hub),
        zoo.load("resnet8", pretrained=True, hub=hub),
        zoo.load(trained, pretrained=True),
        zoo.load(str(trained), pretrained=True),
        zoo.load(f"{hub}/resnet8_digits", pretrained=True),
    ):
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in net.state_dict().items())


def test_a_hub_or_a_revision_in_addition_to_an_address_is_refused(hub: str) -> None:
    with pytest.raises(HubError, match="already names a revision; leave out 0f"):
        zoo.load(f"{hub}/resnet8_digits@0e", pretrained=True, revision="0f")
    with pytest.raises(HubError, match="already names its hub; leave out hf://me"):
        zoo.load(f"{hub}/resnet8_digits", pretrained=True, hub="hf://me")


def test_weights_of_unchanged_shape_are_kept_with_other_classes_and_channels(trained: Path) -> None:
    wanted = load_file(trained / store.WEIGHTS)
    net = zoo.load(trained, pretrained=True, num_classes=3, in_channels=3)
    assert net(torch.randn(2, 3, 8, 8)).shape == (2, 3)
    state = net.state_dict()
    new = {name for name in state if state[name].shape != wanted[name].shape}
    assert new == {"conv1.weight", "fc.weight", "fc.bias"}
    assert all(torch.equal(state[name], wanted[name]) for name in state.keys() - new)
    assert state["fc.weight"].std() > 0


def test_a_path_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="there is no folder"):
        zoo.load(tmp_path / "nothing", pretrained=True)
    with pytest.raises(FolderError, match="is not a model folder"):
        zoo.load(tmp_path, pretrained=True)


# -- transforms ------------------------------------------------------------------------------------


def test_transforms_preprocess_as_the_evaluation_does() -> None:
    images, _ = DIGITS.read(Path(), train=False)
    config = store.read_record(api.find("resnet8_digits"))
    wanted = batches.pixels(config.mean, config.std, CPU).normalise(torch.from_numpy(images))
    preprocess = zoo.transforms("resnet8_digits")
    assert torch.equal(preprocess(Image.fromarray(images[0, :, :, 0])), wanted[0])


# -- train, push, pull -----------------------------------------------------------------------------


def test_a_changed_recipe_is_recorded(tmp_path: Path) -> None:
    settings = {"opt": "adamw", "nesterov": "false", "lr": "0.01", "mean": "0.5"}
    out = tmp_path / "model"
    config = api.train("resnet8", settings=settings, epochs=1, limit_train=100, out=out).config
    assert (config.job.recipe.opt, config.job.recipe.lr, config.job.recipe.epochs) == ("adamw", 0.01, 1)
    assert (config.mean, config.std) == ((0.5,), DIGITS.std)
    assert config.job.train_images == 100


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": "resnet9"}, UnknownModel),
        ({"recipe": "paper"}, RecipeError),
        ({"settings": {"mean": "0.5,0.5"}}, TrainingError),
        ({"limit_train": 5000}, TrainingError),
        ({"save_every": 0}, TrainingError),
        ({"push": True, "hub": "nowhere"}, HubError),
        ({"out": Path("/proc/nothing/model")}, TrainingError),
    ],
    ids=str,
)
def test_a_mistake_is_refused_before_any_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], error: type[Exception]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoo.training.run.train", None)
    with pytest.raises(error):
        api.train(arguments.get("name", "resnet8"), **{key: arguments[key] for key in arguments.keys() - {"name"}})
    assert list(tmp_path.iterdir()) == []


def test_a_finished_model_is_replaced_only_with_overwrite(trained: Path, model_folder: Path) -> None:
    with pytest.raises(TrainingError, match="exists already"):
        api.train("resnet8", epochs=1, out=model_folder)
    assert require_trained(store.check(model_folder)).training.epochs == 3
    assert api.train("resnet8", epochs=1, limit_train=64, out=model_folder, overwrite=True).config.training.epochs == 1
    assert [path.name for path in model_folder.parent.iterdir()] == ["model"]


def test_resuming_a_finished_run_changes_nothing_and_another_job_is_refused(model_folder: Path) -> None:
    before = store.read_record(model_folder)
    assert api.train("resnet8", epochs=3, out=model_folder, amp=False, resume=True).config == before
    with pytest.raises(TrainingError, match="is a finished model of another training"):
        api.train("resnet8", epochs=4, out=model_folder, amp=False, resume=True)


def test_an_unfinished_run_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "model.run").mkdir()
    with pytest.raises(TrainingError, match=r"unfinished run in .*set resume to continue it"):
        api.train("resnet8", epochs=1, out=tmp_path / "model")


# -- several seeds, recomputed activations ---------------------------------------------------------


def test_every_seed_has_a_folder_and_the_first_card_has_the_mean(tmp_path: Path) -> None:
    hub = f"file:{tmp_path / 'hub'}"
    done = api.train(
        "resnet8", epochs=1, seed=3, seeds=3, out=tmp_path / "out", amp=False, limit_train=64, push=True, hub=hub
    )
    assert done.folder == tmp_path / "out"
    folders = [tmp_path / "out", tmp_path / "out-seed4", tmp_path / "out-seed5"]
    configs = [require_trained(store.check(folder)) for folder in folders]
    assert [config.job.seed for config in configs] == [3, 4, 5]
    assert [result.test_top1 for result in done.config.seeds] == [config.results.test_top1 for config in configs]
    assert done.config.seeds[1].weights_sha256 == configs[1].weights.sha256
    top1 = [config.results.test_top1 for config in configs]
    text = (done.folder / store.README).read_text()
    assert f"top-1 **{mean(top1):.2f} ± {stdev(top1):.2f}%**" in text
    assert "--seeds 3\n" in text
    # The declared seed's weights are published, also if another seed is more accurate.
    assert trained_record(api.find("resnet8_digits", hub=hub)).job.seed == 3


def test_a_training_with_several_seeds_is_resumed(tmp_path: Path) -> None:
    first = api.train("resnet8", epochs=1, out=tmp_path / "out", limit_train=64, amp=False)
    done = api.train("resnet8", epochs=1, seeds=2, out=tmp_path / "out", limit_train=64, amp=False, resume=True)
    assert done.config.weights == first.config.weights
    assert [result.seed for result in done.config.seeds] == [0, 1]
    again = api.train("resnet8", epochs=1, seeds=2, out=tmp_path / "out", limit_train=64, amp=False, resume=True)
    assert again.config == done.config


def test_the_folders_of_all_seeds_are_checked_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "out-seed1").mkdir()
    (tmp_path / "out-seed1" / "notes").touch()
    with pytest.raises(TrainingError, match="out-seed1 has notes, which the zoo did not write"):
        api.train("resnet8", epochs=1, seeds=2, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_recomputed_activations_give_the_same_weights(tmp_path: Path) -> None:
    runs = [
        api.train("resnet8", epochs=1, limit_train=64, out=tmp_path / str(on), amp=False, grad_checkpointing=on)
        for on in (False, True)
    ]
    assert runs[0].config.weights.sha256 == runs[1].config.weights.sha256
    assert "--grad-checkpointing\n" in (runs[1].folder / store.README).read_text()


def test_the_card_says_why_a_training_was_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.training.step.IMAGES_WORTH_COMPILING", 300)
    monkeypatch.setenv("CXX", "sh")
    monkeypatch.setattr(torch, "compile", lambda forward, **options: forward)
    long, eager = (
        api.train("resnet8", epochs=1, limit_train=300, out=tmp_path / compile, amp=True, compile=compile)
        for compile in ("auto", "none")
    )
    assert [trained.config.job.compile for trained in (long, eager)] == ["default", "none"]
    card = (long.folder / store.README).read_text()
    assert "compile default: auto: compiling pays for 300 images in all on a CPU" in card
    assert "--compile default" in card
    assert "compile none: requested" in (eager.folder / store.README).read_text()


def test_a_failed_compilation_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(forward: object, **options: object) -> object:
        def fail(positions: Tensor, scale: float) -> Tensor:
            raise RuntimeError("no compiler here")

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(CompileWarning, match="training goes on without compiling: RuntimeError: no compiler here"):
        done = api.train("resnet8", epochs=1, limit_train=128, compile="default", out=tmp_path / "model")
    assert done.config.job.compile == "none"
    assert (done.config.training.compile_requested, done.config.requested_job.compile) == ("default", "default")
    assert "compile none: default failed" in (done.folder / store.README).read_text()


def test_gradient_checkpointing_is_refused_for_a_net_without_it(
    tmp_path: Path, fake_plugin: Callable[..., Path]
) -> None:
    code = """
from torch import nn
from zoo.datasets import DIGITS
from zoo.spec import Architecture, Model, Recipe
def build(input_size, num_classes):
    channels, height, width = input_size
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, num_classes))
linear_digits = Model(Architecture("linear", build, {"short": Recipe(epochs=1)}), DIGITS, parameters=650)
"""
    fake_plugin("zoo-linear", {"linear_digits": "zoo_linear:linear_digits"}, "zoo_linear", code)
    with pytest.raises(TrainingError, match="has no set_grad_checkpointing"):
        api.train("linear", out=tmp_path / "out", grad_checkpointing=True)


# -- fp16 ------------------------------------------------------------------------------------------


def test_fp16_weights_are_half_as_large_and_evaluated_as_stored(trained: Path, tmp_path: Path) -> None:
    done = api.train("resnet8", epochs=1, limit_train=64, out=tmp_path / "half", amp=False, dtype="fp16")
    whole = store.read_record(trained)
    assert done.config.weights.bytes < 0.6 * whole.weights.bytes
    assert done.config.job.dtype == "fp16"
    net = zoo.load(done.folder, pretrained=True)
    assert all(parameter.dtype is torch.float32 for parameter in net.parameters())
    assert api.evaluate(done.folder).results == done.config.results
    assert "--dtype fp16\n" in (done.folder / store.README).read_text()
    assert "stored in fp16 and were measured in this form" in (done.folder / store.README).read_text()


def test_a_weight_above_the_range_of_fp16_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = Learner.published

    def large(learner: Learner) -> nn.Module:
        net = published(learner)
        with torch.no_grad():
            next(net.parameters()).view(-1)[0] = 1e5
        return net

    monkeypatch.setattr(Learner, "published", large)
    with pytest.raises(TrainingError, match=r"has a value above 65,504, the largest of fp16; train again with"):
        api.train("resnet8", epochs=1, limit_train=128, out=tmp_path / "half", amp=False, dtype="fp16")
    assert not (tmp_path / "half").exists()


# -- evaluate with weights, predict, plot, compare -------------------------------------------------


def test_a_weights_file_has_the_results_of_its_model_folder(trained: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(trained / store.WEIGHTS, tmp_path / "mine.safetensors"))
    evaluated = api.evaluate("resnet8", weights=file)
    assert evaluated.config is None
    assert evaluated.results == store.read_record(trained).results


def test_a_plot_takes_folders_names_and_unfinished_runs(trained: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "going.run"
    unfinished.mkdir()
    shutil.copy(trained / store.LOG, unfinished)
    svg = api.plot([trained, "resnet8_digits", tmp_path / "going"], tmp_path / "new" / "plot.svg").read_text()
    assert ">resnet8_digits quick seed 0<" in svg
    assert ">resnet8_digits<" in svg  # a repeated label is replaced by the given name
    assert ">going.run<" in svg


def test_a_comparison_trains_draws_errors_and_reuses_finished_models(tmp_path: Path) -> None:
    done = api.compare(["resnet8"], out=tmp_path / "out", epochs=2, limit_train=64, amp=False)
    assert [trained.folder for trained in done] == [tmp_path / "out" / "resnet8_digits"]
    assert ">resnet8<" in (tmp_path / "out" / "errors.svg").read_text()
    assert (tmp_path / "out" / "errors.png").read_bytes().startswith(b"\x89PNG")
    again = api.compare(["resnet8"], out=tmp_path / "out", epochs=2, limit_train=64, amp=False)
    assert again[0].config == done[0].config


def test_a_comparison_on_two_datasets_draws_both(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finished(name: str, options: object) -> api.Trained:
        before = trained_record(trained)
        dataset = name.rpartition("_")[2]
        job = msgspec.structs.replace(before.job, architecture="resnet20", dataset=dataset)
        config = msgspec.structs.replace(before, name=name, architecture="resnet20", dataset=dataset, job=job)
        return api.Trained(trained, config, None)

    monkeypatch.setattr("zoo.training.launch.train", finished)
    api.compare(["resnet20_cifar10", "resnet20_cifar100", "resnet20"], out=tmp_path, mixed=True)
    svg = (tmp_path / "errors.svg").read_text()
    assert ">resnet20_cifar10<" in svg
    assert ">resnet20_cifar100<" in svg


def test_a_comparison_checks_every_name_and_recipe_before_training(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="resnet20b_cifar10 has no recipe 'paper'"):
        api.compare(["plain20", "resnet20b"], out=tmp_path / "out", recipe="paper")
    assert not (tmp_path / "out").exists()
