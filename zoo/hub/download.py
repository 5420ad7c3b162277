"""Files by URL, kept in a cache; retries; and what errors of HTTP and of the Hub's client mean, in one line each.

A source is a path, `https://…` or `hf://namespace/repository/path@REVISION`. What was fetched is kept, under the hash
of its content, in ZOO_CACHE or ~/.cache/zoo:

    downloads/SHA256/NAME               the file
    downloads/addresses/SHA256.json     of an address, by its hash: what was fetched from there (`_Kept`)

Who asks again, by the address or by the hash, gets that without a request; it is hashed whenever it is read. An address
that names no revision and no hash stays what it was when it was first fetched.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from zoo.decoding import SchemaError, from_json
from zoo.errors import FolderError, HashMismatch, HubError, NotFound, OtherFormat, ZooError
from zoo.hub.address import Address
from zoo.record.paths import cache
from zoo.record.replace import write_file
from zoo.record.types import File

if TYPE_CHECKING:
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]
    from tenacity import Retrying

T = TypeVar("T")

MOST = 2**30  # bytes
TIMEOUT = 10  # seconds, to connect and between two pieces
REDIRECTS = 10
ATTEMPTS = 4
LOG_IN = "log in with `hf auth login` (or set HF_TOKEN)"
LOOPBACK = ("127.0.0.1", "localhost")
SHA256 = re.compile(r"[0-9a-f]{64}")
DIGITS = re.compile(r"-([0-9a-f]{8})\.")  # torch.hub's convention: the first of the SHA-256, at the name's end
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
HUB_FILE = re.compile(r"hf://(?P<repository>[^/@]+/[^/@]+)/(?P<path>.+?)(?:@(?P<revision>[^@]+))?")


@dataclass(frozen=True, eq=False)
class Fetched:
    """A file that is here: its bytes, hashed, and where they are from, with the commit where there is one."""

    content: bytes = field(repr=False)
    address: str
    name: str
    sha256: str

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content)


@dataclass(frozen=True)
class _Wanted:
    """What is known of a file before it is fetched, None for what is not."""

    sha256: str | None
    size: int | None
    most: int

    def problem(self, found: Fetched) -> str | None:
        """By what a file is another than the one that is wanted; None where it may be that one."""
        if self.sha256 is not None and found.sha256 != self.sha256:
            return f"has SHA-256 {found.sha256}, expected {self.sha256}; it is damaged or another file"
        if (digits := DIGITS.search(found.name)) and not found.sha256.startswith(digits[1]):
            return (
                f"has SHA-256 {found.sha256}, expected one that begins with {digits[1]}, as torch.hub's convention "
                "reads its name; it is damaged, another file, or should have another name"
            )
        if self.size is not None and found.size != self.size:
            return f"has {found.size:,} bytes, expected {self.size:,}; it is cut off or another file"
        return None

    def require_bearable(self, place: str, size: int) -> None:
        """Raise HubError for a size that is too much to be read."""
        if size > self.most:
            raise HubError(f"{place} has more than {self.most:,} bytes, the most that is fetched; is it the file?")


@dataclass(frozen=True)
class _Kept:
    """What was found at an address."""

    asked: str
    address: str
    sha256: str


def fetch(
    source: str | Path,
    *,
    sha256: str | None = None,
    bytes: int | None = None,  # noqa: A002
    most: int = MOST,
) -> Fetched:
    """The file at a source, of up to `most` bytes; what was fetched before costs no request.

    `sha256` (64 hex digits) and `bytes`, its size, are held against it where they are given, and so is the beginning of
    a hash in its name, `NAME-12fca82f.pth`. Raises NotFound, HubError or HashMismatch.
    """
    if sha256 is not None and not SHA256.fullmatch(sha256 := sha256.lower()):
        raise HubError(f"{sha256!r} is no SHA-256; expected 64 hex digits")
    text, wanted = str(source), _Wanted(sha256, bytes, most)
    if isinstance(source, Path) or not SCHEME.match(text):
        return _sound(_from_path(Path(text).expanduser(), wanted), wanted)
    name = file_name(text)
    kept = _kept(text, name, wanted)
    if kept is not None:
        return kept
    found = _sound(_from_hub(text, name, wanted) if text.startswith("hf:") else _from_web(text, name, wanted), wanted)
    _keep(text, found)
    return found


def _sound(found: Fetched, wanted: _Wanted) -> Fetched:
    if (problem := wanted.problem(found)) is not None:
        raise HashMismatch(f"{found.address} {problem}")
    return found


def _fetched(content: bytes, address: str, name: str) -> Fetched:
    return Fetched(content, address, name, File.of(content).sha256)


def file_name(address: str) -> str:
    """The name of the file at an address, fit for a folder; raises HubError for what is no file's address."""
    try:
        parts = urlsplit(address)
        host, who = parts.hostname, parts.username
    except ValueError:
        raise HubError(f"{address!r} is no address; expected https://host/path") from None
    if parts.scheme == "hf":
        match = HUB_FILE.fullmatch(address)
        if match is None or {"", ".", ".."} & set(match["path"].split("/")):
            raise HubError(f"{address!r} names no file; expected hf://namespace/repository/path, with @revision or not")
        path = match["path"]
    elif parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK):
        if who is not None:
            raise HubError(f"the address at {host} has a user's name in it; nobody is logged in there: leave it out")
        path = unquote(parts.path)
    else:
        raise HubError(f"{address!r} is not fetched from; expected a path, https://… or hf://…")
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.rpartition("/")[2]).lstrip(".-")[-100:]
    if not name:
        raise HubError(f"{address!r} names no file; expected one at its end")
    return name


# -- from where it is ------------------------------------------------------------------------------


def _from_path(path: Path, wanted: _Wanted) -> Fetched:
    if not path.is_file():
        raise NotFound(f"there is no file {path}; expected a path, https://… or hf://…")
    try:
        wanted.require_bearable(str(path), path.stat().st_size)
        return _fetched(path.read_bytes(), str(path), path.name)
    except OSError as error:
        raise HubError(f"{path} can't be read: {error.strerror}") from None


def _from_web(address: str, name: str, wanted: _Wanted) -> Fetched:
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # client 1.x: httpx, 2.x: httpx2

    def require_followed(request: httpx.Request) -> None:
        """Refuse a redirect to another protocol, or with a user's name; https never leads to http."""
        url = request.url
        plain = url.scheme == "http" and url.host in LOOPBACK and address.startswith("http:")
        if url.userinfo or not (url.scheme == "https" or plain):
            raise HubError(
                f"{address} redirects to {url.scheme}://{url.host}, which is not followed; "
                "expected https without a user's name"
            )

    def read() -> bytes:
        with (
            httpx.Client(
                timeout=TIMEOUT,
                headers={"Accept-Encoding": "identity"},  # so that the announced size is the file's
                follow_redirects=True,
                max_redirects=REDIRECTS,
                event_hooks={"request": [require_followed]},
            ) as client,
            client.stream("GET", address) as response,
        ):
            response.raise_for_status()
            wanted.require_bearable(address, int(response.headers.get("Content-Length", 0)))
            content = bytearray()
            for piece in response.iter_bytes():
                content += piece
                wanted.require_bearable(address, len(content))
            return bytes(content)

    with plain_errors(address):
        return _fetched(patiently(read), address, name)


def _from_hub(address: str, name: str, wanted: _Wanted) -> Fetched:
    """A file of a repository of the Hugging Face Hub, at the commit that its revision stands for now."""
    from huggingface_hub import HfApi, hf_hub_url

    match = HUB_FILE.fullmatch(address)
    assert match is not None
    repository, path, revision = match["repository"], match["path"], match["revision"]
    api = HfApi(library_name="zoo")
    with plain_errors(f"hf://{repository}", revision):
        url = hf_hub_url(repository, path, revision=revision, endpoint=api.endpoint)
        facts = patiently(lambda: api.get_hf_file_metadata(url=url, timeout=TIMEOUT))
        wanted.require_bearable(address, facts.size or 0)
        # In a cache of its own: what the client once got, it believes for good.
        with tempfile.TemporaryDirectory(prefix=".hf-", dir=_made(_downloads())) as scratch:
            file = downloaded(
                lambda: api.hf_hub_download(repository, path, revision=facts.commit_hash, cache_dir=scratch)
            )
            found = _fetched(Path(file).read_bytes(), f"hf://{repository}/{path}@{facts.commit_hash}", name)
    stored = facts.etag if facts.etag and SHA256.fullmatch(facts.etag) else None  # what the Hub says of large files
    return _sound(found, _Wanted(stored, facts.size, wanted.most))


# -- the cache -------------------------------------------------------------------------------------


def _downloads() -> Path:
    return cache() / "downloads"


def _row(address: str) -> Path:
    return _downloads() / "addresses" / f"{File.of(address.encode()).sha256}.json"


def _kept(address: str, name: str, wanted: _Wanted) -> Fetched | None:
    """What was fetched before from this address, or has the hash that is wanted; None where neither is there, whole."""
    candidates = [] if wanted.sha256 is None else [_Kept(address, address, wanted.sha256)]
    with contextlib.suppress(OSError, ValueError, SchemaError, RecursionError):
        values: Any = json.loads(_row(address).read_text(encoding="utf-8"))
        row = from_json(_Kept, values)
        if row.asked == address and SHA256.fullmatch(row.sha256):
            candidates.insert(0, row)
    for one in candidates:
        content = _content(one.sha256)
        if content is not None:
            found = Fetched(content, one.address, name, one.sha256)
            if wanted.problem(found) is None:
                return found
    return None


def _content(sha256: str) -> bytes | None:
    """The file of this hash in the cache; None where there is none that has it."""
    with contextlib.suppress(OSError):
        for path in (_downloads() / sha256).iterdir():
            content = path.read_bytes()
            if File.of(content).sha256 == sha256:
                return content
    return None


def _keep(asked: str, found: Fetched) -> None:
    """Leave a file for the next time, also under the address that names its commit; raises HubError."""
    try:
        if _content(found.sha256) is None:
            write_file(_downloads() / found.sha256 / found.name, found.content)
        for address in dict.fromkeys((asked, found.address)):
            kept = _Kept(address, found.address, found.sha256)
            write_file(_row(address), json.dumps(dataclasses.asdict(kept)).encode())
    except OSError as error:
        raise _unwritable(error) from None


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(error) from None
    return folder


def _unwritable(error: OSError) -> HubError:
    return HubError(f"{_downloads()} can't be written ({error.strerror}); make room or name another with ZOO_CACHE")


# -- what passes, and what is said of what doesn't -------------------------------------------------


def patiently(call: Callable[[], T]) -> T:
    """Make a call that may be repeated, and repeat it with back-off where the error may pass."""
    return retrying(is_passing)(call)


def downloaded(call: Callable[[], str]) -> str:
    """Make a call of the client that downloads; it resumes a broken connection itself, but gives up after a 5xx."""
    return retrying(_server_failed)(call)


def healed(read: Callable[[bool], T]) -> T:
    """Read what may be in a cache, `read(False)`; where that is damaged it is fetched again, once: `read(True)`.

    Raises FolderError or HashMismatch where it is damaged again, or can't be fetched again.
    """
    try:
        return read(False)
    except OtherFormat:
        raise
    except FolderError as damage:
        try:
            return read(True)
        except HubError as error:
            raise type(damage)(f"{damage}; that failed: {error}") from None


def is_passing(error: BaseException) -> bool:
    """Whether an error may pass: 429 and 5xx, a broken connection; what refuses is not asked again."""
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # client 1.x: httpx, 2.x: httpx2

    broken = httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError
    return _server_failed(error) or isinstance(_cause(error), broken)


@contextlib.contextmanager
def plain_errors(where: Address | str, revision: str | None = None) -> Iterator[None]:
    """Turn errors of HTTP and of the Hub's client into a HubError of one line, with what to do; never with a token."""
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        plain = plain_error(error, where, revision)
        if plain is None:
            raise
        raise plain from None


def retrying(passes: Callable[[BaseException], bool]) -> Retrying:
    """Calls again, up to ATTEMPTS times with back-off, where the error is one that passes."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

    return Retrying(
        retry=retry_if_exception(passes),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.2, max=5) + wait_random(0, 0.2),
        reraise=True,
    )


def _server_failed(error: BaseException) -> bool:
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    error = _cause(error)
    if not isinstance(error, HfHubHTTPError | httpx.HTTPStatusError):
        return False
    return error.response.status_code in (429, 500, 502, 503, 504)


def _cause(error: BaseException) -> BaseException:
    """The error itself, out of what the client wraps around it when it uploads or forces a download."""
    from huggingface_hub.errors import HfHubHTTPError

    is_wrapper = isinstance(error, RuntimeError | ValueError) and not isinstance(error, HfHubHTTPError)
    return error.__cause__ if is_wrapper and error.__cause__ else error


def plain_error(raised: BaseException, address: Address | str, revision: str | None = None) -> HubError | None:
    """The HubError of one line for an error of HTTP or of the Hub's client; None for any other."""
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    error, where = _cause(raised), str(address)
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # why it could not be fetched
    match error:
        case UnicodeEncodeError():
            return HubError(f"{where}: the token has characters that no token has; {LOG_IN}")
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
            remedies = "check the network and HF_ENDPOINT, or name a folder: file:PATH"
            return HubError(f"{where} can't be reached; {remedies if _is_hub(where) else short(error)}")
        case httpx.InvalidURL():
            return HubError(f"{where!r} is no address ({short(error)}); expected https://host/path")
        case httpx.TooManyRedirects():
            return HubError(f"{where} redirects more than {REDIRECTS} times; expected a file")
        case httpx.HTTPError():
            return HubError(f"{where}: the connection broke off; try again")
        case OSError():
            return HubError(f"{where}: {_disk(error)}")
    return None


def _status(code: int, where: str) -> HubError:
    """What an HTTP status means: at the Hub, where somebody may be logged in, or at another server."""
    at_the_hub = _is_hub(where)
    if code in (404, 410):
        return NotFound(f"{where} is not there ({code}); check the address")
    if code in (401, 403) and not at_the_hub:
        return HubError(f"{where} is not open to everybody ({code}); fetch it yourself, and name its path")
    means = {
        401: f"the Hub does not accept the token; {LOG_IN}",
        403: f"the token may not do that; {LOG_IN} with one that may write",
        412: "others push there too, again and again; try again later",
        429: "too many requests (429); wait a few minutes" + (", or log in for a higher limit" if at_the_hub else ""),
    }
    return HubError(f"{where}: {means.get(code, f'the server failed ({code}); try again later')}")


def _is_hub(where: str) -> bool:
    return where.startswith("hf:") or "://" not in where


def _disk(error: OSError) -> str:
    """What a file of the Hub's cache met."""
    if error.errno == errno.ENOSPC:
        return "the disk of the Hub's cache is full; make room or name another with HF_HOME"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "the Hub's cache can't be written; name another with HF_HOME"
    if "Consistency check failed" in str(error):
        return "the download was cut off; try again"
    return short(error)


def short(error: Exception | str) -> str:
    """An error's text in one line of up to 300 characters; its type where it has none."""
    return " ".join(str(error).split())[:300] or type(error).__name__
