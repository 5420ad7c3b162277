"""The Hugging Face Hub: a model folder is a model repository, a push is one commit."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import folder
from zoo.errors import HubError, NotFound
from zoo.hub import Listed, Published

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TAG = "zoo"  # what the cards of the zoo's models carry, and what a listing asks for
REMEDIES = "log in with `hf auth login` (or set HF_TOKEN), or name a folder with --hub file:PATH"


class HuggingFaceHub:
    """The hub `hf://namespace`; without a namespace, that of the account that is logged in."""

    def __init__(self, namespace: str | None) -> None:
        self._namespace = namespace

    @functools.cached_property
    def namespace(self) -> str:
        """The user or organisation; raises HubError where it is nobody's and nobody is logged in."""
        return self._namespace or str(self._account()["name"])

    @property
    def address(self) -> str:
        """`hf://` and the namespace."""
        return f"hf://{self.namespace}"

    @functools.cached_property
    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        return HfApi(library_name="zoo")

    def check(self, name: str) -> None:
        """Make sure that a token is there, is accepted, and may write to this namespace."""
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

        account = self._account()
        with _said_plainly(f"{self.address}/{name}"):
            validate_repo_id(f"{self.namespace}/{name}")
        token = account.get("auth", {}).get("accessToken", {})
        if token.get("role") == "read":
            raise HubError(f"the token of {account['name']} may only read; {REMEDIES} with a token that may write")
        groups = {one["name"]: one.get("roleInOrg") for one in account.get("orgs", [])}
        if self.namespace != account["name"] and self.namespace not in groups:
            raise HubError(
                f"{account['name']} may not write to {self.address}; expected hf://{account['name']}"
                + (f" or an organisation of theirs: {', '.join(sorted(groups))}" if groups else "")
            )

    def push(self, source: Path, name: str) -> Published:
        """Create the repository where it is not there and commit the whole folder onto its head."""
        from huggingface_hub import CommitOperationAdd

        config = folder.check(source)
        repository = f"{self.namespace}/{name}"
        with _said_plainly(f"hf://{repository}"):
            self._api.create_repo(repository, exist_ok=True)
            head = self._api.model_info(repository).sha
            commit = self._api.create_commit(
                repository,
                [CommitOperationAdd(path_in_repo=one, path_or_fileobj=source / one) for one in folder.FILES],
                commit_message=f"{config.name}: {config.results.test_top1:.2f}% top-1 ({config.recipe_name})",
                parent_commit=head,
            )
        return Published(f"hf://{repository}", commit.oid)

    def pull(self, name: str, revision: str | None = None) -> Path:
        """Download into the Hub's own cache: the revision is resolved once, and used for every file."""
        repository = f"{self.namespace}/{name}"
        with _said_plainly(f"hf://{repository}"):
            commit = self._api.model_info(repository, revision=revision).sha
            where = self._api.snapshot_download(repository, revision=commit, allow_patterns=list(folder.FILES))
        path = Path(where)
        folder.read_config(path)
        return path

    def models(self) -> list[Listed]:
        """The namespace's models that carry the zoo's tag."""
        with _said_plainly(self.address):
            repositories = [one.id for one in self._api.list_models(author=self.namespace, filter=TAG)]
        names = sorted(repository.partition("/")[2] for repository in repositories)
        return [Listed(name, f"{self.address}/{name}", self._config(name)) for name in names]

    def _config(self, name: str) -> folder.Config:
        repository = f"{self.namespace}/{name}"
        with _said_plainly(f"hf://{repository}"):
            path = self._api.hf_hub_download(repository, folder.CONFIG)
        return folder.read_config(Path(path).parent)

    def _account(self) -> dict[str, Any]:
        from huggingface_hub import get_token

        if get_token() is None:
            raise HubError(f"no account is logged in to the Hugging Face Hub; {REMEDIES}")
        with _said_plainly("the Hugging Face Hub"):
            return self._api.whoami()


@contextlib.contextmanager
def _said_plainly(place: str) -> Iterator[None]:
    """Turn what the client raises into one line; never with a token in it."""
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # 1.x: httpx, 2.x: httpx2

    try:
        yield
    except errors.HFValidationError as error:
        raise HubError(f"{place}: the Hub refuses that name ({_line(error)})") from None
    except errors.GatedRepoError:
        raise HubError(f"{place} is gated; ask for access on its page, then {REMEDIES}") from None
    except errors.RevisionNotFoundError:
        raise NotFound(f"{place} has no such revision; its page lists branches, tags and commits") from None
    except errors.RepositoryNotFoundError:
        raise NotFound(f"{place} is not there, or is private; check the name, or {REMEDIES}") from None
    except errors.EntryNotFoundError as error:
        raise NotFound(f"{place} lacks a file of a model folder ({_line(error)})") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status == 401:
            raise HubError(f"{place}: the Hub does not accept the token; {REMEDIES}") from None
        if status == 403:
            raise HubError(f"{place}: the token may not do that; {REMEDIES}") from None
        raise HubError(f"{place}: the Hub answered {status}; try again later") from None
    except (httpx.HTTPError, OSError) as error:
        raise HubError(
            f"{place} can't be reached ({_line(error)}); check the network and HF_ENDPOINT, "
            "or name a folder with --hub file:PATH"
        ) from None


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
