"""Read onnxruntime-web from its npm package, as scripts that a page can load without a server.

A page that is opened from a file can load only scripts, so the scripts contain the other files as base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import PageError

SCRIPT = "ort.wasm.min.js"
PARTS = {"glue": "ort-wasm-simd-threaded.mjs", "wasm": "ort-wasm-simd-threaded.wasm"}


@dataclass(frozen=True)
class Runtime:
    """onnxruntime-web: its version, and its files by their paths in a site."""

    version: str
    files: Mapping[str, bytes]


def read(folder: Path) -> Runtime:
    """Read an unpacked npm package onnxruntime-web.

    Args:
        folder: The folder `package`, or the folder that contains it.

    Raises:
        PageError: The folder is not such a package.
    """
    try:
        is_package = (folder / "package.json").is_file()
        root = folder if is_package else folder / "package"  # the top folder in archives of `npm pack`
        version = str(json.loads((root / "package.json").read_text(encoding="utf-8"))["version"])
        script = (root / "dist" / SCRIPT).read_bytes()
        parts = {name: (root / "dist" / file).read_bytes() for name, file in PARTS.items()}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise PageError(
            f"{folder} is not an unpacked npm package onnxruntime-web, it lacks {_lacking(error)}; get it with: "
            "npm pack onnxruntime-web && tar -xf onnxruntime-web-*.tgz, and name the folder `package` as runtime"
        ) from None
    return Runtime(version, {f"runtime/{SCRIPT}": script, "runtime/parts.js": script_of(parts)})


def script_of(parts: Mapping[str, bytes]) -> bytes:
    """Return a script with named contents in base64, which `bytesOf` in try.js decodes."""
    lines = [
        f"embedded[{json.dumps(name)}] = {json.dumps(base64.b64encode(content).decode())};"
        for name, content in parts.items()
    ]
    return "\n".join(['"use strict";', *lines, ""]).encode()


def _lacking(error: Exception) -> str:
    return Path(error.filename).name if isinstance(error, OSError) and error.filename else "a valid package.json"
