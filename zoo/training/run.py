"""A run, from a job to a model folder: data, training, evaluation, card.

While it trains, a run is kept beside the model folder it will become: `OUT.run/` holds the
checkpoint and the log, `OUT/` appears when all is done, by one rename.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import warnings
from pathlib import Path

import torch
from torch import nn

from zoo.data import batches, sources
from zoo.data.batches import Pixels
from zoo.data.sources import Splits
from zoo.errors import HalfWarning, TrainingError
from zoo.evaluation.answers import known_answers
from zoo.evaluation.evaluate import evaluate
from zoo.folder import card, curve, store
from zoo.folder.config import Config, EpochRow, Results, Training, log_text, to_json
from zoo.nets import weights
from zoo.nets.build import build, count, parameters
from zoo.nets.device import algorithms, memory_kept
from zoo.spec import Model
from zoo.training import checkpoint, distributed
from zoo.training.compiling import Compilation
from zoo.training.environment import environment
from zoo.training.job import Job
from zoo.training.loop import begin, train
from zoo.training.watch import Watch

HALF_POINTS = 0.02  # of top-1 that storing weights in fp16 may cost


def run(
    job: Job,
    model: Model,
    out: Path,
    *,
    device: torch.device,
    data_root: Path | None,
    resume: bool,
    overwrite: bool,
    watch: Watch,
    compilation: Compilation,
    grad_checkpointing: bool = False,
    teacher: nn.Module | None = None,
    half: bool = False,
) -> Config:
    """Train what the job asks for, evaluate it once, after the last epoch, and write the model folder `out`.

    `teacher` is the net that the recipe names, on the device and in evaluation mode. With `half` the
    weights are stored in fp16 where that costs under HALF_POINTS of top-1; what counts is measured
    with the weights as they are stored.

    Raises TrainingError where `out` is taken or the run there is another's, DataError, Interrupted.
    """
    _require_sense(job, model)
    if resume and out.exists():
        return _finished(out, job)
    share = distributed.share()
    if not share.is_first:
        distributed.wait_for_all()  # for the first one, which may have to download, and makes room
    root = data_root or sources.default_root()
    splits = sources.read_splits(model.dataset, job.recipe, root, device=device, train_images=job.train_images)
    if share.is_first:
        _make_room(out, model, resume=resume, overwrite=overwrite)
        distributed.wait_for_all()
    folder_of_run = run_folder(out)
    mean, std = model.normalisation(job.recipe)
    pixels = batches.pixels(mean, std, device)
    # The caller's random numbers are left as they were.
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        algorithms(device, deterministic=job.deterministic),
        memory_kept(),
    ):
        torch.manual_seed(job.seed)
        net = build(model.architecture, model.dataset)
        if grad_checkpointing:
            _checkpoint_gradients(net, model)
        watch.report.note(f"compile {compilation}")
        training = begin(
            job,
            net,
            splits,
            pixels,
            run=folder_of_run,
            resume=resume and checkpoint.path_in(folder_of_run).exists(),
            watch=watch,
            teacher=teacher,
        )
        rows = train(training)
        net, done = training.learner.published(), training.learner.how
    if not share.is_first:
        distributed.wait_for_all()
        return store.read_config(out)
    results = evaluate(net, splits.test, pixels)
    fp32_top1 = results.test_top1
    if half:
        results, half = _stored_in_half(net, splits, pixels, results)
    rows[-1] = rows[-1].tested(results)
    metadata = {"name": job.model, "recipe": job.recipe_name, "recipe_sha256": job.recipe.sha256()}
    content = weights.dump(net, metadata, half=half)
    compilation = compilation.done(done)
    config = _config(job, model, net, mean, std, rows, results, content, device, grad_checkpointing, compilation)
    logits = known_answers(net, pixels, model.dataset.input_size)
    config = dataclasses.replace(config, known_answers=tuple(map(tuple, logits.tolist())))
    if half:
        facts = dataclasses.replace(config.weights, dtype="fp16", fp32_top1=fp32_top1)
        config = dataclasses.replace(config, weights=facts)
    _write(out, config, rows, model, content)
    shutil.rmtree(folder_of_run)
    distributed.wait_for_all()
    return config


def _stored_in_half(net: nn.Module, splits: Splits, pixels: Pixels, fp32: Results) -> tuple[Results, bool]:
    """Round the net to fp16 and measure it again; where that costs too much, leave it as it was, with a warning."""
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.load_state_dict(weights.rounded_to_half(net))
    results = evaluate(net, splits.test, pixels)
    if fp32.test_top1 - results.test_top1 < HALF_POINTS and math.isfinite(results.test_loss):
        return results, True
    net.load_state_dict(before)
    cost = f"{fp32.test_top1:.2f}% would become {results.test_top1:.2f}%"
    warnings.warn(HalfWarning(f"the weights are stored in fp32: in fp16 a top-1 of {cost}"), stacklevel=3)
    return fp32, False


def record_seeds(out: Path, repetitions: list[Config], model: Model) -> Config:
    """Write into the model folder `out`, which stays what it is, what its training came to from every seed."""
    config = store.check(out)
    config = dataclasses.replace(config, seeds=tuple(one.seed_results for one in repetitions))
    _write(out, config, store.read_log(out), model, store.read_weights(out, config))
    return config


def require_place(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse what would be lost by a run into `out`: a model folder or an unfinished run; raises TrainingError."""
    path = run_folder(out)
    if out.exists() and not (overwrite or resume):
        raise TrainingError(f"{out} is there already; name another folder with --out, or give --overwrite")
    if path.exists() and not (overwrite or resume):
        raise TrainingError(f"there is an unfinished run in {path}; go on with --resume or give --overwrite")


def run_folder(out: Path) -> Path:
    """Where the run that will become the model folder `out` is kept."""
    return out.with_name(f"{out.name}.run")


def _require_sense(job: Job, model: Model) -> None:
    most = model.dataset.train_images - job.recipe.val_images
    if most < 1:
        raise TrainingError(
            f"recipe: val_images should be under {model.dataset.train_images}, all there are to train on"
        )
    if not 1 <= job.train_images <= most:
        raise TrainingError(f"--limit-train should be from 1 to {most}, not {job.train_images}")
    for name, values in (("mean", job.recipe.mean), ("std", job.recipe.std)):
        if values is not None and len(values) != model.dataset.input_size[0]:
            channels = model.dataset.input_size[0]
            raise TrainingError(f"recipe: {name} should have {channels} numbers, not {len(values)}")


def _checkpoint_gradients(net: nn.Module, model: Model) -> None:
    switch = getattr(net, "set_grad_checkpointing", None)
    if switch is None:
        raise TrainingError(
            f"{model.name} can't recompute its activations: its net has no set_grad_checkpointing(); "
            "leave out --grad-checkpointing and take a smaller batch (--set batch_size=…)"
        )
    switch()


def _finished(out: Path, job: Job) -> Config:
    """The model folder that is there already, if it is this very job's."""
    config = store.check(out)
    its = (config.name, config.recipe_sha256, config.training.seed, config.training.train_images)
    if its != (job.model, job.recipe.sha256(), job.seed, job.train_images):
        raise TrainingError(
            f"{out} is finished, and another training: {config.name}, recipe {config.recipe_name}, "
            f"seed {config.training.seed}; name another folder with --out"
        )
    return config


def _make_room(out: Path, model: Model, *, resume: bool, overwrite: bool) -> None:
    """Make the folder of the run; what would be lost by it is refused first."""
    require_place(out, resume=resume, overwrite=overwrite)
    path = run_folder(out)
    if path.exists() and not resume:
        shutil.rmtree(path)
    # Two checkpoints (weights and up to two moments each) and a model folder, in fp32.
    needed, free = 4 * parameters(model) * (2 * 3 + 1) + 2**20, shutil.disk_usage(store.ground(path)).free
    if free < needed:
        what = f"{out} needs {needed / 2**20:,.0f} MiB, its disk has {free / 2**20:,.0f} MiB left"
        raise TrainingError(f"{what}; make room or name another folder with --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / "writable").touch()
        (path / "writable").unlink()
    except OSError as error:
        raise TrainingError(f"{path} can't be written ({error.strerror}); name another folder with --out") from None


def _config(
    job: Job,
    model: Model,
    net: nn.Module,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    rows: list[EpochRow],
    results: Results,
    content: bytes,
    device: torch.device,
    grad_checkpointing: bool,
    compilation: Compilation,
) -> Config:
    return Config(
        name=model.name,
        architecture=model.architecture.name,
        dataset=model.dataset.name,
        classes=model.dataset.classes,
        input_size=model.dataset.input_size,
        mean=mean,
        std=std,
        parameters=count(net),
        license=model.architecture.license,
        paper=model.architecture.paper,
        recipe_name=job.recipe_name,
        recipe=job.recipe.to_json(),
        recipe_sha256=job.recipe.sha256(),
        training=Training(
            seed=job.seed,
            epochs=len(rows),
            train_images=job.train_images,
            train_seconds=sum(row.train_seconds for row in rows),
            amp=job.amp,
            compiled=compilation.how == "default",
            compile=compilation.how,
            compile_why=compilation.why,
            compile_seconds=sum(row.compile_seconds for row in rows),
            deterministic=job.deterministic,
            processes=distributed.share().world,
            teacher_sha256=job.teacher_sha256,
            grad_checkpointing=grad_checkpointing,
        ),
        results=results,
        environment=environment(device, model.architecture),
        weights=store.weights_facts(content),
    )


def _write(out: Path, config: Config, rows: list[EpochRow], model: Model, content: bytes) -> None:
    old = out.with_name(f".{out.name}.replaced")
    if out.exists():
        out.rename(old)
    with store.written_aside(out) as aside:
        (aside / store.WEIGHTS).write_bytes(content)
        (aside / store.CONFIG).write_text(to_json(config, indent=2) + "\n", encoding="utf-8")
        (aside / store.LOG).write_text(log_text(rows), encoding="utf-8")
        (aside / store.CURVE).write_text(curve.draw(config.name, rows), encoding="utf-8")
        (aside / store.README).write_text(card.write(config, rows, model), encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
