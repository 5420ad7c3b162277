"""Publish a site as a static Space of the Hugging Face Hub."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from zoo.errors import PageError
from zoo.hub.http import plain_errors, with_retries
from zoo.page.site import MANIFEST

README: Final = """---
title: {title}
sdk: static
app_file: index.html
pinned: false
---
A site of pretrained residual networks, written by `zoo page`.
"""


def repository_of(address: str) -> str:
    """The repository `NAMESPACE/SPACE` of an address `hf://NAMESPACE/SPACE`; raises PageError for other addresses."""
    match = re.fullmatch(r"hf://([^/@]+/[^/@]+)/?", address)
    if match is None:
        raise PageError(f"push should be the address of a Space, hf://NAMESPACE/SPACE, not {address!r}")
    return match[1]


def publish(site: Path, repository: str) -> str:
    """Publish a site to a Space, which is created if it is missing.

    Files of an earlier site that are not in this site are deleted. Other files are kept, including an edited README.md.

    Args:
        site: The folder of the site.
        repository: The Space, `NAMESPACE/SPACE`.

    Returns:
        The URL of the Space.

    Raises:
        HubError: The Hub can't be reached or refuses the push.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="zoo")
    with plain_errors(f"hf://{repository}"):
        url = with_retries(lambda: api.create_repo(repository, repo_type="space", space_sdk="static", exist_ok=True))
        if not api.file_exists(repository, "README.md", repo_type="space"):
            readme = README.format(title=repository.partition("/")[2]).encode()
            api.upload_file(
                path_or_fileobj=readme, path_in_repo="README.md", repo_id=repository, repo_type="space",
                commit_message="Add the metadata of the Space",
            )  # fmt: skip
        earlier: list[str] = []
        if api.file_exists(repository, MANIFEST, repo_type="space"):
            manifest = Path(api.hf_hub_download(repository, MANIFEST, repo_type="space"))
            earlier = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        api.upload_folder(
            repo_id=repository, repo_type="space", folder_path=site, delete_patterns=earlier,
            commit_message="Publish the site of zoo page",
        )  # fmt: skip
    return str(url)
