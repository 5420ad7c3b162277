from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from zoo.record import store
from zoo.record.types import Trained, obstacles, require_trained


@pytest.fixture
def config(trained: Path) -> Trained:
    return require_trained(store.read_record(trained))


def test_the_same_training_is_expected_to_end_with_the_same_bytes(config: Trained) -> None:
    assert obstacles(config, config) == []


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"threads": 77}, "threads 77 there, "),
        ({"processes": 2}, "processes 2 there, 1 here"),
        ({"compile": "default"}, "compile default there, none here"),
        ({"seed": 9}, "seed 9 there, 0 here"),
    ],
)
def test_another_job_is_not_expected_to_give_the_same_bytes(
    config: Trained, changes: dict[str, object], phrase: str
) -> None:
    (reason,) = obstacles(config, replace(config, job=replace(config.job, **changes)))
    assert reason.startswith(phrase)


def test_other_or_unknown_versions_are_not_expected_to_give_the_same_bytes(config: Trained) -> None:
    def there(**versions: str) -> Trained:
        return replace(config, job=replace(config.job, versions=replace(config.job.versions, **versions)))

    here = config.job.versions.torch
    assert obstacles(config, there(torch="1.0")) == [f"torch 1.0 there, {here} here"]
    assert obstacles(config, there(torch="")) == [f"torch unknown there, {here} here"]


def test_the_version_of_numpy_matters_only_with_mixup(config: Trained) -> None:
    def with_numpy(version: str, mixup: float) -> Trained:
        recipe, versions = config.job.recipe.replace(mixup=mixup), replace(config.job.versions, numpy=version)
        job = replace(config.job, recipe=recipe, versions=versions)
        return replace(config, job=job, recipe_sha256=recipe.sha256())

    assert obstacles(with_numpy("2", 0.0), with_numpy("", 0.0)) == []
    assert obstacles(with_numpy("2", 0.2), with_numpy("1", 0.2)) == ["numpy 1 there, 2 here"]


def test_another_processor_or_a_fast_gpu_is_not_expected_to_give_the_same_bytes(config: Trained) -> None:
    other = replace(config, environment=replace(config.environment, device="CPU, another"))
    assert obstacles(config, other) == [f"CPU, another there, {config.environment.device} here"]
    fast = replace(config, job=replace(config.job, device="cuda", deterministic=False))
    assert obstacles(fast, fast) == ["not deterministic there, which never gives the same bytes twice"]
