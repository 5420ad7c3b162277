from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from zoo.folder import store
from zoo.folder.config import Config
from zoo.folder.same_bytes import obstacles


@pytest.fixture
def config(trained: Path) -> Config:
    return store.read_config(trained)


def test_the_same_training_is_expected_to_end_with_the_same_bytes(config: Config) -> None:
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
def test_another_job_is_a_reason_not_to(config: Config, changes: dict[str, object], phrase: str) -> None:
    (reason,) = obstacles(config, replace(config, job=replace(config.own.job, **changes)))  # type: ignore[arg-type]
    assert reason.startswith(phrase)


def test_so_are_other_versions_and_unknown_ones(config: Config) -> None:
    def there(**versions: str) -> Config:
        return replace(config, job=replace(config.own.job, versions=replace(config.own.job.versions, **versions)))

    here = config.own.job.versions.torch
    assert obstacles(config, there(torch="1.0")) == [f"torch 1.0 there, {here} here"]
    assert obstacles(config, there(torch="")) == [f"torch unknown there, {here} here"]


def test_numpys_version_counts_where_it_drew_something(config: Config) -> None:
    def with_numpy(version: str, mixup: float) -> Config:
        recipe, versions = replace(config.own.job.recipe, mixup=mixup), replace(config.own.job.versions, numpy=version)
        return replace(config, job=replace(config.own.job, recipe=recipe, versions=versions))

    assert obstacles(with_numpy("2", 0.0), with_numpy("", 0.0)) == []
    assert obstacles(with_numpy("2", 0.2), with_numpy("1", 0.2)) == ["numpy 1 there, 2 here"]


def test_another_processor_and_a_fast_gpu_are_reasons_too(config: Config) -> None:
    elsewhere = replace(config, environment=replace(config.own.environment, device="CPU, another"))
    assert obstacles(config, elsewhere) == [f"CPU, another there, {config.own.environment.device} here"]
    fast = replace(config, job=replace(config.own.job, device="cuda", deterministic=False))
    assert obstacles(fast, fast) == ["--fast there, which never gives the same bytes twice"]
