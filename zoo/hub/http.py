"""Repeats requests that failed, and turns errors of HTTP and of the Hugging Face client into messages of one line."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from zoo.errors import HubError, NotFound, ZooError
from zoo.hub.address import Address

if TYPE_CHECKING:
    from tenacity import Retrying

T = TypeVar("T")

REDIRECTS = 10
ATTEMPTS = 4
LOG_IN = "log in with `hf auth login` (or set HF_TOKEN)"


def with_retries(call: Callable[[], T]) -> T:
    """Make a request, and repeat it after a temporary error; raises the last error."""
    return retrying(is_temporary)(call)


def download_with_retries(call: Callable[[], str]) -> str:
    """Download with the client, which resumes broken connections itself but does not repeat a 5xx."""
    return retrying(_server_failed)(call)


def retrying(condition: Callable[[BaseException], bool]) -> Retrying:
    """Call a function up to ATTEMPTS times, with pauses, while its error meets the condition."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

    return Retrying(
        retry=retry_if_exception(condition),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.2, max=5) + wait_random(0, 0.2),
        reraise=True,
    )


def is_temporary(error: BaseException) -> bool:
    """Whether an error is temporary: 429, 5xx or a broken connection."""
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # client 1.x: httpx, 2.x: httpx2

    broken = httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError
    return _server_failed(error) or isinstance(_cause(error), broken)


def _server_failed(error: BaseException) -> bool:
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    error = _cause(error)
    if not isinstance(error, HfHubHTTPError | httpx.HTTPStatusError):
        return False
    return error.response.status_code in (429, 500, 502, 503, 504)


def _cause(error: BaseException) -> BaseException:
    """The original error; the client wraps it when it uploads or forces a download."""
    from huggingface_hub.errors import HfHubHTTPError

    is_wrapper = isinstance(error, RuntimeError | ValueError) and not isinstance(error, HfHubHTTPError)
    return error.__cause__ if is_wrapper and error.__cause__ else error


@contextlib.contextmanager
def plain_errors(address: Address | str, revision: str | None = None) -> Iterator[None]:
    """Turn errors of HTTP and of the client into a HubError of one line, which never contains a token."""
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        plain = plain_error(error, address, revision)
        if plain is None:
            raise
        raise plain from None


def plain_error(raised: BaseException, address: Address | str, revision: str | None = None) -> HubError | None:
    """The HubError for an error of HTTP or of the client; None for any other error."""
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    error, where = _cause(raised), str(address)
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # the reason why the file was not downloaded
    match error:
        case UnicodeEncodeError():
            return HubError(f"{where}: the token has characters that are not ASCII; {LOG_IN}")
        case errors.HFValidationError():
            return HubError(f"{where}: the Hub refuses that name; expected letters, digits, '-', '_' and '.'")
        case errors.GatedRepoError():
            return HubError(f"{where} is gated; ask for access on its page and {LOG_IN}")
        case errors.RevisionNotFoundError():
            return NotFound(f"{where} has no revision {revision}; its page lists branches, tags and commits")
        case errors.RepositoryNotFoundError():
            return NotFound(f"{where} is not there, or is private; check the name, or {LOG_IN}")
        case errors.RemoteEntryNotFoundError():
            name = error.response.url.path.rpartition("/")[2]
            return NotFound(f"{where} has no {name}; its page lists its files")
        case errors.OfflineModeIsEnabled() | errors.LocalEntryNotFoundError():
            return HubError(f"{where} is not in the cache, and HF_HUB_OFFLINE is set; unset it to fetch the model")
        case errors.BadRequestError():
            return HubError(f"{where} is refused by the Hub (400): {short(error.server_message or error)}; correct it")
        case errors.HfHubHTTPError() | httpx.HTTPStatusError():
            return _status(error.response.status_code, where)
        case httpx.TimeoutException():
            return HubError(f"{where} did not answer in time; try again later")
        case httpx.ConnectError():
            remedies = "check the network and HF_ENDPOINT, or use a folder as the hub: file:PATH"
            return HubError(f"{where} can't be reached; {remedies if _is_hub(where) else short(error)}")
        case httpx.InvalidURL():
            return HubError(f"{where!r} is not an address ({short(error)}); expected https://host/path")
        case httpx.TooManyRedirects():
            return HubError(f"{where} redirects more than {REDIRECTS} times; expected a file")
        case httpx.HTTPError():
            return HubError(f"{where}: the connection broke off; try again")
        case OSError():
            return HubError(f"{where}: {_disk(error)}")
    return None


def _status(code: int, where: str) -> HubError:
    """The error for an HTTP status, of the Hugging Face Hub or of another server."""
    is_hub = _is_hub(where)
    if code in (404, 410):
        return NotFound(f"{where} is not there ({code}); check the address")
    if code in (401, 403) and not is_hub:
        return HubError(f"{where} needs a login ({code}); download it yourself, and give the path of the file")
    messages = {
        401: f"the Hub does not accept the token; {LOG_IN}",
        403: f"the token lacks the permission; with a token that may write, {LOG_IN}",
        412: "another push changed the repository during each attempt; try again later",
        429: "too many requests (429); wait a few minutes" + (", or log in for a higher limit" if is_hub else ""),
    }
    return HubError(f"{where}: {messages.get(code, f'the server failed ({code}); try again later')}")


def _is_hub(where: str) -> bool:
    return where.startswith("hf:") or "://" not in where


def _disk(error: OSError) -> str:
    """The message for an error when a file in the client's cache is read or written."""
    if error.errno == errno.ENOSPC:
        return "the disk of the Hub's cache is full; make room or name another with HF_HOME"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "the Hub's cache can't be written; name another with HF_HOME"
    if "Consistency check failed" in str(error):
        return "the download was cut off; try again"
    return short(error)


def short(error: Exception | str) -> str:
    """The text of an error in one line of up to 300 characters, or its type if it has no text."""
    return " ".join(str(error).split())[:300] or type(error).__name__
