"""The release of a data set, fetched from the Hugging Face hub into a folder.

Neither `snapshot_download` nor `hf_hub_download` goes on with a transfer that an earlier process
began (each removes its partial file when it stops), and their listing calls never time out. So the
parts below them are used: listings by `http_backoff`, files by `http_get`, which resumes.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
from huggingface_hub import constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # exported at run time only
    build_hf_headers,
    hf_raise_for_status,
    http_backoff,
    validate_repo_id,
)

from matcg.config.release import Release
from matcg.errors import FULL, ConfigError, DataError

# Else huggingface_hub fetches a list of programs that may be calling it, keeps that in the user's
# home and tells the hub. Set here, since the environment is read only when it is first imported.
constants.HF_HUB_DISABLE_TELEMETRY = True

CHUNK = 1 << 20
# Bytes reach the disk by whole chunks. Of 10 MB, many files are shorter, and would never resume.
constants.DOWNLOAD_CHUNK_SIZE = CHUNK

RECORD = "RELEASE.json"
PARTS = ".cache/matcg"  # inside the folder, so that a rename from here is atomic
TIMEOUT = 30  # seconds without a byte
RETRIES = 3  # of a listing; waits 1, 2, 4 seconds
ATTEMPTS = 4  # of a file, over what `http_get` retries itself


@dataclass(frozen=True)
class Fetched:
    """What lies in the folder afterwards; `revision` has all 40 digits, links have none."""

    revision: str
    files: tuple[str, ...]
    n_bytes: int


@dataclass(frozen=True)
class _File:
    """A file as the hub lists it; `digest` is SHA-256 for large files, else git's SHA-1."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True)
class _Hub:
    endpoint: str
    repository: str
    headers: dict[str, str]

    def listing(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Yield the entries of all pages of a listing."""
        url: str | None = f"{self.endpoint}/api/datasets/{self.repository}/{path}"
        while url:
            answer = http_backoff(
                "GET",
                url,
                params=query or None,
                headers=self.headers,
                timeout=TIMEOUT,
                max_retries=RETRIES,
            )
            hf_raise_for_status(answer)
            yield from answer.json()
            url, query = self._next(answer), {}

    def _next(self, answer: httpx2.Response) -> str | None:
        """Return the next page at this endpoint: a mirror may pass on links to the hub itself."""
        link = answer.links.get("next", {}).get("url")
        return self.endpoint + link[link.index("/api/") :] if link else None

    def commits(self) -> set[str]:
        """Return the commits of the main branch."""
        return {str(entry["id"]) for entry in self.listing("commits/main")}

    def tree(self, revision: str) -> list[_File]:
        """Return all files of a commit."""
        entries = self.listing(f"tree/{quote(revision, safe='')}", recursive="true")
        return [_read_entry(entry) for entry in entries if entry["type"] == "file"]

    def append(self, revision: str, file: _File, part: Path) -> None:
        """Add to `part` what it lacks of a file."""
        url = hf_hub_url(
            self.repository,
            file.path,
            repo_type="dataset",
            revision=revision,
            endpoint=self.endpoint,
        )
        # Compressed, a range of bytes would not be one of the file.
        headers = self.headers | {"Accept-Encoding": "identity"}
        with part.open("ab") as stream:
            here = stream.tell()
            if here < file.size:
                http_get(url, stream, resume_size=here, headers=headers)


def fetch(release: Release, folder: Path, say: Callable[[str], object] = print) -> Fetched:
    """Bring the files of `release` into `folder`, with `RELEASE.json` to tell what they are.

    Files that are there and have the listed content stay as they are; a transfer that was cut is
    taken up where it ended. The token comes from `HF_TOKEN` alone, the address of a mirror from
    `HF_ENDPOINT`. Nothing is written outside `folder`.

    Source: https://huggingface.co/docs/hub/api and, for the digests,
    https://huggingface.co/docs/huggingface_hub/package_reference/hf_api (RepoFile).

    Raises:
        ConfigError: the repository or revision cannot be one, or is not known to the hub.
        DataError: the hub cannot be reached, refuses, answers what makes no sense, or lists no
            such file; or the folder cannot be written.
    """
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    token = _read_token()
    with _explained(release, folder, endpoint, token):
        validate_repo_id(release.repository)
        headers = build_hf_headers(token=token or False)
        hub = _Hub(endpoint, release.repository, headers)
        revision = _full_revision(hub, release)
        wanted = _choose(hub.tree(revision), release, revision)
        n_bytes = sum(file.size for file in wanted)
        say(f"{release.repository} at {revision}: {len(wanted)} files, {mb(n_bytes)}")
        with alone(folder):
            hashes = {}
            for number, file in enumerate(wanted, start=1):
                found, done = _bring(hub, revision, file, folder)
                hashes[file.path] = found
                say(f"{number}/{len(wanted)} {file.path}: {mb(file.size)}, {done}")
            held = {f.path: {"size": f.size, "sha256": hashes[f.path]} for f in wanted}
            what = {"repository": release.repository, "revision": revision, "files": held}
            write_record(folder, RECORD, what)
    return Fetched(revision, tuple(file.path for file in wanted), n_bytes)


def mb(size: int) -> str:
    """Return a size in megabytes, as it is said."""
    return f"{size / 1e6:.1f} MB"


def _read_token() -> str:
    """Return the token of the environment; one that no header takes would end up in an error."""
    token = os.environ.get("HF_TOKEN", "").strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise ConfigError("HF_TOKEN: holds blanks or signs that no token has; copy it anew")
    return token


# --- What the hub says ---------------------------------------------------------------------------


def _read_entry(entry: dict[str, Any]) -> _File:
    """Return a listed file; ValueError where size or digest cannot be one."""
    large = entry.get("lfs")
    size, digest = (large["size"], large["oid"]) if large else (entry["size"], entry["oid"])
    # Digests name partial files, so they must not lead anywhere else.
    pattern = r"[0-9a-f]{64}" if large else r"[0-9a-f]{40}"
    if not isinstance(size, int) or size < 0 or not re.fullmatch(pattern, digest):
        raise ValueError(f"size {size!r} and digest {digest!r} of {entry['path']!r}")
    return _File(entry["path"], size, digest)


def _full_revision(hub: _Hub, release: Release) -> str:
    """Return all 40 digits of the pinned commit; the hub takes no abbreviation."""
    asked = release.revision.lower()
    if not re.fullmatch(r"[0-9a-f]{7,40}", asked):
        raise ConfigError(
            f"revision '{release.revision}' of {release.repository}: not a commit; branches and"
            " tags move, so write 7 to 40 hexadecimal digits of a commit"
        )
    if len(asked) == 40:
        return asked
    found = sorted(commit for commit in hub.commits() if commit.startswith(asked))
    if len(found) == 1 and re.fullmatch(r"[0-9a-f]{40}", found[0]):
        return found[0]
    problem = f"fits {len(found)} commits" if found else "is no commit of the main branch"
    raise ConfigError(
        f"revision '{release.revision}' of {release.repository}: {problem}; write all 40 digits,"
        f" as {_bare(hub.endpoint)}/datasets/{release.repository}/commits/main lists them"
    )


def _choose(files: list[_File], release: Release, revision: str) -> list[_File]:
    """Return the files that a pattern takes, sorted by path."""
    chosen = {
        file.path: file
        for file in files
        if any(fnmatchcase(file.path, pattern) for pattern in release.files)
    }
    if not chosen:
        raise DataError(
            f"{release.repository} at {revision}: none of its {len(files)} files is called"
            f" {' or '.join(release.files)}; pin another revision or name other files"
        )
    for path in chosen:
        _check_name(path)
    return [chosen[path] for path in sorted(chosen)]


def _check_name(path: str) -> None:
    """Refuse a name that leads out of the folder, or onto what is ours in it."""
    parts = path.split("/")
    strange = any(part in ("", ".", "..") for part in parts) or not path.isprintable()
    if strange or "\\" in path or ":" in parts[0] or parts[0] in (".cache", RECORD):
        raise DataError(f"the hub lists a file called {path!r}, which must not be written")


# --- What is written -----------------------------------------------------------------------------


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make the folder and keep another process from adding to the same partial files."""
    parts = _inside(folder, f"{PARTS}/lock")
    with parts.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{folder}: another process fetches into it; wait for it") from None
        except OSError:
            pass  # Some cluster file systems have no locks; digests still keep damage out.
        yield


def _inside(folder: Path, path: str) -> Path:
    """Return the place of a file, its parents made; none of them may be a link that leads out."""
    place = folder / path
    if not place.parent.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{place.parent}: a link leads out of {folder}; replace it by a folder")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _bring(hub: _Hub, revision: str, file: _File, folder: Path) -> tuple[str, str]:
    """Return the SHA-256 of a file that is now in the folder, and how it came there."""
    place = _inside(folder, file.path)
    if place.is_file() and (found := _proven(place, file)):
        return found, "there already"
    part = _inside(folder, f"{PARTS}/{file.digest}.part")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            hub.append(revision, file, part)
        except httpx2.NetworkError:  # a reset, the one kind of break that `http_get` passes on
            if attempt == ATTEMPTS:
                raise
        if found := _proven(part, file):
            part.replace(place)
            return found, "fetched"
        if part.stat().st_size >= file.size:
            part.unlink()
    raise DataError(
        f"{file.path}: what the hub at {_bare(hub.endpoint)} sends is not what it lists (size"
        f" {file.size}, digest {file.digest}); try again later or without a mirror"
    )


def _proven(path: Path, file: _File) -> str:
    """Return the SHA-256 of a file with the listed size and digest, else nothing."""
    if path.stat().st_size != file.size:
        return ""
    sha256 = hashlib.sha256()
    # https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    blob = hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while data := stream.read(CHUNK):
            sha256.update(data)
            blob.update(data)
    found = sha256.hexdigest()
    return found if file.digest in (found, blob.hexdigest()) else ""


def write_record(folder: Path, name: str, record: Mapping[str, Any]) -> None:
    """Write what the folder holds, at once or not at all."""
    draft = _inside(folder, f"{PARTS}/{name}")
    draft.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    draft.replace(folder / name)


def read_record(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of the files that a folder's record tells; none without a record.

    Raises:
        DataError: it is damaged.
    """
    place = folder / name
    try:
        files = json.loads(place.read_text(encoding="utf-8"))["files"]
        return {file: {"size": int(f["size"]), "sha256": f["sha256"]} for file, f in files.items()}
    except FileNotFoundError:
        return {}
    except (OSError, *NONSENSE):
        raise DataError(f"{place}: no record of what was fetched; move it away") from None


# --- What went wrong -----------------------------------------------------------------------------

# JSON of another shape than the documented one raises any of these.
NONSENSE = (ValueError, TypeError, KeyError, AttributeError)


@contextmanager
def _explained(release: Release, folder: Path, endpoint: str, token: str) -> Iterator[None]:
    """Turn what the hub or the disk does into one line that holds no token."""
    try:
        yield
    except HFValidationError:
        form = f"repository '{release.repository}': not of the form owner/name"
        raise ConfigError(form) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, *NONSENSE) as error:
        if isinstance(error, OSError) and error.errno is not None:
            problem = _disk(error, folder)
        else:
            problem = (
                f"{_hub_problem(error, release, endpoint)}; or put the files of"
                f" datasets/{release.repository} at revision {release.revision} into {folder} by"
                " other means: a folder is enough"
            )
        problem = problem.replace(endpoint, _bare(endpoint))
        problem = problem.replace(token, "***") if token else problem
        raise DataError(" ".join(problem.split())) from None


def _disk(error: OSError, folder: Path) -> str:
    if error.errno in FULL:
        return f"{folder}: {error.strerror}; make room and run again: what is there is kept"
    return f"{error.filename or folder}: {error.strerror}; the folder must be one to write in"


def _hub_problem(error: Exception, release: Release, endpoint: str) -> str:
    """Return what the hub did and what to do; never its own words, which may repeat a token."""
    if isinstance(error, HfHubHTTPError):
        return _refusal(error.response.status_code, release, endpoint)
    cause = f"({type(error).__name__}: {error})"
    if isinstance(error, (httpx2.TransportError, httpx2.InvalidURL, OfflineModeIsEnabled)):
        return f"cannot reach {endpoint} {cause}; check network, proxy and HF_ENDPOINT"
    return f"{endpoint} does not answer as a hub does {cause}; check proxy and HF_ENDPOINT"


def _refusal(status: int, release: Release, endpoint: str) -> str:
    page = f"{endpoint}/datasets/{release.repository}"
    if status in (401, 403):
        return (
            f"{page}: refused ({status}), since it is private, asks to accept terms, or has another"
            " name; set HF_TOKEN to a token that may read it"
        )
    if status == 404:
        return f"{page}: not found at revision {release.revision} (404); correct one of them"
    return f"{page}: status {status}; try again later"


def _bare(endpoint: str) -> str:
    """Return the endpoint without a password that may be written in it."""
    scheme, separator, rest = endpoint.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]
