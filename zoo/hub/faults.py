"""What goes wrong with the Hugging Face Hub: one line for a person, and what is tried again first.

The client's errors come in here and HubErrors with a remedy go out; docs/hub-faults.md has a row for each.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from zoo.errors import HubError, NotFound, ZooError

if TYPE_CHECKING:
    from tenacity import Retrying

    from zoo.hub.address import Address

T = TypeVar("T")

ATTEMPTS = 4
LOG_IN = "log in with `hf auth login` (or set HF_TOKEN)"


def patiently(call: Callable[[], T]) -> T:
    """Make a call that may be repeated, and repeat it with back-off where what went wrong may pass."""
    return _retrying(is_passing)(call)


def download(call: Callable[[], str]) -> str:
    """Make a call that downloads; the client itself goes on where a connection broke off, but not after a 5xx."""
    return _retrying(_stumbled)(call)


def _retrying(passing: Callable[[BaseException], bool]) -> Retrying:
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

    return Retrying(
        retry=retry_if_exception(passing),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.2, max=5) + wait_random(0, 0.2),
        reraise=True,
    )


def is_passing(error: BaseException) -> bool:
    """Whether the Hub itself stumbled or a connection broke off; a door that is shut is not knocked at again."""
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # client 1.x: httpx, 2.x: httpx2

    broken = httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError
    return _stumbled(error) or isinstance(_cause(error), broken)


def _stumbled(error: BaseException) -> bool:
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    error = _cause(error)
    if not isinstance(error, HfHubHTTPError | httpx.HTTPStatusError):
        return False
    return error.response.status_code in (429, 500, 502, 503, 504)


def _cause(error: BaseException) -> BaseException:
    """What went wrong, out of what the client wraps around it when it uploads or forces a download."""
    return error.__cause__ if isinstance(error, RuntimeError | ValueError) and error.__cause__ else error


@contextlib.contextmanager
def said_plainly(place: Address | str, revision: str | None = None) -> Iterator[None]:
    """Turn what the client raises into one line that says what to do; never with a token in it."""
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        plain = _plain(_cause(error), place, revision)
        if plain is None:
            raise
        raise plain from None


def _plain(error: BaseException, place: Address | str, revision: str | None) -> HubError | None:
    """The one line for an error of the client's; None where it is none of those that a person can mend."""
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # why it could not be fetched
    match error:
        case UnicodeEncodeError():
            return HubError(f"{place}: the token has characters that no token has; {LOG_IN}")
        case errors.HFValidationError():
            return HubError(f"{place}: the Hub refuses that name; expected letters, digits, '-', '_' and '.'")
        case errors.GatedRepoError():
            return HubError(f"{place} is gated; ask for access on its page and {LOG_IN}")
        case errors.RevisionNotFoundError():
            return NotFound(f"{place} has no revision {revision}; its page lists branches, tags and commits")
        case errors.RepositoryNotFoundError():
            return NotFound(f"{place} is not there, or is private; check the name, or {LOG_IN}")
        case errors.RemoteEntryNotFoundError():
            name = error.response.url.path.rpartition("/")[2]
            return NotFound(f"{place} is not a model folder: it has no {name}")
        case errors.HfHubHTTPError():
            return HubError(f"{place}: {_status(error.response.status_code)}")
        case errors.OfflineModeIsEnabled() | errors.LocalEntryNotFoundError():
            return HubError(f"{place} is not in the cache, and HF_HUB_OFFLINE is set; unset it to fetch the model")
        case httpx.TimeoutException():
            return HubError(f"{place}: the Hub did not answer in time; try again later")
        case httpx.ConnectError():
            remedies = "check the network and HF_ENDPOINT, or name a folder with --hub file:PATH"
            return HubError(f"{place} can't be reached; {remedies}")
        case httpx.HTTPError():
            return HubError(f"{place}: the connection broke off; try again")
        case OSError():
            return HubError(f"{place}: {_disk(error)}")
    return None


def _status(code: int) -> str:
    return {
        401: f"the Hub does not accept the token; {LOG_IN}",
        403: f"the token may not do that; {LOG_IN} with one that may write",
        412: "others push there too, again and again; try again later",
        429: "too many requests (429); wait a few minutes, or log in for a higher limit",
    }.get(code, f"the Hub failed ({code}); try again later")


def _disk(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk of the Hub's cache is full; make room or name another with HF_HOME"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "the Hub's cache can't be written; name another with HF_HOME"
    if "Consistency check failed" in str(error):
        return "the download was cut off; try again"
    return (str(error).splitlines() or [type(error).__name__])[0]
