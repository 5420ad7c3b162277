"""torch.hub, in an environment without an installed zoo."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo import api

from .conftest import CHECKOUT


def run(python: Path, code: str, cwd: Path, *words: object) -> Any:
    """Run code with `words` as sys.argv[1:]; returns its variable `answer`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["TORCH_HOME"] = str(cwd / "torch")
    code = f"import json, sys, torch\n{code}\nprint(json.dumps(answer))\n"
    command = [str(python), "-c", code, *map(str, words)]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


LOADS = """
from importlib.util import find_spec
checkout, hub = sys.argv[1:]
answer = {"installed": [find_spec("zoo") is not None, find_spec("zoo_resnet_cifar") is not None]}
for name in ("resnet8_digits", "resnet20_cifar10"):
    net = torch.hub.load(checkout, name, source="local", pretrained=True)
    answer[name] = [type(net).__name__, net.training]
net = torch.hub.load(checkout, "resnet8_digits", source="local", pretrained=True, hub=hub)
answer["folder hub"] = net.fc.bias.tolist()
sys.path.insert(0, checkout)
import hubconf, zoo
sys.path.remove(checkout)
answer["callable"] = all(callable(getattr(hubconf, name)) for name in zoo.list_models())
answer["doc"] = hubconf.plain20_cifar10.__doc__.startswith("The model plain20_cifar10")
answer["on the path"] = sys.path.count(checkout)
"""


def test_torch_hub_loads_models_from_a_checkout(bare_python: Path, tmp_path: Path, trained: Path) -> None:
    assert run(bare_python, LOADS, tmp_path, CHECKOUT, f"file:{trained.parent}") == {
        "installed": [False, False],
        "resnet8_digits": ["CifarResNet", False],
        "resnet20_cifar10": ["CifarResNet", False],
        "folder hub": pytest.approx(zoo.load(trained, pretrained=True).get_parameter("fc.bias").tolist()),
        "callable": True,
        "doc": True,
        "on the path": 1,
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in the cache of torch.hub, with imported weights in its catalogue."""
    made = tmp_path / "torch" / "hub" / "someone_zoo_main"
    for folder in ("zoo", "plugins"):
        shutil.copytree(CHECKOUT / folder, made / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("hubconf.py", "pyproject.toml"):
        shutil.copy(CHECKOUT / file, made)
    own = made / "hub_cards" / "resnet8_digits"
    shutil.copytree(CHECKOUT / "hub_cards" / own.name, own)
    out = made / "hub_cards" / "resnet8_digits.somebody"
    api.import_model(own.name, own / "model.safetensors", by="Somebody", license="mit", out=out)
    return made


LISTS = """
checkout, other = sys.argv[1:]
names = set(torch.hub.list("someone/zoo:main", skip_validation=True, trust_repo=True))
import zoo
answer = {"more": sorted(names - set(zoo.list_models())), "fewer": sorted(set(zoo.list_models()) - names)}
net = torch.hub.load(checkout, "resnet8_digits.somebody", source="local", pretrained=True)
answer["by its tag"] = type(net).__name__
try:
    torch.hub.load(other, "resnet8_digits", source="local")
except ImportError as error:
    answer["a second checkout"] = str(error)
sys.modules["timm"] = sys.modules["huggingface_hub"] = None  # stands for missing libraries
for name, options in (("resnet18_cifar10", {}), ("resnet8_digits", {"pretrained": True, "hub": "hf://me"})):
    try:
        torch.hub.load(checkout, name, source="local", **options)
    except Exception as error:
        answer[name] = f"{type(error).__module__} {error}"
"""


def test_torch_hub_lists_and_loads_imported_weights_and_reports_missing_libraries(
    bare_python: Path, tmp_path: Path, checkout: Path
) -> None:
    answer = run(bare_python, LISTS, tmp_path, checkout, CHECKOUT)
    assert (answer["more"], answer["fewer"]) == (["load", "resnet8_digits.somebody"], [])
    assert answer["by its tag"] == "CifarResNet"
    assert answer["a second checkout"] == (
        f"this process runs the zoo of {checkout} already, and can't run that of {CHECKOUT} too; "
        "load that in another process"
    )
    assert answer["resnet18_cifar10"].startswith("zoo.errors resnet18 of zoo-timm 0.1.0 needs timm, which is not inst")
    assert "install it with: pip install timm" in answer["resnet18_cifar10"]
    assert answer["resnet8_digits"].startswith("zoo.errors hf://me needs huggingface_hub")
    assert "install it with: pip install huggingface_hub" in answer["resnet8_digits"]
