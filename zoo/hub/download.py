"""Downloads files by URL, and keeps them in a cache.

A source is a path, `https://…` or `hf://namespace/repository/path@REVISION`. The cache is in ZOO_CACHE or ~/.cache/zoo:

    downloads/SHA256/NAME              a file, by the hash of its content
    downloads/addresses/SHA256.json    the file that an address had (`_Row`), by the hash of the address

A cached file is found by its address or its hash, without a request, and its hash is checked whenever it is read. An
address without a revision or a hash is downloaded only once: the cache does not notice a newer file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from zoo.decoding import SchemaError, from_json
from zoo.errors import FolderError, HashMismatch, HubError, NotFound, OtherFormat
from zoo.hub.http import REDIRECTS, download_with_retries, plain_errors, with_retries
from zoo.record.paths import cache
from zoo.record.replace import write_file
from zoo.record.types import File

if TYPE_CHECKING:
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

T = TypeVar("T")

MOST = 2**30  # bytes of a file
TIMEOUT = 10  # seconds, to connect and between two parts of a response
LOOPBACK = ("127.0.0.1", "localhost")
SHA256 = re.compile(r"[0-9a-f]{64}")
DIGITS = re.compile(r"-([0-9a-f]{8})\.")  # torch.hub's convention: NAME-DIGITS.pth has the first digits of its SHA-256
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
HUB_FILE = re.compile(r"hf://(?P<repository>[^/@]+/[^/@]+)/(?P<path>.+?)(?:@(?P<revision>[^@]+))?")


@dataclass(frozen=True, eq=False)
class Fetched:
    """The content of a file.

    Args:
        content: The bytes.
        address: The path or the address; that of a file on the Hugging Face Hub has the commit.
        name: The name of the file.
        sha256: The SHA-256 of the content, 64 hex digits.
    """

    content: bytes = field(repr=False)
    address: str
    name: str
    sha256: str

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.content)


def fetch(source: str | Path, *, sha256: str | None = None, bytes: int | None = None) -> Fetched:  # noqa: A002
    """Read a file, or download it if it is not in the cache.

    Args:
        source: A path, `https://…` or `hf://namespace/repository/path@REVISION`. A name such as `net-12fca82f.pth` has
            the first digits of the SHA-256, which are checked.
        sha256: The expected SHA-256, 64 hex digits.
        bytes: The expected size.

    Returns:
        The file.

    Raises:
        NotFound: There is no such file.
        HashMismatch: The file has another hash or size than expected.
        HubError: The address is invalid, the download fails, or the file has more than `MOST` bytes.
    """
    if sha256 is not None and not SHA256.fullmatch(sha256 := sha256.lower()):
        raise HubError(f"{sha256!r} is not a SHA-256; expected 64 hex digits")
    text, expected = str(source), _Expected(sha256, bytes)
    if isinstance(source, Path) or not SCHEME.match(text):
        return expected.checked(_from_path(Path(text).expanduser()))
    name = file_name(text)
    cached = _from_cache(text, name, expected)
    if cached is not None:
        return cached
    file = expected.checked(_from_hub(text, name) if text.startswith("hf:") else _from_web(text, name))
    _keep(text, file)
    return file


def file_name(address: str) -> str:
    """Return the name of the file at an address, without characters that a path can't have.

    Raises HubError if the address is not that of a file on the web or on the Hugging Face Hub.
    """
    try:
        parts = urlsplit(address)
        host, user = parts.hostname, parts.username
    except ValueError:
        raise HubError(f"{address!r} is not an address; expected https://host/path") from None
    if parts.scheme == "hf":
        match = HUB_FILE.fullmatch(address)
        if match is None or {"", ".", ".."} & set(match["path"].split("/")):
            raise HubError(f"{address!r} names no file; expected hf://namespace/repository/path, with @revision or not")
        path = match["path"]
    elif parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK):
        if user is not None:
            raise HubError(
                f"the address at {host} contains a user's name; leave it out, because the zoo does not log in"
            )
        path = unquote(parts.path)
    else:
        raise HubError(f"{address!r} can't be downloaded; expected a path, https://… or hf://…")
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.rpartition("/")[2]).lstrip(".-")[-100:]
    if not name:
        raise HubError(f"{address!r} names no file; expected one at its end")
    return name


def read_or_refetch(read: Callable[[bool], T]) -> T:
    """Call `read(False)`, and if the cached file is damaged `read(True)`, which must download it again.

    Raises FolderError or HashMismatch if the file is still damaged or can't be downloaded.
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


@dataclass(frozen=True)
class _Expected:
    """The expected hash and size of a file; None if they are not known."""

    sha256: str | None
    size: int | None

    def problem(self, file: Fetched) -> str | None:
        """The difference from the expected file, also from the digits in its name; None if there is none."""
        if self.sha256 is not None and file.sha256 != self.sha256:
            return f"has SHA-256 {file.sha256}, expected {self.sha256}; it is damaged or another file"
        if (digits := DIGITS.search(file.name)) and not file.sha256.startswith(digits[1]):
            return (
                f"has SHA-256 {file.sha256}, expected one that begins with {digits[1]}, as torch.hub's convention "
                "reads its name; it is damaged, another file, or should have another name"
            )
        if self.size is not None and file.size != self.size:
            return f"has {file.size:,} bytes, expected {self.size:,}; it is cut off or another file"
        return None

    def checked(self, file: Fetched) -> Fetched:
        """Return the file; raises HashMismatch if it is not the expected one."""
        if (problem := self.problem(file)) is not None:
            raise HashMismatch(f"{file.address} {problem}")
        return file


# -- where files come from -------------------------------------------------------------------------


def _from_path(path: Path) -> Fetched:
    if not path.is_file():
        raise NotFound(f"there is no file {path}; expected a path, https://… or hf://…")
    try:
        _require_small(str(path), path.stat().st_size)
        return _fetched(path.read_bytes(), str(path), path.name)
    except OSError as error:
        raise HubError(f"{path} can't be read: {error.strerror}") from None


def _from_web(address: str, name: str) -> Fetched:
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # client 1.x: httpx, 2.x: httpx2

    def require_secure(request: httpx.Request) -> None:
        """Refuse a redirect to another protocol or with a user's name. https is never redirected to http."""
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
                headers={"Accept-Encoding": "identity"},  # so that Content-Length is the size of the file
                follow_redirects=True,
                max_redirects=REDIRECTS,
                event_hooks={"request": [require_secure]},
            ) as client,
            client.stream("GET", address) as response,
        ):
            response.raise_for_status()
            _require_small(address, int(response.headers.get("Content-Length", 0)))
            content = bytearray()
            for part in response.iter_bytes():
                content += part
                _require_small(address, len(content))
            return bytes(content)

    with plain_errors(address):
        return _fetched(with_retries(read), address, name)


def _from_hub(address: str, name: str) -> Fetched:
    """Download a file of a repository on the Hugging Face Hub, at the commit that its revision now refers to."""
    from huggingface_hub import HfApi, hf_hub_url

    match = HUB_FILE.fullmatch(address)
    assert match is not None  # because `file_name` accepted the address
    repository, path, revision = match["repository"], match["path"], match["revision"]
    api = HfApi(library_name="zoo")
    with plain_errors(f"hf://{repository}", revision):
        url = hf_hub_url(repository, path, revision=revision, endpoint=api.endpoint)
        metadata = with_retries(lambda: api.get_hf_file_metadata(url=url, timeout=TIMEOUT))
        commit = metadata.commit_hash
        _require_small(address, metadata.size or 0)
        # In a temporary cache, because the client never checks the files in its own cache again.
        with tempfile.TemporaryDirectory(prefix=".hf-", dir=_created(_downloads())) as scratch:
            file = download_with_retries(
                lambda: api.hf_hub_download(repository, path, revision=commit, cache_dir=scratch)
            )
            fetched = _fetched(Path(file).read_bytes(), f"hf://{repository}/{path}@{commit}", name)
    sha256 = metadata.etag if metadata.etag and SHA256.fullmatch(metadata.etag) else None  # of LFS files only
    return _Expected(sha256, metadata.size).checked(fetched)


def _fetched(content: bytes, address: str, name: str) -> Fetched:
    return Fetched(content, address, name, File.of(content).sha256)


def _require_small(address: str, size: int) -> None:
    if size > MOST:
        raise HubError(f"{address} has more than {MOST:,} bytes, which is the limit; check the address")


# -- the cache -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """The file that an address had: its address with the commit, and its hash."""

    address: str
    sha256: str


def _downloads() -> Path:
    return cache() / "downloads"


def _row_path(address: str) -> Path:
    return _downloads() / "addresses" / f"{File.of(address.encode()).sha256}.json"


def _from_cache(source: str, name: str, expected: _Expected) -> Fetched | None:
    """The cached file of an address, or the one with the expected hash; None if there is no intact one."""
    rows = []
    with contextlib.suppress(OSError, ValueError, SchemaError, RecursionError):
        row = from_json(_Row, json.loads(_row_path(source).read_text(encoding="utf-8")))
        if SHA256.fullmatch(row.sha256):
            rows.append(row)
    if expected.sha256 is not None:
        rows.append(_Row(source, expected.sha256))
    for row in rows:
        content = _content(row.sha256)
        if content is not None:
            file = Fetched(content, row.address, name, row.sha256)
            if expected.problem(file) is None:
                return file
    return None


def _content(sha256: str) -> bytes | None:
    """The content of the cached file with this hash; None if there is no intact one."""
    with contextlib.suppress(OSError):
        for path in (_downloads() / sha256).iterdir():
            content = path.read_bytes()
            if File.of(content).sha256 == sha256:
                return content
    return None


def _keep(source: str, file: Fetched) -> None:
    """Add a file to the cache, under its address with and without a commit; raises HubError."""
    row = json.dumps(dataclasses.asdict(_Row(file.address, file.sha256))).encode()
    try:
        if _content(file.sha256) is None:
            write_file(_downloads() / file.sha256 / file.name, file.content)
        for address in {source, file.address}:
            write_file(_row_path(address), row)
    except OSError as error:
        raise _unwritable(error) from None


def _created(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(error) from None
    return folder


def _unwritable(error: OSError) -> HubError:
    return HubError(f"{_downloads()} can't be written ({error.strerror}); make room or name another with ZOO_CACHE")
