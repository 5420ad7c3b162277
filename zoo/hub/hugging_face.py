"""The Hugging Face Hub: a model is a repository, publishing is one commit, a revision is a commit.

The client compares sizes and no hashes, and keeps a damaged file in its cache. So config.json is compared with the hash
that the Hub has of it, and a damaged file is downloaded again. A commit names its parent, so a push that comes between
is noticed and not overwritten.
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
from zoo.hub.download import (
    LOG_IN,
    downloaded,
    healed,
    is_passing,
    patiently,
    plain_error,
    plain_errors,
    retrying,
    short,
)
from zoo.hub.protocol import Listed, Pushed, Revision
from zoo.record import store
from zoo.record.types import PRESENTATION, File, Imported, Record

if TYPE_CHECKING:
    from huggingface_hub import HfApi

EVAL_RESULTS = ".eval_results/zoo.yaml"
TAG = "zoo"  # what the cards of the zoo's models carry, and what a listing asks for
COMMIT = re.compile(r"[0-9a-f]{40}")
IDENTITY = re.compile(r"[0-9a-f]{64}")  # of a folder: the tag of the commit that it was pushed as
DIGITS = re.compile(r"[0-9a-f]{4,64}")  # the first ones of a commit or an id
TIMEOUT = 10  # seconds
REMEDIES = f"{LOG_IN}, or name a folder: file:PATH"


def open_namespace(address: Address) -> HuggingFaceHub:
    """The hub at `hf://namespace` or `hf://`; raises HubError for what can't be a namespace."""
    if "/" in address.place or "@" in address.place:
        raise not_a_hub(address)
    if find_spec("huggingface_hub") is None:  # a plain checkout does without, for all but this
        remedies = "install it with: pip install huggingface_hub, or name a folder: file:PATH"
        raise HubError(f"{address} needs huggingface_hub, which is not installed; {remedies}")
    _require_endpoint(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    return HuggingFaceHub(address.place or None)


class HuggingFaceHub:
    """The hub `hf://namespace`; without a namespace, that of the account that is logged in."""

    def __init__(self, namespace: str | None) -> None:
        self._namespace = namespace

    @functools.cached_property
    def namespace(self) -> str:
        """The user or organisation; raises HubError where none is named and nobody is logged in."""
        return self._namespace or str(self._account()["name"])

    @property
    def address(self) -> Address:
        """`hf://` and the namespace."""
        return _address(self.namespace)

    def require_writable(self, name: str) -> None:
        """Make sure that a token is there, is accepted, and may write to this namespace."""
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

        account = self._account()
        with plain_errors(self.address.model(name)):
            validate_repo_id(f"{self.namespace}/{name}")
        if account.get("auth", {}).get("accessToken", {}).get("role") == "read":
            raise HubError(f"the token of {account['name']} may only read; with one that may write, {REMEDIES}")
        organisations = sorted(one["name"] for one in account.get("orgs", []))
        if self.namespace not in (account["name"], *organisations):
            expected = " or ".join(str(_address(one)) for one in (account["name"], *organisations))
            raise HubError(f"{account['name']} may not write to {self.address}; expected {expected}")

    def require_card(self, name: str, text: str) -> None:
        """Validate a card with the client's parser, and then by the Hub.

        The client's own `ModelCard.validate` asks huggingface.co, whatever HF_ENDPOINT says, up to version 1.33.
        """
        import yaml
        from huggingface_hub import ModelCard
        from huggingface_hub.utils import get_session, hf_raise_for_status  # type: ignore[attr-defined]

        of = f"the README.md of {self.address.model(name)}"
        try:
            card = ModelCard(text)
        except (ValueError, yaml.YAMLError) as error:
            raise HubError(f"{of} can't be read by the Hub: {short(error)}; correct it") from None
        url = f"{self._api.endpoint}/api/validate-yaml"

        def validate() -> None:
            content = {"repoType": "model", "content": str(card)}
            response = get_session().post(url, json=content, headers={"Accept": "text/plain"}, timeout=TIMEOUT)
            if response.status_code == 400:
                raise HubError(f"{of} is refused by the Hub (400): {short(response.text)}; correct it")
            hf_raise_for_status(response)

        with plain_errors("the Hugging Face Hub"):
            patiently(validate)

    def resolve(self, name: str, revision: str | None = None) -> Revision:
        """The record at the commit that a branch, tag or commit stands for; at an id of a record, that record.

        A commit or an id may be given by its first digits. A cached commit costs no request. A damaged config.json is
        downloaded again, once. Raises HubUnavailable where the Hub can't be asked and the cache has an earlier commit.
        """
        address, repository = self.address.model(name), f"{self.namespace}/{name}"
        if revision is not None and COMMIT.fullmatch(revision):
            commit, identity = revision, None
        else:
            commit, identity = self._resolve(address, repository, revision)

        def read(anew: bool) -> Record:
            with plain_errors(address, revision):
                folder = self._fetch(repository, commit, store.CONFIG, anew=anew).parent
            _require_same(folder, identity)
            return store.read_record(folder)

        return Revision(healed(read), commit)

    def fetch(self, name: str, revision: str, files: Iterable[str], *, anew: bool = False) -> Path:
        """The folder of a commit in the Hub's own cache, with these files; cached files cost no request."""
        with plain_errors(self.address.model(name), revision):
            folder = self._snapshots(f"{self.namespace}/{name}") / revision
            for file in files:
                self._fetch(f"{self.namespace}/{name}", revision, file, anew=anew)
        return folder

    def publish(self, name: str, files: Mapping[str, bytes]) -> Pushed:
        """Create the repository where it is not there, commit what differs onto its head, and tag the commit.

        Files that the head's record names and this one does not are deleted; what people added stays. What was
        published is fetched again and compared.
        """
        place, repository = self.address.model(name), f"{self.namespace}/{name}"
        identity = store.identity_of(files)
        with plain_errors(place):
            patiently(lambda: self._api.create_repo(repository, exist_ok=True))
            # Again where another push came between, or the answer was lost.
            commit, repaired = retrying(lambda error: is_passing(error) or _is_behind(error))(
                lambda: self._commit(repository, name, files)
            )
            if repaired:  # the tag is on the commit that was damaged
                patiently(lambda: self._api.delete_tag(repository, tag=identity))
            patiently(lambda: self._api.create_tag(repository, tag=identity, revision=commit, exist_ok=True))
            self._compare(repository, commit, files)
        return Pushed(place, commit, repaired)

    def weights_file(self, name: str, revision: str) -> File:
        """The SHA-256 and size that the Hub has of the weights in another library's repository; fetches none.

        Raises NotFound where there are none, or HubError.
        """
        from huggingface_hub import hf_hub_url, try_to_load_from_cache

        place, repository = self.address.model(name), f"{self.namespace}/{name}"
        try:
            with plain_errors(place, revision):
                url = hf_hub_url(repository, store.WEIGHTS, revision=revision, endpoint=self._api.endpoint)
                facts = patiently(lambda: self._api.get_hf_file_metadata(url=url, timeout=TIMEOUT))
        except NotFound:
            raise
        except HubError:  # without a network: the cache names a file by its hash
            cached = try_to_load_from_cache(repository, store.WEIGHTS, revision=revision)
            if isinstance(cached, str) and IDENTITY.fullmatch((blob := Path(cached).resolve()).name):
                return File(blob.name, blob.stat().st_size)
            raise
        if facts.size is None or not IDENTITY.fullmatch(facts.etag or ""):
            raise HubError(f"the Hub gives no SHA-256 of {place}'s {store.WEIGHTS}; fetch it yourself, name its folder")
        return File(str(facts.etag), facts.size)

    def revisions(self, name: str) -> list[str]:
        """The main branch's commits, newest first, without the empty one that the Hub begins a repository with."""
        place, repository = self.address.model(name), f"{self.namespace}/{name}"
        with plain_errors(place):
            # Asked first, with a time-out: the client's listing would retry for 23 seconds where nobody answers.
            patiently(lambda: self._api.model_info(repository, timeout=TIMEOUT))
            commits = [one.commit_id for one in patiently(lambda: self._api.list_repo_commits(repository))]
            if not patiently(lambda: self._api.file_exists(repository, store.CONFIG, revision=commits[-1])):
                commits.pop()
        if not commits:
            raise NotFound(f"{place} is not a model folder: nothing was pushed to it yet")
        return commits

    def dates(self, name: str) -> dict[str, datetime]:
        """The time of each commit of the main branch."""
        with plain_errors(self.address.model(name)):
            commits = patiently(lambda: self._api.list_repo_commits(f"{self.namespace}/{name}"))
        return {commit.commit_id: commit.created_at for commit in commits}

    def models(self, pattern: str | None = None) -> list[Listed]:
        """The namespace's models that carry the zoo's tag, from their cards, in one request."""
        with plain_errors(self.address):
            listed = _listed(_find({"author": self.namespace}))
        return [one for one in listed if pattern is None or fnmatch.fnmatchcase(one.name, pattern)]

    def search(self, text: str) -> list[Listed]:
        """The zoo's models with this text in their repository's name; without a namespace, the whole Hub's."""
        query = {"search": text} if self._namespace is None else {"search": text, "author": self._namespace}
        with plain_errors("the Hugging Face Hub"):
            return _listed(_find(query))

    @functools.cached_property
    def _api(self) -> HfApi:
        return _client()

    def _account(self) -> dict[str, Any]:
        from huggingface_hub import get_token

        if get_token() is None:
            raise HubError(f"no account is logged in to the Hugging Face Hub; {REMEDIES}")
        with plain_errors("the Hugging Face Hub"):
            return patiently(self._api.whoami)

    def _commit(self, repository: str, name: str, files: Mapping[str, bytes]) -> tuple[str, tuple[str, ...]]:
        """Commit the files that the head lacks; no commit where it has them all.

        Returns the commit, and the files that the head had damaged under the same record.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        record = store.record_of(files)
        head = str(patiently(lambda: self._api.model_info(repository, timeout=TIMEOUT)).sha)
        tree, before = self._tree(repository, head), self._record_at(name, head)
        wanted = {**files, **_eval_results(record)}
        added = [file for file, content in wanted.items() if tree.get(file) not in _hashes_of(content)]
        own = {EVAL_RESULTS, *PRESENTATION, *(before.files if before else ())}
        deleted = sorted(own & tree.keys() - wanted.keys())
        if not added and not deleted:
            return head, ()
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path_in_repo=file, path_or_fileobj=wanted[file]) for file in added),
            *(CommitOperationDelete(path_in_repo=file) for file in deleted),
        ]
        commit = self._api.create_commit(repository, operations, commit_message=_message(record), parent_commit=head)
        damaged = [file for file in added if before == record and file in files and file not in PRESENTATION]
        return commit.oid, tuple(damaged)

    def _tree(self, repository: str, commit: str) -> dict[str, str]:
        """The files of a commit, with the hash that the Hub has of each."""
        from huggingface_hub.hf_api import RepoFile

        tree = patiently(lambda: list(self._api.list_repo_tree(repository, revision=commit, recursive=True)))
        return {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in tree if isinstance(one, RepoFile)}

    def _record_at(self, name: str, commit: str) -> Record | None:
        """The record at a commit; None where there is none, or none that can be read."""
        try:
            return self.resolve(name, commit).record
        except (NotFound, FolderError):
            return None

    def _compare(self, repository: str, commit: str, files: Mapping[str, bytes]) -> None:
        """Fetch a commit into a scratch cache and compare it with what was published."""
        with tempfile.TemporaryDirectory(prefix="zoo-") as scratch:

            def fetch(name: str) -> str:
                return self._api.hf_hub_download(repository, name, revision=commit, cache_dir=scratch)

            for name, content in files.items():
                path = downloaded(functools.partial(fetch, name))
                if Path(path).read_bytes() != content:
                    raise HubError(f"hf://{repository} has another {name} than was published; publish it again")

    def _resolve(self, address: Address, repository: str, revision: str | None) -> tuple[str, str | None]:
        """The commit that a branch, a tag or digits stand for, and the id of the record where that was given.

        Offline, if that was asked for, it is the commit in the cache.
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
        """The commit that the Hub has for a branch, a tag or digits, and the id where it is the tag of one."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.errors import RevisionNotFoundError

        url = hf_hub_url(repository, store.CONFIG, revision=revision, endpoint=self._api.endpoint)
        try:
            commit = patiently(lambda: self._api.get_hf_file_metadata(url=url, timeout=TIMEOUT)).commit_hash
        except RevisionNotFoundError:
            whole = self._whole(repository, revision) if DIGITS.fullmatch(revision) else None
            if whole is None or whole == revision:
                raise
            return self._ask(repository, whole)
        if commit is None:
            raise HubError(f"hf://{repository}: the Hub names no commit; check HF_ENDPOINT")
        if commit != self._cached(repository, revision):
            self._fetch(repository, revision, store.CONFIG)  # the client then keeps which commit it was
        return commit, revision if IDENTITY.fullmatch(revision) else None

    def _whole(self, repository: str, digits: str) -> str | None:
        """The commit or the id that begins with these digits; None where there is none. Raises NotFound for several."""
        tags = patiently(lambda: self._api.list_repo_refs(repository)).tags
        commits = patiently(lambda: self._api.list_repo_commits(repository))
        revisions = [commit.commit_id for commit in commits] + [
            tag.name for tag in tags if IDENTITY.fullmatch(tag.name)
        ]
        fitting = [revision for revision in revisions if revision.startswith(digits)]
        if len(fitting) > 1:
            raise NotFound(f"hf://{repository} has several revisions that begin with {digits!r}; give more digits")
        return fitting[0] if fitting else None

    def _cached(self, repository: str, revision: str) -> str | None:
        """The commit in the client's cache that a branch, a tag or digits stood for when last seen."""
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(repository, store.CONFIG, revision=revision)
        if isinstance(path, str):
            return Path(path).parent.name
        if not DIGITS.fullmatch(revision):
            return None
        folders = [path.parent for path in self._snapshots(repository).glob(f"*/{store.CONFIG}")]
        fitting = [
            folder.name
            for folder in folders
            if folder.name.startswith(revision) or store.identity(folder).startswith(revision)
        ]
        return fitting[0] if len(fitting) == 1 else None

    def _fetch(self, repository: str, commit: str, name: str, *, anew: bool = False) -> Path:
        """Download a file at a commit; what is cached costs no request."""
        return Path(
            downloaded(lambda: self._api.hf_hub_download(repository, name, revision=commit, force_download=anew))
        )

    def _snapshots(self, repository: str) -> Path:
        """The folder in the Hub's cache that has a folder for each commit of a repository."""
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"


def _require_endpoint(text: str) -> None:
    """Make sure that HF_ENDPOINT is a Hub's address, before the client is imported, which reads it then."""
    try:
        address = urlsplit(text)
        sound = address.scheme in ("http", "https") and bool(address.hostname)
    except ValueError:
        sound = False
    if not sound:
        raise HubError("HF_ENDPOINT is no address of a Hub; expected https://HOST, or nothing for huggingface.co")


def _address(namespace: str) -> Address:
    return Address("hf", namespace, mark="://")


def _find(query: dict[str, str]) -> list[object]:
    """What the Hub says of the models with the zoo's tag, cards included, page by page.

    Through the client's session, not its `list_models`: that one retries for 23 seconds, with warnings, where the
    Hub can't be reached. A page at another host is not asked for: the token goes with every request.
    """
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        get_session,
        hf_raise_for_status,
    )

    headers = build_hf_headers(library_name="zoo")
    first = url = f"{_client().endpoint}/api/models"
    parameters: dict[str, str] | None = {**query, "filter": TAG, "cardData": "true"}
    found: list[object] = []
    while True:

        def page(url: str = url, parameters: dict[str, str] | None = parameters) -> Any:
            response = get_session().get(url, params=parameters, headers=headers, timeout=TIMEOUT)
            hf_raise_for_status(response)
            return response

        response = patiently(page)
        found += from_json(list[object], response.json())
        following = response.links.get("next", {}).get("url")
        if following is None:
            return found
        url, parameters = urljoin(url, following), None
        if urlsplit(url)[:2] != urlsplit(first)[:2]:
            message = f"the listing is cut off: its next page is at another host, {urlsplit(url).netloc}"
            warnings.warn(HubWarning(message), stacklevel=3)
            return found


def _require_same(folder: Path, identity: str | None) -> None:
    """Make sure that a cached config.json is the Hub's, by the name of its blob, and of the id; raises HashMismatch.

    A blob is named by git's SHA-1 of it, or by its SHA-256; where the system has no links the name is not kept.
    """
    path = folder / store.CONFIG
    blob = path.resolve()
    if path.is_symlink() and blob.is_file() and blob.name not in _hashes_of(blob.read_bytes()):
        raise HashMismatch(
            f"{path} is not what the Hub has at {folder.name[:12]}; the cache was changed: fetch it again"
        )
    if identity is not None and store.identity(folder) != identity:
        raise HashMismatch(f"{path} is not revision {identity[:12]}; remove it from the cache, and fetch it again")


def _message(record: Record) -> str:
    """What the commit of a push says."""
    if isinstance(record, Imported):
        return f"weights by {record.source.by}"
    return f"{record.job.recipe_name}, seed {record.job.seed}"


def _client() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(library_name="zoo")


def _is_behind(error: BaseException) -> bool:
    """Whether a commit was refused because its parent is not the head any more."""
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(error, HfHubHTTPError) and error.response.status_code == 412


def _eval_results(record: Record) -> dict[str, bytes]:
    """The measured accuracies as a file of `.eval_results`, which the Hub reads; none where there are none."""
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
    """The hashes under which the Hub may know a file: SHA-256 (LFS), and git's SHA-1 of the blob."""
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
    """What a listing reads of a card: the zoo's own facts, and of `model-index` the first metric."""

    dataset: Line
    parameters: Positive
    plugin: Line
    license: Line
    evaluated: tuple[_Evaluated, ...] | None = None
    by: str | None = None  # who trained it, where the zoo did not
    claim: Percent | None = None  # top-1 by them, where nobody has measured it


def _listed(found: Iterable[object]) -> list[Listed]:
    """What the cards say; one with the tag that is not the zoo's is passed over, one of odd facts with a warning."""
    listed = []
    for one in found:
        card = one.get("cardData") if isinstance(one, Mapping) else None
        if not isinstance(one, Mapping) or not isinstance(card, Mapping) or not isinstance(card.get("zoo"), Mapping):
            continue
        try:
            listed.append(_row(from_json(str, one.get("id")), card))
        except SchemaError as error:
            message = f"hf://{str(one.get('id'))[:200]} is passed over, its card is not a model's: {error}"
            warnings.warn(HubWarning(message), stacklevel=3)
    return sorted(listed, key=lambda one: str(one.address))


def _row(repository: str, metadata: Mapping[str, Any]) -> Listed:
    """What a listing shows of a repository with a card of the zoo's; raises SchemaError for what can't be shown."""
    facts = {**metadata["zoo"], "license": metadata.get("license"), "evaluated": metadata.get("model-index")}
    card = from_json(_Card, facts)
    metrics = [one for model in card.evaluated or () for result in model.results for one in result.metrics]
    if not metrics and card.by is None:
        raise SchemaError("model-index has no metric")
    top1 = metrics[0].value if metrics else None
    namespace, _, name = repository.partition("/")
    if card.evaluated and card.evaluated[0].name != name:
        raise SchemaError(f"it is that of {card.evaluated[0].name[:100]!r}")
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
