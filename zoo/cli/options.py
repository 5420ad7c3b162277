"""The options and arguments that several commands take, and the long list of a training's, each declared once."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import completion

# Which model, and where it is.

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model's name, a model folder's path (./NAME), or hf://namespace/name.",
        autocompletion=completion.models,
    ),
]
HUB_HELP = "Which hub: file:PATH for a folder, hf://NAMESPACE for the Hugging Face Hub."
Hub = Annotated[
    str | None, typer.Option("--hub", metavar="HUB", help=HUB_HELP + " [default: ZOO_HUB, then the catalogue]")
]
PushHub = Annotated[
    str | None,
    typer.Option("--hub", metavar="HUB", help=HUB_HELP + " [default: ZOO_HUB, else the account logged in]"),
]
Revision = Annotated[
    str | None, typer.Option("--revision", metavar="ID", help="A revision of the model: a commit, tag or branch.")
]

Runtime = Annotated[
    str | None,
    typer.Option("--with", metavar="FORMAT", help="Run the folder's file in this format (zoo export) in its runtime."),
]

# What is trained.

Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe", metavar="NAME", help="Which recipe. [default: the model's first]", autocompletion=completion.recipes
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="Another data set than the architecture's default; folder:PATH for pictures of your own.",
        autocompletion=completion.datasets_and_kinds,
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        "--start",
        metavar="MODEL",
        help="Begin with these weights: a name, ./FOLDER, or hf://namespace/name, one of timm's too.",
        autocompletion=completion.models,
    ),
]
SamePictures = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="ADDRESS",
        help="Where the pictures are that it was trained on, as in folder:flowers; of weights from elsewhere its name.",
    ),
]
TestPart = Annotated[
    float | None,
    typer.Option("--test-part", metavar="PART", help="Of pictures of your own, which part is the test set: 0.2."),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out pictures that can't be read.")]
License = Annotated[
    str | None,
    typer.Option("--license", metavar="ID", help="Of the weights, as the Hub spells it. [default: the architecture's]"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Change a field of the recipe; may be repeated.",
        autocompletion=completion.settings,
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Train this long. [default: the recipe's]")]
Seed = Annotated[int, typer.Option("--seed", help="Of all that is random.")]
Seeds = Annotated[
    int,
    typer.Option("--seeds", metavar="N", help="Repeat from N seeds; the first one's is the model, all on its card."),
]
SideBySide = Annotated[
    bool,
    typer.Option("--side-by-side", help="Train all seeds at once in this process, which a GPU may have room for."),
]
LimitTrain = Annotated[int | None, typer.Option("--limit-train", metavar="N", help="Train on the first N images only.")]

# How it is computed.

Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="cpu, cuda or cuda:N; mps or xpu too where nothing is trained. [default: a GPU if there is one]",
        autocompletion=completion.devices,
    ),
]
Amp = Annotated[
    bool | None,
    typer.Option("--amp/--no-amp", help="Train in bf16 autocast. [default: where the hardware has bf16]"),
]
Compile = Annotated[
    str,
    typer.Option(
        "--compile",
        metavar="HOW",
        help="none, graph (a step as one CUDA graph), default (torch.compile), auto: what pays.",
    ),
]
Deterministic = Annotated[
    bool | None,
    typer.Option("--deterministic/--fast", help="The same bytes from the same seed. [default: on a CPU]"),
]
GradCheckpointing = Annotated[
    bool,
    typer.Option("--grad-checkpointing", help="Compute activations again in the backward pass, for less memory."),
]
Dtype = Annotated[
    str, typer.Option("--dtype", metavar="TYPE", help="Store weights in fp32, or in fp16 where that costs nothing.")
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", help="Threads of the processor to compute with. [default: torch's]"),
]

# What is read, what is written, what is shown.

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Where data sets are, or are downloaded to. [default: ZOO_DATA, else data/ in ZOO_CACHE, ~/.cache/zoo]",
    ),
]
RunOut = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="The model folder to make. [default: runs/MODEL-RECIPE-seedN]"),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run that was stopped there; start it where there is none.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start again where a run or a folder is.")]
SaveEvery = Annotated[int, typer.Option("--save-every", metavar="N", help="Epochs between checkpoints.")]
EvalEvery = Annotated[
    int, typer.Option("--eval-every", metavar="N", help="Epochs between test evaluations, for the curve only.")
]
Push = Annotated[bool, typer.Option("--push", help="Publish the model folder to the hub at the end.")]
Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME",
        help="Tell the curves to: tensorboard (event files in OUT.events), or a plugin's; may be repeated.",
        autocompletion=completion.trackers,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the end and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
