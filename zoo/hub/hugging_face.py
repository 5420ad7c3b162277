"""The Hugging Face Hub: each model is a repository, each push one commit, each revision a commit.

The client checks the size of a download but not its hash, and keeps a damaged file in its cache. So config.json is
compared with the hash that the Hub reports, and a damaged file is downloaded again. Each commit names its parent, so a
push never overwrites a concurrent one.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import os
import re
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from zoo import registry
from zoo.decoding import Line, Percent, Positive, SchemaError, from_json
from zoo.errors import FolderError, HashMismatch, HubError, HubUnavailable, HubWarning, NotFound, RegistryError
from zoo.hub.address import Address, not_a_hub
from zoo.hub.download import read_or_refetch
from zoo.hub.http import (
    LOG_IN,
    download_with_retries,
    is_temporary,
    plain_error,
    plain_errors,
    retrying,
    short,
    with_retries,
)
from zoo.hub.protocol import Listed, Pushed, Revision
from zoo.record import store
from zoo.record.types import PRESENTATION, File, Imported, Record

if TYPE_CHECKING:
    from huggingface_hub import HfApi

EVAL_RESULTS = ".eval_results/zoo.yaml"
TAG = "zoo"  # the tag in the cards of the zoo's models, by which they are listed
COMMIT = re.compile(r"[0-9a-f]{40}")
IDENTITY = re.compile(r"[0-9a-f]{64}")  # the id of a record, which is also the git tag of its commit
DIGITS = re.compile(r"[0-9a-f]{4,64}")  # the first digits of a commit or an id
TIMEOUT = 10  # seconds
REMEDIES = f"{LOG_IN}, or use a folder as the hub: file:PATH"


def open_namespace(address: Address) -> HuggingFaceHub:
    """Open the hub at `hf://namespace` or `hf://`; raises HubError if the namespace is invalid."""
    if "/" in address.location or "@" in address.location:
        raise not_a_hub(address)
    if find_spec("huggingface_hub") is None:  # an optional dependency
        remedies = "install it with: pip install huggingface_hub, or use a folder as the hub: file:PATH"
        raise HubError(f"{address} needs huggingface_hub, which is not installed; {remedies}")
    _require_endpoint(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    return HuggingFaceHub(address.location or None)


class HuggingFaceHub:
    """The hub `hf://namespace`; `hf://` is the namespace of the account that is logged in."""

    def __init__(self, namespace: str | None) -> None:
        self._namespace = namespace

    @functools.cached_property
    def namespace(self) -> str:
        """The user or organisation; raises HubError if the address names none and no account is logged in."""
        return self._namespace or str(self._account()["name"])

    @property
    def address(self) -> Address:
        """The address `hf://namespace`."""
        return _address(self.namespace)

    def require_writable(self, name: str) -> None:
        """Raise HubError if there is no token, or if it is not accepted or may not write to this namespace."""
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

        account = self._account()
        with plain_errors(self.address.model(name)):
            validate_repo_id(self._repository(name))
        if account.get("auth", {}).get("accessToken", {}).get("role") == "read":
            raise HubError(f"the token of {account['name']} is read-only; with a token that may write, {REMEDIES}")
        namespaces = [account["name"], *sorted(organisation["name"] for organisation in account.get("orgs", []))]
        if self.namespace not in namespaces:
            expected = " or ".join(str(_address(namespace)) for namespace in namespaces)
            raise HubError(f"{account['name']} may not write to {self.address}; expected {expected}")

    def require_card(self, name: str, text: str) -> None:
        """Validate the metadata of a card at the Hub; raises HubError if the Hub refuses it.

        The client refuses invalid YAML without a request. Its own `ModelCard.validate` is not used, because up to
        version 1.33 it asks huggingface.co, whatever HF_ENDPOINT is.
        """
        import yaml
        from huggingface_hub import ModelCard
        from huggingface_hub.utils import get_session, hf_raise_for_status  # type: ignore[attr-defined]

        url = f"{self._api.endpoint}/api/validate-yaml"

        def validate() -> None:
            content = {"repoType": "model", "content": text}
            response = get_session().post(url, json=content, headers={"Accept": "text/plain"}, timeout=TIMEOUT)
            if response.status_code == 400:
                raise ValueError(response.text)
            hf_raise_for_status(response)

        with plain_errors("the Hugging Face Hub"):
            try:
                ModelCard(text)
                with_retries(validate)
            except (ValueError, yaml.YAMLError) as error:
                card = f"the README.md of {self.address.model(name)}"
                raise HubError(f"{card} is refused by the Hub: {short(error)}; correct its metadata") from None

    def resolve(self, name: str, revision: str | None = None) -> Revision:
        """Return the record at a branch, a tag, a commit or a record's id.

        A commit or an id may be given by its first digits. A cached commit costs no request. A damaged config.json is
        downloaded again, once.

        Raises:
            NotFound: There is no such model or revision.
            FolderError: The record is damaged.
            HubUnavailable: The Hub can't be reached, and the cache has an earlier commit.
            HubError: Any other failure.
        """
        address, repository = self.address.model(name), self._repository(name)
        if revision is not None and COMMIT.fullmatch(revision):
            commit, identity = revision, None
        else:
            commit, identity = self._resolve(address, repository, revision)

        def read(force_download: bool) -> Record:
            with plain_errors(address, revision):
                folder = self._fetch(repository, commit, store.CONFIG, force_download=force_download).parent
            _require_same(folder, identity)
            return store.read_record(folder)

        return Revision(read_or_refetch(read), commit)

    def fetch(self, name: str, revision: str, files: Iterable[str], *, force_download: bool = False) -> Path:
        """Return the folder of a commit in the client's cache, with these files; cached files cost no request."""
        with plain_errors(self.address.model(name), revision):
            folder = self._snapshots(self._repository(name)) / revision
            for file in files:
                self._fetch(self._repository(name), revision, file, force_download=force_download)
        return folder

    def publish(self, name: str, files: Mapping[str, bytes]) -> Pushed:
        """Create the repository if it is missing, commit the files that differ, and tag the commit with the id.

        Files that only the previous record names are deleted; files that people added stay. The published files are
        downloaded again and compared.
        """
        address, repository = self.address.model(name), self._repository(name)
        identity = store.identity_of(files)
        with plain_errors(address):
            with_retries(lambda: self._api.create_repo(repository, exist_ok=True))
            # Repeat if another push changed the head, or if the response was lost.
            commit, repaired = retrying(lambda error: is_temporary(error) or _is_behind(error))(
                lambda: self._commit(repository, name, files)
            )
            if repaired:  # the tag points to the damaged commit
                with_retries(lambda: self._api.delete_tag(repository, tag=identity))
            with_retries(lambda: self._api.create_tag(repository, tag=identity, revision=commit, exist_ok=True))
            self._compare(repository, commit, files)
        return Pushed(address, commit, repaired)

    def weights_file(self, name: str, revision: str) -> File:
        """Return the SHA-256 and size of model.safetensors in another library's repository, without a download.

        Raises NotFound if the repository has no such file, or HubError.
        """
        from huggingface_hub import hf_hub_url, try_to_load_from_cache

        address, repository = self.address.model(name), self._repository(name)
        try:
            with plain_errors(address, revision):
                url = hf_hub_url(repository, store.WEIGHTS, revision=revision, endpoint=self._api.endpoint)
                metadata = with_retries(lambda: self._api.get_hf_file_metadata(url=url, timeout=TIMEOUT))
        except NotFound:
            raise
        except HubError:  # without a network: the client's cache names a file by its hash
            cached = try_to_load_from_cache(repository, store.WEIGHTS, revision=revision)
            if isinstance(cached, str) and IDENTITY.fullmatch((blob := Path(cached).resolve()).name):
                return File(blob.name, blob.stat().st_size)
            raise
        if metadata.size is None or not IDENTITY.fullmatch(metadata.etag or ""):
            raise HubError(
                f"the Hub reports no SHA-256 of {store.WEIGHTS} in {address}; "
                "download the repository and give the path of its folder"
            )
        return File(str(metadata.etag), metadata.size)

    def revisions(self, name: str) -> list[str]:
        """Return the commits of the main branch, newest first, without the first one if it has no model."""
        address, repository = self.address.model(name), self._repository(name)
        with plain_errors(address):
            # First a request with a time-out: if the Hub does not answer, list_repo_commits retries for 23 seconds.
            with_retries(lambda: self._api.model_info(repository, timeout=TIMEOUT))
            commits = [commit.commit_id for commit in with_retries(lambda: self._api.list_repo_commits(repository))]
            if not with_retries(lambda: self._api.file_exists(repository, store.CONFIG, revision=commits[-1])):
                commits.pop()
        if not commits:
            raise NotFound(f"{address} is an empty repository; push a model to it")
        return commits

    def dates(self, name: str) -> dict[str, datetime]:
        """Return the time of each commit of the main branch."""
        with plain_errors(self.address.model(name)):
            commits = with_retries(lambda: self._api.list_repo_commits(self._repository(name)))
        return {commit.commit_id: commit.created_at for commit in commits}

    def models(self, pattern: str | None = None) -> list[Listed]:
        """List the models of the namespace with the zoo's tag, from their cards; one request per page."""
        with plain_errors(self.address):
            models = _from_cards(_query({"author": self.namespace}))
        return [model for model in models if pattern is None or fnmatch.fnmatchcase(model.name, pattern)]

    def search(self, text: str) -> list[Listed]:
        """List the zoo's models by text in the names of their repositories; `hf://` searches the whole Hub."""
        query = {"search": text} if self._namespace is None else {"search": text, "author": self._namespace}
        with plain_errors("the Hugging Face Hub"):
            return _from_cards(_query(query))

    def _repository(self, name: str) -> str:
        return f"{self.namespace}/{name}"

    @functools.cached_property
    def _api(self) -> HfApi:
        return _client()

    def _account(self) -> dict[str, Any]:
        from huggingface_hub import get_token

        if get_token() is None:
            raise HubError(f"no account is logged in to the Hugging Face Hub; {REMEDIES}")
        with plain_errors("the Hugging Face Hub"):
            return with_retries(self._api.whoami)

    def _commit(self, repository: str, name: str, files: Mapping[str, bytes]) -> tuple[str, tuple[str, ...]]:
        """Commit the files that differ from the head's; if none differ, make no commit.

        Returns:
            The commit, and the files that were damaged at the head although it has the same record.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        record = store.record_of(files)
        head = str(with_retries(lambda: self._api.model_info(repository, timeout=TIMEOUT)).sha)
        tree, previous = self._tree(repository, head), self._record_at(name, head)
        files_to_have = {**files, **_eval_results(record)}
        added = [file for file, content in files_to_have.items() if tree.get(file) not in _hashes_of(content)]
        written_by_zoo = {EVAL_RESULTS, *PRESENTATION, *(previous.files if previous else ())}
        deleted = sorted(written_by_zoo & tree.keys() - files_to_have.keys())
        if not added and not deleted:
            return head, ()
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path_in_repo=file, path_or_fileobj=files_to_have[file]) for file in added),
            *(CommitOperationDelete(path_in_repo=file) for file in deleted),
        ]
        commit = self._api.create_commit(repository, operations, commit_message=_message(record), parent_commit=head)
        damaged = [file for file in added if previous == record and file in files and file not in PRESENTATION]
        return commit.oid, tuple(damaged)

    def _tree(self, repository: str, commit: str) -> dict[str, str]:
        """The hash of each file of a commit, by path, as the Hub reports it."""
        from huggingface_hub.hf_api import RepoFile

        tree = with_retries(lambda: list(self._api.list_repo_tree(repository, revision=commit, recursive=True)))
        files = [file for file in tree if isinstance(file, RepoFile)]
        return {file.path: file.lfs.sha256 if file.lfs else file.blob_id for file in files}

    def _record_at(self, name: str, commit: str) -> Record | None:
        """The record at a commit; None if it is missing or damaged."""
        try:
            return self.resolve(name, commit).record
        except (NotFound, FolderError):
            return None

    def _compare(self, repository: str, commit: str, files: Mapping[str, bytes]) -> None:
        """Download a commit into a temporary cache and compare it with the published files."""
        with tempfile.TemporaryDirectory(prefix="zoo-") as scratch:
            download = functools.partial(self._api.hf_hub_download, repository, revision=commit, cache_dir=scratch)
            for name, content in files.items():
                if Path(download_with_retries(functools.partial(download, name))).read_bytes() != content:
                    raise HubError(f"hf://{repository}: {name} differs from the published file; publish it again")

    def _resolve(self, address: Address, repository: str, revision: str | None) -> tuple[str, str | None]:
        """The commit of a branch, a tag or digits, and the record's id if `revision` is one.

        Reads the cache only if HF_HUB_OFFLINE is set.
        """
        from huggingface_hub import constants
        from huggingface_hub.errors import RemoteEntryNotFoundError, RevisionNotFoundError

        branch = revision or "main"
        cached = self._cached(repository, branch)
        identity = branch if IDENTITY.fullmatch(branch) else None
        if cached is not None and constants.HF_HUB_OFFLINE:
            return cached, identity
        try:
            return self._ask(repository, branch)
        except HubError:
            raise
        except Exception as error:
            plain = plain_error(error, address, revision)
            if plain is None:
                raise
            if cached is None or isinstance(error, RevisionNotFoundError | RemoteEntryNotFoundError):
                raise plain from None
            written = (self._snapshots(repository) / cached / store.CONFIG).lstat().st_mtime
            raise HubUnavailable(str(plain), cached, date.fromtimestamp(written)) from None

    def _ask(self, repository: str, revision: str) -> tuple[str, str | None]:
        """Request the commit of a branch, a tag or digits; returns also the record's id if `revision` is one."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.errors import RevisionNotFoundError

        url = hf_hub_url(repository, store.CONFIG, revision=revision, endpoint=self._api.endpoint)
        try:
            commit = with_retries(lambda: self._api.get_hf_file_metadata(url=url, timeout=TIMEOUT)).commit_hash
        except RevisionNotFoundError:
            complete = self._completed(repository, revision) if DIGITS.fullmatch(revision) else None
            if complete is None or complete == revision:
                raise
            return self._ask(repository, complete)
        if commit is None:
            raise HubError(f"hf://{repository}: the server's response names no commit; check HF_ENDPOINT")
        if commit != self._cached(repository, revision):
            self._fetch(repository, revision, store.CONFIG)  # so that the client caches which commit it is
        return commit, revision if IDENTITY.fullmatch(revision) else None

    def _completed(self, repository: str, digits: str) -> str | None:
        """The commit or id that begins with these digits, or None; raises NotFound if there are several."""
        tags = with_retries(lambda: self._api.list_repo_refs(repository)).tags
        commits = with_retries(lambda: self._api.list_repo_commits(repository))
        revisions = [commit.commit_id for commit in commits] + [
            tag.name for tag in tags if IDENTITY.fullmatch(tag.name)
        ]
        matching = [revision for revision in revisions if revision.startswith(digits)]
        if len(matching) > 1:
            raise NotFound(f"hf://{repository} has several revisions that begin with {digits!r}; give more digits")
        return matching[0] if matching else None

    def _cached(self, repository: str, revision: str) -> str | None:
        """The commit of a branch, a tag or digits in the client's cache; None if it is not cached."""
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(repository, store.CONFIG, revision=revision)
        if isinstance(path, str):
            return Path(path).parent.name
        if not DIGITS.fullmatch(revision):
            return None
        folders = [path.parent for path in self._snapshots(repository).glob(f"*/{store.CONFIG}")]
        matching = [
            folder.name
            for folder in folders
            if folder.name.startswith(revision) or store.identity(folder).startswith(revision)
        ]
        return matching[0] if len(matching) == 1 else None

    def _fetch(self, repository: str, commit: str, name: str, *, force_download: bool = False) -> Path:
        """Download a file at a commit; a cached file costs no request."""
        download = functools.partial(
            self._api.hf_hub_download, repository, name, revision=commit, force_download=force_download
        )
        return Path(download_with_retries(download))

    def _snapshots(self, repository: str) -> Path:
        """The folder in the client's cache that contains a folder for each commit of a repository."""
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"


def _require_endpoint(text: str) -> None:
    """Raise HubError if HF_ENDPOINT is not a URL. Called before the client is imported, because that reads it."""
    try:
        address = urlsplit(text)
        is_valid = address.scheme in ("http", "https") and bool(address.hostname)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise HubError("HF_ENDPOINT is not the URL of a Hub; set it to https://HOST, or unset it for huggingface.co")


def _address(namespace: str) -> Address:
    return Address("hf", namespace, mark="://")


def _query(query: dict[str, str]) -> list[object]:
    """Request all pages of the list of models with the zoo's tag, with the metadata of their cards.

    Does not use the client's `list_models`, which retries for 23 seconds, with warnings, if the Hub can't be reached.
    A next page at another host is not requested, because each request carries the token.
    """
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        get_session,
        hf_raise_for_status,
    )

    headers = build_hf_headers(library_name="zoo")
    first = url = f"{_client().endpoint}/api/models"
    parameters: dict[str, str] | None = {**query, "filter": TAG, "cardData": "true"}
    models: list[object] = []

    def page(url: str, parameters: dict[str, str] | None) -> Any:
        response = get_session().get(url, params=parameters, headers=headers, timeout=TIMEOUT)
        hf_raise_for_status(response)
        return response

    while True:
        response = with_retries(functools.partial(page, url, parameters))
        models += from_json(list[object], response.json())
        following = response.links.get("next", {}).get("url")
        if following is None:
            return models
        url, parameters = urljoin(url, following), None
        if urlsplit(url)[:2] != urlsplit(first)[:2]:
            message = f"the listing is incomplete: its next page is at another host, {urlsplit(url).netloc}"
            warnings.warn(HubWarning(message), stacklevel=3)
            return models


def _require_same(folder: Path, identity: str | None) -> None:
    """Raise HashMismatch if a cached config.json is not the Hub's file, or not the record of an id.

    In the client's cache, config.json is a link to a blob, named by its git SHA-1 or its SHA-256. On systems without
    links there is no such name, and only the id is checked.
    """
    path = folder / store.CONFIG
    blob = path.resolve()
    if path.is_symlink() and blob.is_file() and blob.name not in _hashes_of(blob.read_bytes()):
        raise HashMismatch(
            f"{path} differs from the Hub's file at commit {folder.name[:12]}; remove it and load the model again"
        )
    if identity is not None and store.identity(folder) != identity:
        raise HashMismatch(f"{path} is not revision {identity[:12]}; remove it and load the model again")


def _message(record: Record) -> str:
    """The message of a commit."""
    if isinstance(record, Imported):
        return f"weights by {record.source.by}"
    return f"{record.job.recipe_name}, seed {record.job.seed}"


def _client() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(library_name="zoo")


def _is_behind(error: BaseException) -> bool:
    """Whether a commit was refused because its parent is no longer the head."""
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(error, HfHubHTTPError) and error.response.status_code == 412


def _eval_results(record: Record) -> dict[str, bytes]:
    """The file with the measured accuracies that the Hub reads from `.eval_results`; empty for unmeasured weights."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

    if record.results is None:
        return {}
    dataset = record.dataset
    with contextlib.suppress(RegistryError):
        dataset = registry.dataset(record.dataset).hub_id or dataset
    measured = {"top-1": record.results.test_top1, "top-5": record.results.test_top5}
    entries = [EvalResultEntry(dataset_id=dataset, task_id=name, value=round(measured[name], 4)) for name in measured]
    return {EVAL_RESULTS: str(yaml_dump(eval_result_entries_to_yaml(entries), sort_keys=False)).encode()}


def _hashes_of(content: bytes) -> tuple[str, str]:
    """The two hashes that the Hub may report for a file: SHA-256 (LFS), and the git SHA-1 of the blob."""
    import hashlib

    return hashlib.sha256(content).hexdigest(), hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class _Metric:
    value: Percent


@dataclass(frozen=True)
class _Result:
    metrics: tuple[_Metric, ...]


@dataclass(frozen=True)
class _Evaluated:
    results: tuple[_Result, ...]
    name: str = ""


@dataclass(frozen=True)
class _Card:
    """The metadata of a card that a list shows: the `zoo` section, the license and `model-index`."""

    dataset: Line
    parameters: Positive
    plugin: Line
    license: Line
    evaluated: tuple[_Evaluated, ...] | None = None
    by: str | None = None  # the author of imported weights
    claim: Percent | None = None  # the top-1 accuracy that the author states, if it was not measured


def _from_cards(models: Iterable[object]) -> list[Listed]:
    """The models, sorted by address. Skips cards without a `zoo` section, and warns about invalid ones."""
    listed = []
    for model in models:
        card = model.get("cardData") if isinstance(model, Mapping) else None
        if not isinstance(model, Mapping) or not isinstance(card, Mapping) or not isinstance(card.get("zoo"), Mapping):
            continue
        try:
            listed.append(_from_card(from_json(str, model.get("id")), card))
        except SchemaError as error:
            message = f"hf://{str(model.get('id'))[:200]} is not listed, because its card is invalid: {error}"
            warnings.warn(HubWarning(message), stacklevel=3)
    return sorted(listed, key=lambda model: str(model.address))


def _from_card(repository: str, metadata: Mapping[str, Any]) -> Listed:
    """The model of a card; raises SchemaError if the metadata is invalid."""
    values = {**metadata["zoo"], "license": metadata.get("license"), "evaluated": metadata.get("model-index")}
    card = from_json(_Card, values)
    metrics = [metric for model in card.evaluated or () for result in model.results for metric in result.metrics]
    if not metrics and card.by is None:
        raise SchemaError("model-index has no metric")
    top1 = metrics[0].value if metrics else None
    namespace, _, name = repository.partition("/")
    if card.evaluated and card.evaluated[0].name != name:
        raise SchemaError(f"it is the card of {card.evaluated[0].name[:100]!r}")
    return Listed(
        name=name,
        address=_address(namespace).model(name),
        dataset=card.dataset,
        parameters=card.parameters,
        license=card.license,
        test_top1=top1,
        plugin=card.plugin,
        claim=None if metrics else card.claim,
    )
