"""`fetch` reads a path, a URL or a file on the Hub, over HTTP to a server on this machine."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from zoo.errors import HashMismatch, HubError, NotFound, ZooError
from zoo.hub import download
from zoo.hub.download import fetch

from .loopback_hub import Account, File, Flip, Hub, Repository

CONTENT = bytes(range(256)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = f"resnet20-{SHA256[:8]}.th"
REPOSITORY = "you/nets"
HUB_FILE = f"hf://{REPOSITORY}/cifar/resnet20.pth"


@dataclass
class Answer:
    """The answer to a request. `announced` is the Content-Length: -1 for the correct one, None for none."""

    content: bytes = CONTENT
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    announced: int | None = -1
    hang: bool = False


class Site:
    """A web server on loopback. It gives `answers` in turn, and repeats the last; `requests` has the headers."""

    def __init__(self) -> None:
        self.answers = [Answer()]
        self.requests: list[dict[str, str]] = []
        self.let_go = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append({"path": self.path, **self.headers})
                answer = site.answers.pop(0) if len(site.answers) > 1 else site.answers[0]
                if answer.hang:
                    site.let_go.wait()
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.announced is not None:
                    announced = len(answer.content) if answer.announced == -1 else answer.announced
                    self.send_header("Content-Length", str(announced))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.scheme, self.port = "http", self.server.server_address[1]

    def __str__(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[Site]:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Refuse connections from now on."""
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    with Site().running() as site:
        yield site


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def nets(hub: Hub) -> Repository:
    """A repository of another account on the Hub with one file in a folder."""
    repository = Repository(REPOSITORY)
    repository.commit("add a net", {"cifar/resnet20.pth": File(CONTENT, lfs=True), "README.md": File(b"", lfs=False)})
    hub.repositories[REPOSITORY] = repository
    return repository


def refused(error: type[ZooError], reason: str, attempt: Callable[[], object]) -> None:
    """An attempt fails with a message that has the reason in it and no secret."""
    with pytest.raises(error) as caught:
        attempt()
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)


# -- a path ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_read_in_place(tmp_path: Path, cache: Path, kind: Callable[[Path], str | Path]) -> None:
    path = tmp_path / NAME
    path.write_bytes(CONTENT)
    file = fetch(kind(path), sha256=SHA256, bytes=len(CONTENT))
    assert (file.content, file.sha256, file.size, file.name) == (CONTENT, SHA256, len(CONTENT), NAME)
    assert file.address == str(path)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("http://example.org/net.pth", "can't be downloaded; expected a path, https://… or hf://…"),
        ("file:///etc/hostname", "can't be downloaded"),
        ("https://example.org/", "names no file"),
        ("https://[example.org/net.pth", "is not an address"),
        ("https://me:secret@example.org/net.pth", "contains a user's name"),
        ("hf://you/nets", "names no file; expected hf://namespace/repository/path"),
        ("none.pth", "there is no file"),
        ("hf://you/nets/../other/net.pth", "names no file"),
    ],
)
def test_an_invalid_source_is_refused(source: str, reason: str) -> None:
    refused(ZooError, reason, lambda: fetch(source))


# -- hash and size ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sha256", "size", "reason"),
    [
        ("net-00000000.pth", None, None, f"has SHA-256 {SHA256}, expected one that begins with 00000000"),
        ("net-00000000.tar.gz", SHA256, None, "expected one that begins with 00000000"),
        ("net.pth", "0" * 64, None, f"has SHA-256 {SHA256}, expected {'0' * 64}"),
        ("net.pth", None, 17, "has 5,120 bytes, expected 17"),
    ],
)
def test_a_file_is_checked_against_its_hash_and_size(
    site: Site, tmp_path: Path, name: str, sha256: str | None, size: int | None, reason: str
) -> None:
    (tmp_path / name).write_bytes(CONTENT)
    for source in (str(tmp_path / name), f"{site}/{name}"):
        refused(HashMismatch, reason, lambda source=source: fetch(source, sha256=sha256, bytes=size))  # type: ignore[misc]


def test_an_invalid_hash_is_refused(tmp_path: Path) -> None:
    refused(
        HubError, "is not a SHA-256; expected 64 hex digits", lambda: fetch(tmp_path / "net.pth", sha256="12fca82f")
    )


# -- the web ---------------------------------------------------------------------------------------


def test_no_credentials_are_sent(site: Site, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    site.answers = [Answer(status=302, headers={"Location": "/there.pth", "Set-Cookie": "who=me"}), Answer()]
    fetch(f"{site}/net.pth")
    assert [request["path"] for request in site.requests] == ["/net.pth", "/there.pth"]
    assert not any("authorization" in map(str.lower, request) for request in site.requests)


def test_the_name_of_a_downloaded_file_has_no_path(site: Site, cache: Path) -> None:
    assert fetch(f"{site}/a/..%2F..%2Fnet%20(1).pth?raw=true").name == "net__1_.pth"
    assert (cache / "downloads" / SHA256 / "net__1_.pth").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("code", "reason", "requests"),
    [
        (404, "/net.pth is not there (404); check the address", 1),
        (403, "needs a login (403)", 1),
        (418, "the server failed (418)", 1),
        (429, "too many requests (429)", 4),
        (503, "the server failed (503); try again later", 4),
    ],
)
def test_a_failed_request_is_repeated_only_for_temporary_statuses(
    site: Site, code: int, reason: str, requests: int
) -> None:
    site.answers = [Answer(b"", status=code)]
    refused(NotFound if code == 404 else HubError, reason, lambda: fetch(f"{site}/net.pth"))
    assert len(site.requests) == requests


def test_a_temporary_fault_is_retried(site: Site) -> None:
    site.answers = [Answer(b"", status=503), Answer(CONTENT[:100], announced=len(CONTENT)), Answer()]
    assert fetch(f"{site}/{NAME}").content == CONTENT
    assert len(site.requests) == 3


def test_a_download_that_always_breaks_off_is_refused(site: Site, cache: Path) -> None:
    site.answers = [Answer(CONTENT[:100], announced=len(CONTENT))]
    refused(HubError, "/net.pth: the connection broke off", lambda: fetch(f"{site}/net.pth"))
    assert len(site.requests) == 4
    assert not list(cache.rglob("*.*"))


def test_a_server_that_does_not_answer_times_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    site.answers = [Answer(hang=True)]
    refused(HubError, "did not answer in time", lambda: fetch(f"{site}/net.pth"))


@pytest.mark.parametrize(
    "answer",
    [Answer(), Answer(announced=None), Answer(b"a beginning", announced=2**40)],
    ids=["announced", "not announced", "announced, not sent"],
)
def test_a_file_above_the_limit_is_refused(site: Site, answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MOST", 5000)
    site.answers = [answer]
    refused(HubError, "has more than 5,000 bytes", lambda: fetch(f"{site}/net.pth"))
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://example.org/net.pth", "redirects to http://example.org, which is not followed"),
        ("https://me:secret@example.org/net.pth", "redirects to https://example.org, which is not followed"),
        ("/net.pth", "redirects more than 10 times"),
    ],
)
def test_an_unsafe_or_endless_redirect_is_refused(site: Site, target: str, reason: str) -> None:
    site.answers = [Answer(b"", status=302, headers={"Location": target})]
    refused(HubError, f"/net.pth {reason}", lambda: fetch(f"{site}/net.pth"))


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site that speaks TLS, with a certificate that this machine trusts during the test."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl, to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    options = ["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run([*command, *options], check=True, capture_output=True)
    site = Site()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    site.scheme = "https"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with site.running():
        yield site


def test_https_is_never_redirected_to_http(site: Site, secure: Site) -> None:
    assert fetch(f"{secure}/{NAME}").content == CONTENT
    secure.answers = [Answer(b"", status=302, headers={"Location": f"{site}/net.pth"})]
    reason = "/net.pth redirects to http://127.0.0.1, which is not followed"
    refused(HubError, reason, lambda: fetch(f"{secure}/net.pth"))
    assert not site.requests


def test_an_untrusted_certificate_is_refused(secure: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    refused(HubError, "can't be reached", lambda: fetch(f"{secure}/net.pth"))
    assert not secure.requests


# -- the cache -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "sha256"), [(NAME, None), ("net.pth", SHA256.upper()), ("net.pth", None)])
def test_a_cached_file_needs_no_request(site: Site, cache: Path, name: str, sha256: str | None) -> None:
    first = fetch(f"{site}/{name}", sha256=sha256)
    assert (cache / "downloads" / SHA256 / name).read_bytes() == CONTENT
    site.stop()
    again = fetch(f"{site}/{name}", sha256=sha256)
    assert (again.content, again.address, again.name) == (first.content, first.address, first.name)
    assert len(site.requests) == 1


def test_a_full_hash_finds_a_file_cached_from_another_address(site: Site) -> None:
    fetch(f"{site}/net.pth")
    again = fetch("https://example.org/other.pth", sha256=SHA256)
    assert (again.content, again.address, again.name) == (CONTENT, "https://example.org/other.pth", "other.pth")


def test_a_part_of_a_hash_does_not_find_a_file_cached_from_another_address(site: Site) -> None:
    # Somebody could make another file whose hash begins with these eight digits.
    fetch(f"{site}/first/{NAME}")
    fetch(f"{site}/other/{NAME}")
    assert len(site.requests) == 2


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(CONTENT[:-1] + b"\0"), lambda path: path.unlink()])
def test_a_damaged_file_in_the_download_cache_is_fetched_again(
    site: Site, cache: Path, damage: Callable[[Path], object]
) -> None:
    fetch(f"{site}/{NAME}")
    path = cache / "downloads" / SHA256 / NAME
    damage(path)
    assert fetch(f"{site}/{NAME}").content == CONTENT
    assert path.read_bytes() == CONTENT
    assert len(site.requests) == 2


@pytest.mark.parametrize("row", ["{", '{"sha256": "../../secret"}'])
def test_a_damaged_index_of_the_cache_is_repaired(site: Site, cache: Path, row: str) -> None:
    fetch(f"{site}/{NAME}")
    (path,) = (cache / "downloads" / "addresses").iterdir()
    written = path.read_text()
    path.write_text(row)
    assert fetch(f"{site}/{NAME}").content == CONTENT
    assert path.read_text() == written


def test_an_unwritable_cache_is_reported(site: Site, cache: Path) -> None:
    cache.write_text("not a folder")
    refused(HubError, "can't be written", lambda: fetch(f"{site}/{NAME}"))


# -- the hub ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", ["", "@v1"])
def test_the_address_of_a_file_on_the_hub_has_its_commit(nets: Repository, revision: str) -> None:
    commit = nets.tags["v1"] = nets.commits[-1].oid
    file = fetch(f"{HUB_FILE}{revision}", sha256=SHA256, bytes=len(CONTENT))
    assert (file.content, file.sha256, file.name) == (CONTENT, SHA256, "resnet20.pth")
    assert file.address == f"{HUB_FILE}@{commit}"


def test_a_cached_file_from_the_hub_needs_no_request(hub: Hub, nets: Repository) -> None:
    first = fetch(HUB_FILE)
    requests = len(hub.requests)
    hub.stop()
    for address in (HUB_FILE, first.address):
        again = fetch(address)
        assert (again.content, again.address, again.name) == (first.content, first.address, first.name)
    assert len(hub.requests) == requests


def test_a_file_damaged_in_transit_is_refused_and_not_cached(hub: Hub, nets: Repository) -> None:
    hub.fail("GET", "/resolve/", Flip(), times=1)
    refused(HashMismatch, f"expected {SHA256}", lambda: fetch(HUB_FILE))
    assert fetch(HUB_FILE).content == CONTENT


def test_a_file_on_the_hub_above_the_limit_is_not_downloaded(
    hub: Hub, nets: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MOST", 5000)
    refused(HubError, "has more than 5,000 bytes", lambda: fetch(HUB_FILE))
    assert hub.count("GET", "/resolve/") == 0


def gated(hub: Hub) -> None:
    hub.repositories[REPOSITORY].gated = True
    hub.accounts["hf_writer"] = Account("me")


@pytest.mark.parametrize(
    ("address", "fault", "error", "reason"),
    [
        ("hf://you/nets/none.pth", lambda hub: None, NotFound, "hf://you/nets has no none.pth; its page"),
        (HUB_FILE, gated, HubError, "hf://you/nets is gated"),
        (HUB_FILE, Hub.stop, HubError, "can't be reached"),
    ],
)
def test_a_fault_of_the_hub_is_reported(
    hub: Hub, nets: Repository, address: str, fault: Callable[[Hub], None], error: type[ZooError], reason: str
) -> None:
    fault(hub)
    refused(error, reason, lambda: fetch(address))
