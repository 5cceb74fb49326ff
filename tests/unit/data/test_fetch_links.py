"""Files by links: fetched from a small server, proven, taken up where they ended, or refused."""

import hashlib
import json

import pytest
from fake_hub import NEW, REPOSITORY, FakeHub, serving

from matcg.config.release import Links, Release
from matcg.data.fetch_links import bring
from matcg.data.transfer import Web
from matcg.errors import DataError

FILES = {"a.npz": b"first" * 1000, "b.npz": b"second" * 1000, "c_64.npz": b"other"}


def md5(name):
    return hashlib.md5(FILES[name]).hexdigest()


def sha256(name):
    return hashlib.sha256(FILES[name]).hexdigest()


@pytest.fixture
def hub():
    with serving(FakeHub({NEW: dict(FILES)}, [NEW])) as hub:
        yield hub


def links(hub, **digests):
    listed = {name: md5(name) for name in FILES} | digests
    url = hub.store + "/store/{file}"
    return Links(url=url, md5=listed, source="a test", files=["?.npz"])


def record(folder):
    return json.loads((folder / "RELEASE.json").read_text())


def test_files_are_fetched_once_and_recorded(hub, tmp_path):
    said = []
    found = bring(links(hub), tmp_path, said.append)
    assert (found.files, found.n_bytes) == (("a.npz", "b.npz"), 11_000)
    assert (tmp_path / "b.npz").read_bytes() == FILES["b.npz"]
    assert said == ["1/2 a.npz: 0.0 MB, fetched", "2/2 b.npz: 0.0 MB, fetched"]
    assert record(tmp_path)["files"]["a.npz"] == {
        "size": 5000,
        "sha256": sha256("a.npz"),
    }
    assert record(tmp_path)["source"] == "a test"
    n = len(hub.seen)
    bring(links(hub), tmp_path, said.append)
    assert said[2:] == ["1/2 a.npz: 0.0 MB, there already", "2/2 b.npz: 0.0 MB, there already"]
    assert len(hub.seen) == n


def test_a_file_that_is_another_one_is_neither_kept_nor_lost(hub, tmp_path):
    (tmp_path / "a.npz").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"^a.npz: .* is there, and is not what .* move it away"):
        bring(links(hub), tmp_path)
    assert (tmp_path / "a.npz").read_bytes() == b"mine"


def test_what_an_earlier_call_began_is_taken_up(hub, tmp_path):
    (tmp_path / "a.npz.part").write_bytes(FILES["a.npz"][:2000])
    bring(links(hub), tmp_path)
    assert hub.seen[0].headers["range"].startswith("bytes=2000-")
    assert (tmp_path / "a.npz").read_bytes() == FILES["a.npz"]


def test_what_is_not_as_listed_is_refused(hub, tmp_path):
    web = Web(sleep=lambda _: None)
    hub.trees[NEW]["a.npz"] = b"another"
    with pytest.raises(DataError, match=r"^a.npz: .* sends another file than it lists"):
        bring(links(hub), tmp_path, web=web)
    assert not (tmp_path / "a.npz").exists()
    hub.trees[NEW]["a.npz"] = b"<!DOCTYPE html><html>sign in</html>"
    with pytest.raises(DataError, match=r"^a.npz: .* sends a web page in place of the file"):
        bring(links(hub), tmp_path, web=web)


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_names_the_file_and_what_to_do(hub, tmp_path, status):
    web = Web()
    hub.status = status
    with pytest.raises(DataError, match=rf"^a.npz: http.*/store/ .*\({status}\).*by other means"):
        bring(links(hub), tmp_path, web=web)


def test_of_a_file_without_a_digest_the_first_is_recorded_and_must_come_again(hub, tmp_path):
    web = Web(sleep=lambda _: None)
    said, listed = [], links(hub, **{"a.npz": "unverified"})
    bring(listed, tmp_path, said.append)
    assert said[0].endswith(f"unverified: its SHA-256 {sha256('a.npz')} is that of the first fetch")
    (tmp_path / "a.npz").unlink()
    hub.trees[NEW]["a.npz"] = b"another"
    with pytest.raises(DataError, match=r"a.npz: .* sends another file than it lists"):
        bring(listed, tmp_path, web=web)
    hub.trees[NEW]["a.npz"] = FILES["a.npz"]
    bring(listed, tmp_path, web=web)
    assert (tmp_path / "a.npz").read_bytes() == FILES["a.npz"]


@pytest.mark.parametrize("text", ["", "[]", '{"files": []}', '{"files": {"a.npz": {"size": 1}}}'])
def test_a_damaged_record_is_refused_and_not_written_anew(hub, tmp_path, text):
    (tmp_path / "RELEASE.json").write_text(text)
    with pytest.raises(DataError, match=r"RELEASE\.json: no record of what was fetched; move it"):
        bring(links(hub), tmp_path)
    assert (tmp_path / "RELEASE.json").read_text() == text
    assert hub.seen == []


def test_a_data_set_on_the_hub_is_fetched_as_before(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", "")
    release = Release(repository=REPOSITORY, revision=NEW, files=["a.npz"])
    assert bring(release, tmp_path).revision == NEW
    assert (release.place, links(hub).place) == (REPOSITORY, f"{hub.store}/store/")


@pytest.mark.parametrize(
    "change",
    [
        {"source": ""},
        {"url": "http://x/y"},
        {"url": "file:///etc/{file}"},
        {"md5": {"a.npz": "guessed"}},
        {"md5": {"../a.npz": "0" * 32}},
        {"md5": {".a.npz": "0" * 32}},
        {"files": ["*.zip"]},
    ],
)
def test_links_without_a_source_or_digest_are_refused(change):
    good = {"url": "http://x/{file}", "md5": {"a.npz": "0" * 32}, "source": "x", "files": ["*"]}
    assert Links(**good).unverified == []
    with pytest.raises(ValueError, match=next(iter(change))):
        Links(**{**good, **change})
