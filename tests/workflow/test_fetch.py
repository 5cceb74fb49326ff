"""Fetching a release: pinned, resumed, checked; no token and no file where it should not be."""

import errno
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_hub import NEW, OLD, REPOSITORY, FakeHub, serving
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from matcg.data import fetch as module
from matcg.data.fetch import CHUNK, Fetched, fetch
from matcg.errors import ConfigError, DataError, MatcgError

WORKFLOW = Path(__file__).parents[2] / "workflow"

TOKEN = "hf_" + "secret" * 6
PATTERNS = (
    "Aggregated_Subsets/*.json", "Original_Medical_Datasets/*.json", "Subset-*-train.json",
)  # fmt: skip
IN_FOLDERS = {
    "Aggregated_Subsets/Subset--01-train.json": b"[1]" * 50_000,
    "Aggregated_Subsets/Subset--02-train.json": b"",
    "Original_Medical_Datasets/1 CT & MRI.json": "[\u00e4]".encode() * 1000,
}
AT_ROOT = {"Subset-01-train.json": b"[3]", "Subset--02-train.json": b"[4]"}
OTHERS = {"README.md": b"# Med-MAT", "images.zip": b"PK"}
BIG = "Aggregated_Subsets/Subset--01-train.json"


@dataclass(frozen=True)
class Asked:
    """A release as a catalog names it."""

    revision: str = NEW
    repository: str = REPOSITORY
    files: tuple[str, ...] = PATTERNS


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """Return a running hub that HF_ENDPOINT leads to; the home holds a token nobody asked for."""
    trees = {NEW: IN_FOLDERS | OTHERS, OLD: AT_ROOT | OTHERS}
    home = tmp_path / "home"
    home.mkdir()
    (home / "token").write_text("hf_stored")
    with serving(FakeHub(trees, [NEW, "a" * 40, OLD, "b" * 40], large={BIG})) as hub:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HF_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HOME", str(home))
        monkeypatch.setenv("HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr("time.sleep", lambda _: None)
        # The hub's client writes whole chunks, and cuts come within these short files.
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
        close_session()
        yield hub
        close_session()
        assert [path.name for path in home.iterdir()] == ["token"]


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder without its hidden part."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    found = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    return {name: data for name, data in found.items() if not name.startswith(".cache/")}


def refused(folder: Path, asked: Asked, kind: type[MatcgError] = DataError) -> str:
    """Return the one line that a call is refused with."""
    with pytest.raises(kind) as caught:
        fetch(asked, folder, lambda _: None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- What is fetched -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("revision", "files"), [(NEW, IN_FOLDERS), (OLD, AT_ROOT)], ids=["in folders", "at the root"]
)
def test_both_layouts_are_fetched_and_recorded(
    tmp_path: Path, revision: str, files: dict[str, bytes]
) -> None:
    folder = tmp_path / "data/medmat"
    n_bytes = sum(map(len, files.values()))
    assert fetch(Asked(revision), folder) == Fetched(revision, tuple(sorted(files)), n_bytes)
    found = content(folder)
    record = json.loads(found.pop("RELEASE.json"))
    assert found == files
    assert record == {
        "repository": REPOSITORY,
        "revision": revision,
        "files": {
            path: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for path, data in files.items()
        },
    }
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert not list(folder.rglob("*.part"))


def test_the_record_is_the_same_each_time(tmp_path: Path) -> None:
    for name in "ab":
        fetch(Asked(), tmp_path / name)
    first, second = ((tmp_path / name / "RELEASE.json").read_bytes() for name in "ab")
    assert first == second


@pytest.mark.parametrize("revision", ["f03e9a7", NEW[:12].upper()])
def test_an_abbreviation_is_resolved(tmp_path: Path, revision: str) -> None:
    assert fetch(Asked(revision), tmp_path).revision == NEW


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("a" * 7, "'aaaaaaa' of FreedomIntelligence/Med-MAT: fits 2 commits; write all 40 digits"),
        ("1234567", "is no commit of the main branch"),
        ("main", "not a commit; branches and tags move"),
        ("f03e9a", "not a commit"),
        ("f" * 41, "not a commit"),
        ("", "not a commit"),
    ],
)
def test_a_revision_that_pins_nothing_is_refused(
    hub: FakeHub, tmp_path: Path, revision: str, message: str
) -> None:
    hub.commits.append("aaaaaaa" + "b" * 33)
    assert message in refused(tmp_path / "data", Asked(revision), ConfigError)
    assert not hub.downloads()
    assert not (tmp_path / "data").exists()


def test_no_file_of_that_name_is_an_error(tmp_path: Path) -> None:
    said = refused(tmp_path, Asked(files=("Test/*.json", "*.parquet")))
    assert f"at {NEW}: none of its 5 files is called Test/*.json or *.parquet" in said


def test_a_second_call_downloads_nothing(hub: FakeHub, tmp_path: Path) -> None:
    fetch(Asked(), tmp_path)
    hub.seen.clear()
    lines: list[str] = []
    fetch(Asked(), tmp_path, lines.append)
    assert not hub.downloads()
    assert sum("there already" in line for line in lines) == len(IN_FOLDERS)


def test_files_put_there_by_other_means_count_if_they_are_right(
    hub: FakeHub, tmp_path: Path
) -> None:
    right, wrong = BIG, "Original_Medical_Datasets/1 CT & MRI.json"
    for path in (right, wrong):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_bytes(IN_FOLDERS[path])
    (tmp_path / wrong).write_bytes(IN_FOLDERS[wrong][::-1])
    fetch(Asked(), tmp_path)
    assert content(tmp_path).items() >= IN_FOLDERS.items()
    assert [seen.path.split("/")[-1] for seen in hub.downloads()] == ["1%20CT%20%26%20MRI.json"]


# --- Cut transfers -------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_cut_transfer_is_resumed(hub: FakeHub, tmp_path: Path, reset: bool) -> None:
    hub.cuts = [(60_000, reset), (30_000, reset)]
    fetch(Asked(files=(BIG,)), tmp_path)
    ranges = [seen.headers.get("range") for seen in hub.downloads() if "/store/" in seen.path]
    assert len(ranges) == 3
    assert ranges[0] is None
    # What of a reset connection was still on its way is lost.
    assert all(re.fullmatch(r"bytes=\d+-", str(asked)) for asked in ranges[1:])
    assert reset or ranges[1:] == ["bytes=60000-", "bytes=90000-"]
    assert (tmp_path / BIG).read_bytes() == IN_FOLDERS[BIG]


def test_a_later_call_goes_on_where_a_killed_one_ended(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts = [(100_000, False)] + [(0, False)] * 100
    said = refused(tmp_path, Asked(files=(BIG,)))
    assert "cannot reach" in said
    assert not (tmp_path / BIG).exists()
    assert not (tmp_path / "RELEASE.json").exists()
    hub.cuts, hub.seen = [], []
    fetch(Asked(files=(BIG,)), tmp_path)
    assert [seen.headers["range"] for seen in hub.downloads()] == ["bytes=100000-"] * 2
    assert (tmp_path / BIG).read_bytes() == IN_FOLDERS[BIG]


def test_a_killed_process_leaves_what_it_had(hub: FakeHub, tmp_path: Path) -> None:
    hub.trees[OLD]["Subset-03-train.json"] = long = b"[5]" * 1_000_000
    hub.stall = 2_500_000
    code = (
        "import sys\nfrom pathlib import Path\nfrom types import SimpleNamespace\n"
        "from matcg.data.fetch import fetch\n"
        f"asked = {vars(Asked(OLD, files=('Subset-03-train.json',)))}\n"
        f"fetch(SimpleNamespace(**asked), Path({str(tmp_path)!r}))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=WORKFLOW) as process:
        for _ in range(1000):
            if sum(path.stat().st_size for path in tmp_path.rglob("*.part")) == 2 * CHUNK:
                break
            hub.resumed.wait(0.02)
        process.kill()
    hub.resumed.set()
    hub.stall, hub.seen = 0, []
    fetch(Asked(OLD), tmp_path)
    ranges = [seen.headers.get("range") for seen in hub.downloads()]
    assert sorted(map(str, ranges)) == ["None", "None", f"bytes={2 * CHUNK}-"]
    assert (tmp_path / "Subset-03-train.json").read_bytes() == long


def test_a_server_without_ranges_sends_all_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts, hub.ranges = [(60_000, False)], False
    fetch(Asked(files=(BIG,)), tmp_path)
    assert (tmp_path / BIG).read_bytes() == IN_FOLDERS[BIG]


@pytest.mark.parametrize("length", [70, 150_000, 200_000])
def test_a_damaged_partial_file_is_replaced(tmp_path: Path, length: int) -> None:
    parts = tmp_path / ".cache/matcg"
    parts.mkdir(parents=True)
    digest = hashlib.sha256(IN_FOLDERS[BIG]).hexdigest()
    (parts / f"{digest}.part").write_bytes(b"x" * length)
    fetch(Asked(files=(BIG,)), tmp_path)
    assert (tmp_path / BIG).read_bytes() == IN_FOLDERS[BIG]


def test_what_is_not_as_listed_is_not_kept(hub: FakeHub, tmp_path: Path) -> None:
    path = "Original_Medical_Datasets/1 CT & MRI.json"
    hub.wrong = 1
    fetch(Asked(files=(path,)), tmp_path)
    assert (tmp_path / path).read_bytes() == IN_FOLDERS[path]
    hub.wrong = 100
    (tmp_path / path).unlink()
    assert "is not what it lists" in refused(tmp_path, Asked(files=(path,)))
    assert not (tmp_path / path).exists()


# --- The token -----------------------------------------------------------------------------------


def test_the_token_goes_to_the_hub_and_nowhere_else(
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}\n")
    folder = tmp_path / "data"
    hub.cuts = [(10, False)]
    fetch(Asked("f03e9a7"), folder)
    stored = [seen for seen in hub.seen if seen.path.startswith("/store/")]
    assert stored
    assert not any("authorization" in seen.headers for seen in stored)
    told = [seen.headers.get("authorization") for seen in hub.seen if seen not in stored]
    assert set(told) == {f"Bearer {TOKEN}"}
    hub.status = 401
    said = refused(folder, Asked())
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    out = capfd.readouterr()
    assert not any(TOKEN in text for text in (out.out, out.err, caplog.text, said))
    assert not any(TOKEN.encode() in data for data in written)


def test_a_stored_token_is_not_sent(hub: FakeHub, tmp_path: Path) -> None:
    fetch(Asked("f03e9a7"), tmp_path / "data")
    assert hub.seen
    assert not any("authorization" in seen.headers for seen in hub.seen)
    assert {seen.path.split("/")[1] for seen in hub.seen} == {"api", "datasets", "store"}
    assert not any("harness" in seen.path for seen in hub.seen)


@pytest.mark.parametrize("token", ["hf secret", "hf\nsecret", "hf_secr\u00e9t"])
def test_a_token_that_no_header_takes_is_not_repeated(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    said = refused(tmp_path, Asked(), ConfigError)
    assert said.startswith("HF_TOKEN: ")
    assert "secr" not in said
    assert not hub.seen


# --- What goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "refused (401), since it is private, asks to accept terms, or has another name; set"),
        (403, "refused (403)"),
        (404, f"not found at revision {NEW} (404)"),
        (429, "status 429; try again later"),
        (500, "status 500; try again later"),
    ],
)
def test_a_refusal_is_one_line(hub: FakeHub, tmp_path: Path, status: int, message: str) -> None:
    hub.status = status
    said = refused(tmp_path / "data", Asked())
    assert f"{hub.endpoint}/datasets/{REPOSITORY}: {message}" in said
    assert f"put the files of datasets/{REPOSITORY} at revision {NEW} into {tmp_path}/data" in said
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:9", "https://name:password@127.0.0.1:9", "hub.example.org", "http://["],
)
def test_no_connection_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    said = refused(tmp_path, Asked())
    assert said.startswith(f"cannot reach {endpoint.replace('name:password@', '')} (")
    assert "check network, proxy and HF_ENDPOINT" in said
    assert "a folder is enough" in said
    assert "password" not in said


def test_a_hub_that_says_nothing_is_left_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert "(ReadTimeout: timed out)" in refused(tmp_path, Asked())


OTHER = {"type": "file", "oid": "1" * 40, "size": 3}


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>log in to this network</html>", b'{"error": "busy"}', b"[1]", b"[{}]", b"\xff",
        b'[{"type": "file", "path": "Subset-1-train.json", "size": -1, "oid": "1"}]',
        b'[{"type": "file", "path": 7, "size": 1, "oid": "%s"}]' % (b"1" * 40),
    ],
)  # fmt: skip
def test_an_answer_that_makes_no_sense_is_one_line(
    hub: FakeHub, tmp_path: Path, answer: bytes
) -> None:
    hub.answer = answer
    said = refused(tmp_path, Asked())
    assert said.startswith(f"{hub.endpoint} does not answer as a hub does (")


@pytest.mark.parametrize(
    "name",
    [
        "Aggregated_Subsets/../../escaped.json", "Aggregated_Subsets//etc/escaped.json",
        "/escaped.json", "../escaped.json", "Subset-..\\..\\escaped-train.json",
        "Subset-\n-train.json", "C:/escaped.json", ".cache/matcg/x.json", "RELEASE.json",
        "a/./b.json",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_not_written(
    hub: FakeHub, tmp_path: Path, name: str
) -> None:
    hub.listed = [OTHER | {"path": name}]
    folder = tmp_path / "a/b"
    said = refused(folder, Asked(files=("*.json",)))
    assert f"{name!r}, which must not be written" in said
    assert not (tmp_path / "a").exists()
    assert not hub.downloads()


def test_a_digest_that_leads_elsewhere_is_not_written(hub: FakeHub, tmp_path: Path) -> None:
    hub.listed = [OTHER | {"path": "Subset-1-train.json", "oid": "../../../escaped"}]
    assert "does not answer as a hub does (ValueError" in refused(tmp_path / "a", Asked())
    assert not (tmp_path / "a").exists()


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "a", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "Aggregated_Subsets").symlink_to(outside)
    assert "a link leads out of" in refused(folder, Asked())
    assert not list(outside.iterdir())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, "http_get", full)
    assert refused(tmp_path, Asked()) == (
        f"{tmp_path}: {os.strerror(code)}; make room and run again: what is there is kept"
    )


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "the folder must be one to write in" in refused(tmp_path / "file", Asked())


def test_two_calls_do_not_write_the_same_partial_file(tmp_path: Path) -> None:
    with module.alone(tmp_path):
        assert "another process fetches into it" in refused(tmp_path, Asked())
    fetch(Asked(), tmp_path)


@pytest.mark.parametrize("repository", ["", "a/b/c", "a b", "../x"])
def test_a_repository_that_cannot_be_one_is_refused(
    hub: FakeHub, tmp_path: Path, repository: str
) -> None:
    said = refused(tmp_path, Asked(repository=repository), ConfigError)
    assert said == f"repository '{repository}': not of the form owner/name"
    assert not hub.seen
