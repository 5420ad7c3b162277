"""The Hugging Face Hub: a model is a repository, a push is one commit, a pull is one commit's files.

The client checks sizes, never hashes, and keeps what it once got: so a pull ends with the hash of the
weights, and damage is fetched again, once. Pushes go onto a parent that is named, so that one who
comes between is noticed and nothing is repeated blindly.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from zoo.decoding import Line, Percent, Positive, SchemaError, from_json
from zoo.errors import FolderError, HashMismatch, HubError, HubWarning, NotFound, OtherFormat
from zoo.hub.address import Address, not_a_hub
from zoo.hub.faults import ATTEMPTS, LOG_IN, download, is_passing, patiently, said_plainly
from zoo.hub.protocol import Listed, Pushed
from zoo.record import store
from zoo.record.types import PRESENTATION, File, Imported, Record, Trained

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

TAG = "zoo"  # what the cards of the zoo's models carry, and what a listing asks for
COMMIT = re.compile(r"[0-9a-f]{40}")
IDENTITY = re.compile(r"[0-9a-f]{64}")  # of a folder: the tag of the commit that it was pushed as
DIGITS = re.compile(r"[0-9a-f]{4,63}")
TIMEOUT = 10  # seconds
REMEDIES = f"{LOG_IN}, or name a folder with --hub file:PATH"


def open_namespace(address: Address) -> HuggingFaceHub:
    """The hub at `hf://namespace` or `hf://`; raises HubError for what can't be a namespace."""
    if "/" in address.place or "@" in address.place:
        raise not_a_hub(address)
    if find_spec("huggingface_hub") is None:  # a plain checkout does without, for all but this
        remedies = "install it with: pip install huggingface_hub, or name a folder with --hub file:PATH"
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
        with said_plainly(self.address.model(name)):
            validate_repo_id(f"{self.namespace}/{name}")
        if account.get("auth", {}).get("accessToken", {}).get("role") == "read":
            raise HubError(f"the token of {account['name']} may only read; with one that may write, {REMEDIES}")
        organisations = sorted(one["name"] for one in account.get("orgs", []))
        if self.namespace not in (account["name"], *organisations):
            expected = " or ".join(str(_address(one)) for one in (account["name"], *organisations))
            raise HubError(f"{account['name']} may not write to {self.address}; expected {expected}")

    def push(self, folder: Path, name: str) -> Pushed:
        """Create the repository where it is not there, commit the whole folder onto its head, tag the commit.

        The same bytes again make no commit. What was published is pulled back and compared.
        """
        config = store.check_whole(folder)
        place, repository = self.address.model(name), f"{self.namespace}/{name}"
        with said_plainly(place):
            patiently(lambda: self._api.create_repo(repository, exist_ok=True))
            commit = self._commit(repository, folder, _message(config))
            identity = store.identity(folder)
            patiently(lambda: self._api.create_tag(repository, tag=identity, revision=commit, exist_ok=True))
            self._compare(repository, commit, folder)
        return Pushed(place, commit)

    def facts(self, name: str, revision: str | None = None) -> Record:
        """Read config.json, for which no other file is fetched."""
        return store.read_record(self._brought(name, revision, lambda config: (), store.read_record))

    def pull(self, name: str, revision: str | None = None, *, weights: bool = True) -> Path:
        """Bring a model into the Hub's own cache: one commit for every file, the weights' hash checked.

        What is cached at a commit is used without a request. Damage is fetched again, once.
        """
        if weights:
            return self._brought(name, revision, _files, store.check)
        return self._brought(name, revision, _files_beside_weights, _require_readable)

    def other_weights(self, name: str, commit: str) -> File:
        """The SHA-256 and size that the Hub has of the weights in another library's repository; fetches none.

        Raises NotFound where there are none, or HubError.
        """
        from huggingface_hub import hf_hub_url, try_to_load_from_cache

        place, repository = self.address.model(name), f"{self.namespace}/{name}"
        try:
            with said_plainly(place, commit):
                url = hf_hub_url(repository, store.WEIGHTS, revision=commit, endpoint=self._api.endpoint)
                facts = patiently(lambda: self._api.get_hf_file_metadata(url=url, timeout=TIMEOUT))
        except NotFound:
            raise
        except HubError:  # without a network: the cache names a file by its hash
            cached = try_to_load_from_cache(repository, store.WEIGHTS, revision=commit)
            if isinstance(cached, str) and IDENTITY.fullmatch((blob := Path(cached).resolve()).name):
                return File(blob.name, blob.stat().st_size)
            raise
        if facts.size is None or not IDENTITY.fullmatch(facts.etag or ""):
            raise HubError(f"the Hub gives no SHA-256 of {place}'s {store.WEIGHTS}; fetch it yourself, name its folder")
        return File(str(facts.etag), facts.size)

    def other_file(self, name: str, commit: str, file: str, *, anew: bool = False) -> Path:
        """A file of another library's repository at a commit, in the cache; `anew` fetches it where it is there too.

        Raises NotFound or HubError.
        """
        with said_plainly(self.address.model(name), commit):
            return self._fetch(f"{self.namespace}/{name}", commit, file, force_download=anew)

    def revisions(self, name: str) -> list[str]:
        """The main branch's commits, newest first, without the empty one that the Hub begins a repository with."""
        place, repository = self.address.model(name), f"{self.namespace}/{name}"
        with said_plainly(place):
            # Asked first, with a time-out: the client's listing would knock for 23 seconds at a door that is shut.
            patiently(lambda: self._api.model_info(repository, timeout=TIMEOUT))
            commits = [one.commit_id for one in patiently(lambda: self._api.list_repo_commits(repository))]
            if not patiently(lambda: self._api.file_exists(repository, store.CONFIG, revision=commits[-1])):
                commits.pop()
        if not commits:
            raise NotFound(f"{place} is not a model folder: nothing was pushed to it yet")
        return commits

    def models(self) -> list[Listed]:
        """The namespace's models that carry the zoo's tag, from their cards, in one request."""
        with said_plainly(self.address):
            return _listed(_find({"author": self.namespace}))

    def search(self, text: str) -> list[Listed]:
        """The zoo's models with this text in their repository's name; without a namespace, the whole Hub's."""
        query = {"search": text} if self._namespace is None else {"search": text, "author": self._namespace}
        with said_plainly("the Hugging Face Hub"):
            return _listed(_find(query))

    @functools.cached_property
    def _api(self) -> HfApi:
        return _client()

    def _account(self) -> dict[str, Any]:
        from huggingface_hub import get_token

        if get_token() is None:
            raise HubError(f"no account is logged in to the Hugging Face Hub; {REMEDIES}")
        with said_plainly("the Hugging Face Hub"):
            return patiently(self._api.whoami)

    def _commit(self, repository: str, source: Path, message: str) -> str:
        """Commit the folder onto the head, and look again where somebody came between or the answer was lost."""
        from huggingface_hub.errors import HfHubHTTPError

        operations = _operations(source)
        for attempt in range(ATTEMPTS):
            head = str(patiently(lambda: self._api.model_info(repository, timeout=TIMEOUT)).sha)
            if self._has(repository, head, operations):
                return head
            try:
                return self._api.create_commit(repository, operations, commit_message=message, parent_commit=head).oid
            except Exception as error:
                moved = isinstance(error, HfHubHTTPError) and error.response.status_code == 412
                if not (moved or is_passing(error)) or attempt == ATTEMPTS - 1:
                    raise
                operations = _operations(source)
        raise AssertionError("the last attempt returns or raises")

    def _has(self, repository: str, commit: str, operations: Iterable[CommitOperationAdd]) -> bool:
        """Whether a commit has these very files already, by the Hub's own hashes."""
        from huggingface_hub.hf_api import RepoFile

        tree = patiently(lambda: list(self._api.list_repo_tree(repository, revision=commit, recursive=True)))
        there = {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in tree if isinstance(one, RepoFile)}
        return all(there.get(one.path_in_repo) in _hashes(one) for one in operations)

    def _compare(self, repository: str, commit: str, source: Path) -> None:
        """Pull a commit into a scratch cache and hold it against the folder it was made of."""
        with tempfile.TemporaryDirectory(prefix="zoo-") as scratch:

            def fetch(name: str) -> str:
                return self._api.hf_hub_download(repository, name, revision=commit, cache_dir=scratch)

            for name in (*store.files_of(store.read_record(source)), *store.presentation(source)):
                path = download(functools.partial(fetch, name))
                if Path(path).read_bytes() != (source / name).read_bytes():
                    raise HubError(f"hf://{repository} has another {name} than was pushed; push it again")

    def _resolve(self, repository: str, revision: str | None) -> tuple[str, str | None]:
        """The commit that a revision stands for now, and the folder's id where that is what was given.

        Without a network, it is the commit it stood for when last seen. A commit or an id may be given by
        its first digits, where the Hub knows no branch or tag of that name.
        """
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import RevisionNotFoundError

        if revision is not None and COMMIT.fullmatch(revision):
            return revision, None
        branch = revision or "main"
        if not isinstance(try_to_load_from_cache(repository, store.CONFIG, revision=branch), str):
            # With nothing cached, the client would knock for 23 seconds at a door that is shut.
            try:
                patiently(lambda: self._api.model_info(repository, revision=revision, timeout=TIMEOUT))
            except RevisionNotFoundError:
                if not DIGITS.fullmatch(branch) or (found := self._begins_with(repository, branch)) is None:
                    raise
                return found
        path = download(lambda: self._api.hf_hub_download(repository, store.CONFIG, revision=branch))
        return Path(path).parent.name, branch if IDENTITY.fullmatch(branch) else None

    def _begins_with(self, repository: str, digits: str) -> tuple[str, str | None] | None:
        """The one commit, or the one id and its commit, that begins with these digits; None where there is none."""
        tags = patiently(lambda: self._api.list_repo_refs(repository)).tags
        commits = patiently(lambda: self._api.list_repo_commits(repository))
        named: list[tuple[str, str | None]] = [(one.commit_id, None) for one in commits]
        named += [(one.target_commit, one.name) for one in tags if IDENTITY.fullmatch(one.name)]
        fitting = [one for one in named if (one[1] or one[0]).startswith(digits)]
        if len(fitting) > 1:
            raise NotFound(f"hf://{repository} has several revisions that begin with {digits!r}; give more digits")
        return fitting[0] if fitting else None

    def _brought(
        self,
        name: str,
        revision: str | None,
        files: Callable[[Record], Iterable[str]],
        check: Callable[[Path], object],
    ) -> Path:
        """The folder in the cache with these files of one commit; what is found damaged is fetched again, once.

        `files` says what is wanted beside config.json, by what that one says.
        Its config.json is held against the Hub's own name for these bytes, and against the folder's id where
        that was asked for; `check` holds the rest against its config.json.
        """
        from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

        place, repository = self.address.model(name), f"{self.namespace}/{name}"
        with said_plainly(place, revision):
            commit, identity = self._resolve(repository, revision)

        def brought(*, anew: bool) -> Path:
            with said_plainly(place, revision):
                path = self._fetch(repository, commit, store.CONFIG, force_download=anew).parent
                _require_same(path, identity)
                for one in files(store.read_record(path)):
                    absent = (RemoteEntryNotFoundError, LocalEntryNotFoundError) if one in PRESENTATION else ()
                    with contextlib.suppress(*absent):
                        self._fetch(repository, commit, one, force_download=anew)
            check(path)
            return path

        try:
            return brought(anew=False)
        except OtherFormat:
            raise
        except FolderError as damage:
            try:
                return brought(anew=True)
            except HubError as error:
                raise type(damage)(f"{damage}; that failed: {error}") from None

    def _fetch(self, repository: str, commit: str, name: str, *, force_download: bool = False) -> Path:
        """Download a file of a model folder at a commit; what is cached costs no request."""
        return Path(
            download(
                lambda: self._api.hf_hub_download(repository, name, revision=commit, force_download=force_download)
            )
        )


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

    Through the client's session, not its `list_models`: that one knocks for 23 seconds, and aloud, at a Hub
    that can't be reached. A page at another host is not asked for: the token goes with every request.
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


def _require_readable(folder: Path) -> None:
    """Make sure that a folder without weights can be read; raises FolderError."""
    if isinstance(store.read_record(folder), Trained):
        store.read_log(folder)


def _files(config: Record) -> list[str]:
    return [*store.files_of(config), *PRESENTATION]


def _files_beside_weights(config: Record) -> list[str]:
    return [one for one in _files(config) if one != store.WEIGHTS]


def _message(config: Record) -> str:
    """What the commit of a push says."""
    if isinstance(config, Imported):
        return f"weights by {config.source.by}"
    return f"{config.job.recipe_name}, seed {config.job.seed}"


def _client() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(library_name="zoo")


def _operations(source: Path) -> list[CommitOperationAdd]:
    """A folder's files, and its results once more in the form that the Hub is going to read."""
    from huggingface_hub import CommitOperationAdd

    names = [*store.files_of(store.read_record(source)), *store.presentation(source)]
    files = [CommitOperationAdd(path_in_repo=one, path_or_fileobj=source / one) for one in names]
    if store.README not in names:
        return files
    results = CommitOperationAdd(path_in_repo=".eval_results/zoo.yaml", path_or_fileobj=_eval_results(source))
    return [*files, results]


def _eval_results(source: Path) -> bytes:
    """The card's `model-index` as entries of `.eval_results`."""
    from huggingface_hub import EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml
    from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

    card = ModelCard((source / store.README).read_text(encoding="utf-8")).data
    results = card.eval_results if isinstance(card, ModelCardData) else None
    entries = [
        EvalResultEntry(dataset_id=one.dataset_type, task_id=str(one.metric_name), value=one.metric_value)
        for one in results or []
    ]
    return str(yaml_dump(eval_result_entries_to_yaml(entries), sort_keys=False)).encode()


def _hashes(operation: CommitOperationAdd) -> tuple[str, str]:
    with operation.as_file() as file:
        return _hashes_of(file.read())


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


@dataclass(frozen=True)
class _Card:
    """What a listing reads of a card: the zoo's own facts, and of `model-index` the first metric."""

    dataset: Line
    parameters: Positive
    plugin: Line
    license: Line
    evaluated: tuple[_Evaluated, ...] | None = None
    by: str | None = None  # who trained it, where the zoo did not


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
    return Listed(
        name=name,
        address=_address(namespace).model(name),
        dataset=card.dataset,
        parameters=card.parameters,
        license=card.license,
        test_top1=top1,
        plugin=card.plugin,
    )
