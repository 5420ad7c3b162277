"""A server on this machine with the protocol of the Hugging Face Hub, which can inject faults.

Repositories are in memory. The real `huggingface_hub` client connects over HTTP, and requests that the real Hub would
refuse are refused. `Hub.requests` lists the requests, and `Hub.fail(...)` makes the next matching requests fail.

    hub = Hub(); hub.start()
    hub.accounts["hf_me"] = Account("me", "write")
    hub.fail("GET", r"/resolve/.*safetensors", Cut(1000), times=1)
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9]([A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
LICENSES = {"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "other"}


# -- faults ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Status:
    """Answer with this status."""

    code: int


@dataclass(frozen=True)
class Cut:
    """Close the connection after this many bytes of the body."""

    after: int


@dataclass(frozen=True)
class Flip:
    """Flip a bit of the body."""


@dataclass(frozen=True)
class Hang:
    """Do not answer until the test ends."""


@dataclass(frozen=True)
class Drop:
    """Carry the request out, but close the connection instead of answering."""


Action = Status | Cut | Flip | Hang | Drop


@dataclass
class Fault:
    """An action for matching requests, and how often it still happens."""

    method: str
    path: re.Pattern[str]
    action: Action
    times: int


# -- repositories ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """The account of a token; its role is `read` or `write`."""

    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    """A file of a commit, identified by its SHA-256 in LFS, otherwise by the SHA-1 of git."""

    content: bytes
    lfs: bool

    @property
    def sha1(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        return self.sha256 if self.lfs else self.sha1


@dataclass(frozen=True)
class Commit:
    """One state of a repository."""

    oid: str
    message: str
    files: dict[str, File]


@dataclass
class Repository:
    """A repository of a model, or `datasets/…`, `spaces/…`: its commits, oldest first, and its tags."""

    id: str
    private: bool = False
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, message: str, files: dict[str, File]) -> Commit:
        seed = f"{self.id} {len(self.commits)} {message} {sorted((name, file.oid) for name, file in files.items())}"
        self.commits.append(Commit(hashlib.sha1(seed.encode()).hexdigest(), message, files))
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        wanted = self.commits[-1].oid if revision == "main" else self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit.oid == wanted), None)


class Refusal(Exception):
    """The answer to a request that is refused."""

    def __init__(self, status: int, code: str = "", message: str = "", commit: str = "") -> None:
        super().__init__(message)
        self.status = status
        headers = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit}
        self.headers = {name: value for name, value in headers.items() if value}


class Hub:
    """The server, with its repositories, accounts, faults and the requests that it received."""

    def __init__(self) -> None:
        self._server: ThreadingHTTPServer | None = None
        self.let_go = threading.Event()
        self.connections: list[socket.socket] = []
        self.port = 0
        self.reset()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_up(self) -> bool:
        return self._server is not None

    def start(self) -> None:
        """Listen; after a stop, on the same port again."""
        handler = type("Handler", (Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self.let_go.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Clear all state, and end requests that hang."""
        self.let_go.set()
        self.lock = threading.RLock()
        self.let_go = threading.Event()
        self.accounts: dict[str, Account] = {}
        self.repositories: dict[str, Repository] = {}
        self.stored: dict[str, bytes] = {}  # LFS objects by SHA-256
        self.faults: list[Fault] = []
        self.next_page = ""  # the link to the next page of a listing
        self.requests: list[tuple[str, str]] = []

    def fail(self, method: str, path: str, action: Action, times: int = 1_000_000) -> None:
        """Make the next `times` requests of this method fail whose path contains the pattern."""
        self.faults.append(Fault(method, re.compile(path), action, times))

    def fault_for(self, method: str, path: str) -> Action | None:
        with self.lock:
            for fault in self.faults:
                if fault.method == method and fault.times and fault.path.search(path):
                    fault.times -= 1
                    return fault.action
        return None

    def count(self, method: str, path: str) -> int:
        """Count the requests of this method whose path contains the pattern."""
        return sum(requested == method and bool(re.search(path, url)) for requested, url in self.requests)


# -- the protocol ----------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Handles a request. Routes are tried in order; each is a method below."""

    hub: Hub
    protocol_version = "HTTP/1.1"
    REPOSITORY = r"/api/((?:models|datasets|spaces)/[^/]+/[^/]+)"
    FILES = r"/((?:(?:datasets|spaces)/)?[^/]+/[^/]+)"
    ROUTES = (
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("GET", r"/api/models", "listing"),
        ("POST", REPOSITORY + r"/preupload/([^/]+)", "preupload"),
        ("POST", FILES + r"\.git/info/lfs/objects/batch", "lfs_batch"),
        ("PUT", r"/lfs/([0-9a-f]{64})", "lfs_put"),
        ("POST", r"/lfs/verify", "lfs_verify"),
        ("POST", REPOSITORY + r"/commit/([^/]+)", "commit"),
        ("POST", REPOSITORY + r"/tag/([^/]+)", "tag"),
        ("DELETE", REPOSITORY + r"/tag/([^/]+)", "untag"),
        ("GET", REPOSITORY + r"/tree/([^/]+)(?:/(.+))?", "tree"),
        ("GET", REPOSITORY + r"/commits/([^/]+)", "history"),
        ("GET", REPOSITORY + r"/refs", "refs"),
        ("GET", REPOSITORY + r"/revision/([^/]+)", "info"),
        ("GET", REPOSITORY, "info"),
        ("HEAD", FILES + r"/resolve/([^/]+)/(.+)", "resolve"),
        ("GET", FILES + r"/resolve/([^/]+)/(.+)", "resolve"),
    )

    def setup(self) -> None:
        super().setup()
        self.hub.connections.append(self.connection)

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _handle(self) -> None:
        path = urlsplit(self.path).path
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.hub.lock:
            self.hub.requests.append((self.command, self.path))
        self.fault = self.hub.fault_for(self.command, path)
        if isinstance(self.fault, Hang):
            self.hub.let_go.wait()
            self.close_connection = True
            return
        try:
            if isinstance(self.fault, Status):
                raise Refusal(self.fault.code, message="an injected fault")
            for method, pattern, name in self.ROUTES:
                if method == self.command and (match := re.fullmatch(pattern, path)):
                    with self.hub.lock:
                        answer = getattr(self, name)(
                            *(unquote(group).removeprefix("models/") for group in match.groups() if group)
                        )
                    self._answer(*answer)
                    return
            raise Refusal(404, message=f"no such route: {self.command} {path}")
        except Refusal as refusal:
            self._answer(refusal.status, json.dumps({"error": str(refusal)}).encode(), refusal.headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        if isinstance(self.fault, Drop):
            self.close_connection = True
            return
        if isinstance(self.fault, Flip):
            body = body[:-1] + bytes([body[-1] ^ 1])
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", (headers or {}).get("Content-Length", str(len(body))))
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(self.fault, Cut):
            body, self.close_connection = body[: self.fault.after], True
        self.wfile.write(body)

    # -- permissions ----

    def _account(self) -> Account | None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return None
        if token not in self.hub.accounts:
            raise Refusal(401, message="Invalid credentials in Authorization header")
        return self.hub.accounts[token]

    def _writer(self, namespace: str) -> Account:
        account = self._account()
        if account is None:
            raise Refusal(401, message="Authentication is required")
        if account.role != "write" or namespace not in (account.name, *account.orgs):
            raise Refusal(403, message="You don't have the rights to write there")
        return account

    def _repository(self, name: str) -> Repository:
        account, repository = self._account(), self.hub.repositories.get(name)
        mine = account is not None and name.split("/")[-2] in (account.name, *account.orgs)
        if repository is None or (repository.private and not mine):
            raise Refusal(401 if account is None else 404, "RepoNotFound", "Repository not found")
        if repository.gated and not mine:
            raise Refusal(403, "GatedRepo", "Access to this model is restricted")
        return repository

    def _commit(self, name: str, revision: str) -> tuple[Repository, Commit]:
        repository = self._repository(name)
        commit = repository.at(revision)
        if commit is None:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, commit

    # -- the endpoints ----

    def whoami(self) -> tuple[int, bytes]:
        account = self._account()
        if account is None:
            raise Refusal(401, message="Invalid username or password.")
        return 200, _json(
            {
                "type": "user",
                "name": account.name,
                "orgs": [{"name": organisation, "roleInOrg": "write"} for organisation in account.orgs],
                "auth": {"type": "access_token", "accessToken": {"displayName": "test", "role": account.role}},
            }
        )

    def create(self) -> tuple[int, bytes]:
        request = json.loads(self.body)
        account = self._account()
        namespace = request.get("organization") or (account.name if account else "")
        self._writer(namespace)
        if not NAME.fullmatch(request["name"]) or request["name"].endswith((".git", ".ipynb")):
            raise Refusal(400, message=f"Invalid repo name: {request['name']}")
        kind = request.get("type", "model")
        name = f"{namespace}/{request['name']}" if kind == "model" else f"{kind}s/{namespace}/{request['name']}"
        url = {"url": f"{self.hub.endpoint}/{name}", "name": name}
        if name in self.hub.repositories:
            return 409, _json({**url, "error": "You already created this model repo"})
        repository = Repository(name, private=bool(request.get("private")) or request.get("visibility") == "private")
        repository.commit("initial commit", {".gitattributes": File(b"*.safetensors filter=lfs\n", lfs=False)})
        self.hub.repositories[name] = repository
        return 200, _json(url)

    def validate(self) -> tuple[int, bytes]:
        request = json.loads(self.body)
        errors = card_errors(request["content"]) if request.get("repoType", "model") == "model" else []
        if self.headers.get("Accept") == "text/plain":
            return 400 if errors else 200, "\n".join(f"- Error: {error}" for error in errors).encode()
        return 400 if errors else 200, _json({"errors": [{"message": error} for error in errors], "warnings": []})

    def preupload(self, name: str, revision: str) -> tuple[int, bytes]:
        self._writer(name.split("/")[-2])
        _, commit = self._commit(name, revision)
        answer = []
        for file in json.loads(self.body)["files"]:
            is_binary = b"\0" in base64.b64decode(file["sample"])
            lfs = file["path"].endswith(".safetensors") or file["size"] > 10_000_000 or is_binary
            there = commit.files.get(file["path"])
            mode = "lfs" if lfs else "regular"
            answer.append(
                {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": there.oid if there else None}
            )
        return 200, _json({"files": answer})

    def lfs_batch(self, name: str) -> tuple[int, bytes]:
        self._writer(name.split("/")[-2])
        objects = []
        for entry in json.loads(self.body)["objects"]:
            actions = {
                "upload": {"href": f"{self.hub.endpoint}/lfs/{entry['oid']}", "header": {}},
                "verify": {"href": f"{self.hub.endpoint}/lfs/verify", "header": {}},
            }
            stored = entry["oid"] in self.hub.stored
            objects.append({"oid": entry["oid"], "size": entry["size"]} | ({} if stored else {"actions": actions}))
        return 200, _json({"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str) -> tuple[int, bytes]:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refusal(400, message="the content is not the announced one")
        self.hub.stored[oid] = self.body
        return 200, b""

    def lfs_verify(self) -> tuple[int, bytes]:
        request = json.loads(self.body)
        if len(self.hub.stored.get(request["oid"], b"")) != request["size"]:
            raise Refusal(404, message="the object was not uploaded")
        return 200, b""

    def commit(self, name: str, revision: str) -> tuple[int, bytes]:
        self._writer(name.split("/")[-2])
        repository, head = self._commit(name, revision)
        files, message = dict(head.files), ""
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                message = value["summary"]
                if value.get("parentCommit") not in (None, head.oid):
                    raise Refusal(412, message="A commit has happened since. Please refresh and try again.")
            elif entry["key"] == "file":
                content = base64.b64decode(value["content"])
                is_card = value["path"] == "README.md" and name.count("/") == 1
                if is_card and (errors := card_errors(content.decode())):
                    raise Refusal(400, message=f"Invalid metadata in README.md: {errors[0]}")
                files[value["path"]] = File(content, lfs=False)
            elif entry["key"] == "lfsFile":
                if value["oid"] not in self.hub.stored:
                    raise Refusal(400, message=f"LFS object {value['oid']} was not uploaded")
                files[value["path"]] = File(self.hub.stored[value["oid"]], lfs=True)
            elif entry["key"] == "deletedFile":
                files.pop(value["path"], None)
        made = repository.commit(message, files)
        return 200, _json({"commitUrl": f"{self.hub.endpoint}/{name}/commit/{made.oid}", "commitOid": made.oid})

    def tag(self, name: str, revision: str) -> tuple[int, bytes]:
        self._writer(name.split("/")[-2])
        repository, commit = self._commit(name, revision)
        wanted = json.loads(self.body)["tag"]
        if wanted in repository.tags:
            raise Refusal(409, message=f"Tag {wanted} already exists")
        repository.tags[wanted] = commit.oid
        return 200, b""

    def untag(self, name: str, tag: str) -> tuple[int, bytes]:
        self._writer(name.split("/")[-2])
        self._repository(name).tags.pop(tag, None)
        return 200, b""

    def tree(self, name: str, revision: str, folder: str = "") -> tuple[int, bytes]:
        """List all files under a folder, or with recursive=false the entries of the folder."""
        _, commit = self._commit(name, revision)
        start = f"{folder}/" if folder else ""
        entries: dict[str, dict[str, Any]] = {}
        for path, file in sorted(commit.files.items()):
            if not path.startswith(start):
                continue
            first, slash, _ = path.removeprefix(start).partition("/")
            if slash and "recursive=false" in self.path.lower():
                path = start + first
                entries[path] = {"type": "directory", "path": path, "size": 0, "oid": file.sha1}
                continue
            entries[path] = {"type": "file", "path": path, "size": len(file.content), "oid": file.sha1}
            if file.lfs:
                entries[path]["lfs"] = {"oid": file.sha256, "size": len(file.content), "pointerSize": 130}
        if folder and not entries:
            raise Refusal(404, "EntryNotFound", f"{folder} does not exist")
        return 200, _json(list(entries.values()))

    def history(self, name: str, revision: str) -> tuple[int, bytes]:
        repository, commit = self._commit(name, revision)
        upto = repository.commits[: repository.commits.index(commit) + 1]
        more = {"message": "", "authors": [{"user": "somebody"}], "date": _now()}
        return 200, _json([{"id": commit.oid, "title": commit.message, **more} for commit in reversed(upto)])

    def refs(self, name: str) -> tuple[int, bytes]:
        repository = self._repository(name)
        tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid} for tag, oid in repository.tags.items()]
        head = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.commits[-1].oid}
        return 200, _json({"branches": [head], "converts": [], "tags": tags})

    def info(self, name: str, revision: str = "main") -> tuple[int, bytes]:
        repository, commit = self._commit(name, revision)
        return 200, _json(_info(repository, commit) | {"siblings": [{"rfilename": path} for path in commit.files]})

    def listing(self) -> tuple[int, bytes, dict[str, str]]:
        query = parse_qs(urlsplit(self.path).query)
        account = self._account()
        models = []
        for repository in self.hub.repositories.values():
            namespace = repository.id.split("/")[0]
            if repository.private and (account is None or namespace not in (account.name, *account.orgs)):
                continue
            info = _info(repository, repository.commits[-1])
            if query.get("author", [namespace]) != [namespace] or query.get("search", [""])[0] not in repository.id:
                continue
            if not set(query.get("filter", [])) <= set(info["tags"]):
                continue
            if "cardData" not in query:
                del info["cardData"]
            models.append(info)
        following = self.hub.next_page if "page" not in query else ""
        return 200, _json(models), {"Link": f'<{following}>; rel="next"'} if following else {}

    def resolve(self, name: str, revision: str, path: str) -> tuple[int, bytes, dict[str, str]]:
        _, commit = self._commit(name, revision)
        if path not in commit.files:
            raise Refusal(404, "EntryNotFound", f"{path} does not exist", commit.oid)
        file = commit.files[path]
        headers = {
            "X-Repo-Commit": commit.oid,
            "ETag": f'"{file.oid}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if file.lfs:
            headers |= {"X-Linked-ETag": f'"{file.oid}"', "X-Linked-Size": str(len(file.content))}
        if self.command == "HEAD":
            return 200, b"", headers | {"Content-Length": str(len(file.content))}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, last = int(match[1]), int(match[2] or len(file.content) - 1)
            headers["Content-Range"] = f"bytes {start}-{last}/{len(file.content)}"
            return 206, file.content[start : last + 1], headers
        return 200, file.content, headers


def card_errors(text: str) -> list[str]:
    """The errors of the Hub about a card's metadata."""
    metadata = _metadata(text)
    if not metadata:
        return ["the card has no metadata"]
    errors = [] if metadata.get("license") in LICENSES else [f'"license" must be one of {sorted(LICENSES)}']
    for key in ("tags", "datasets", "metrics"):
        if not all(isinstance(value, str) for value in metadata.get(key) or []):
            errors.append(f'"{key}" must be a list of strings')
    for model in metadata.get("model-index") or []:
        for result in model.get("results") or [{}]:
            if not {"task", "dataset", "metrics"} <= result.keys() or "type" not in result["dataset"]:
                errors.append('"model-index" needs task, dataset.type and metrics')
            elif not all({"type", "value"} <= metric.keys() for metric in result["metrics"]):
                errors.append('"model-index" metrics need type and value')
    return errors


def _metadata(text: str) -> dict[str, Any]:
    import yaml  # a dependency of the client

    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    return yaml.safe_load(match[1]) if match else {}


def _info(repository: Repository, commit: Commit) -> dict[str, Any]:
    card = commit.files.get("README.md")
    metadata = _metadata(card.content.decode()) if card else {}
    library = metadata.get("library_name")
    return {
        "id": repository.id,
        "modelId": repository.id,
        "sha": commit.oid,
        "private": repository.private,
        "gated": repository.gated and "manual",
        "tags": [*(metadata.get("tags") or []), *([library] if library else [])],
        "pipeline_tag": metadata.get("pipeline_tag"),
        "library_name": library,
        "createdAt": _now(),
        "lastModified": _now(),
        "downloads": 0,
        "likes": 0,
        "cardData": metadata,
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
