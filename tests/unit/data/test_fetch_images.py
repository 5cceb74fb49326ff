"""Images fetched from imitated hosts: what each lists, does wrong, and what is said of it."""

import csv
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fake_hosts import PAGE, Answer, FakeHosts, serving

from data_makers import asked, picture, row, spec
from matcg.config.library import load
from matcg.data.fetch_images import fetch_images
from matcg.data.homes import RECORD, Downloads, links_of
from matcg.data.hosts import Offer, offer
from matcg.data.transfer import HostError, Web
from matcg.errors import ConfigError, DataError

SECRET = "verysecret"
CATALOG = Path(__file__).parents[3] / "catalogs/medmat.yaml"


def archive(number=1):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr(f"{number}.png", picture(number))
    return file.getvalue()


DATA = archive()
SHA256, MD5 = hashlib.sha256(DATA).hexdigest(), hashlib.md5(DATA).hexdigest()
COMMIT = "c0ffee" + "1" * 34


@dataclass(frozen=True)
class Host:
    """A host: a link to it, its API's answers by path, the path of its file; what is expected."""

    link: str
    file: str
    name: str
    api: dict[str, object] = field(default_factory=dict)
    licence: str = "unverified"
    listed: bool = False  # tells the size of the file
    said: bool = True  # tells how much is to come
    direct: tuple[str, ...] = ()


HOSTS = {
    "kaggle": Host(
        "https://www.kaggle.com/datasets/some/busi?select=x.csv",
        "/api/v1/datasets/download/some/busi?dataset_version_number=3",
        "busi.zip",
        {
            "/api/v1/datasets/view/some/busi": {
                "currentVersionNumber": 3, "licenseName": "CC0: Public Domain", "totalBytes": 999,
            }
        },
        "CC0: Public Domain",
    ),
    "competition": Host(
        "https://www.kaggle.com/c/pneumo/data",
        "/api/v1/competitions/data/download-all/pneumo",
        "pneumo.zip",
        {"/api/v1/competitions/data/list/pneumo": {"files": [{"name": "a", "totalBytes": 999}]}},
        "the rules at https://www.kaggle.com/competitions/pneumo/rules",
    ),
    "zenodo": Host(
        "https://commons.datacite.org/doi.org/10.5281/zenodo.77",
        "/api/records/77/files/images.zip/content",
        "images.zip",
        {
            "/api/records/77": {
                "metadata": {"license": {"id": "cc-by-4.0"}},
                "files": [
                    {
                        "key": "images.zip", "size": len(DATA), "checksum": f"md5:{MD5}",
                        "links": {"self": "https://zenodo.org/api/records/77/files/images.zip/content"},
                    }
                ],
            }
        },
        "cc-by-4.0",
        listed=True,
    ),
    "figshare": Host(
        "https://figshare.com/articles/figure/A_Title_19/1968/1?file=34",
        "/files/34",
        "fives.zip",
        {
            "/v2/articles/1968/versions/1": {
                "version": 1,
                "license": {"name": "CC BY 4.0"},
                "files": [
                    {
                        "id": number, "name": name, "size": len(DATA), "is_link_only": False,
                        "computed_md5": MD5,
                        "download_url": f"https://ndownloader.figshare.com/files/{number}",
                    }
                    for number, name in ((33, "other.zip"), (34, "fives.zip"))
                ],
            }
        },
        "CC BY 4.0",
        listed=True,
    ),
    "mendeley": Host(
        "https://data.mendeley.com/datasets/zr7vgb/2",
        "/public-files/one/file_downloaded",
        "skin.zip",
        {
            "/public-api/datasets/zr7vgb?version=2": {
                "data_licence": {"short_name": "CC BY 4.0"},
                "files": [
                    {
                        "filename": "skin.zip", "size": len(DATA),
                        "content_details": {
                            "sha256_hash": SHA256,
                            "download_url": "https://data.mendeley.com/public-files/one/file_downloaded",
                        },
                    }
                ],
            }
        },
        "CC BY 4.0",
        listed=True,
    ),
    "github": Host(
        "https://github.com/some/covid.gr?tab=readme-ov-file",
        f"/repos/some/covid.gr/zipball/{COMMIT}",
        "covid.gr-c0ffee1.zip",
        {
            "/repos/some/covid.gr": {"default_branch": "main", "license": {"spdx_id": "MIT"}},
            "/repos/some/covid.gr/commits/main": {"sha": COMMIT},
        },
        "MIT",
        said=False,
    ),
    "isic": Host(
        "https://challenge.isic-archive.com/data/#2018",
        "/2018/Task3.zip",
        "Task3.zip",
        direct=("https://isic-challenge-data.s3.amazonaws.com/2018/Task3.zip",),
    ),
    "plain": Host("https://openi.nlm.nih.gov/imgs/Set%201.zip", "/imgs/Set%201.zip", "Set 1.zip"),
}  # fmt: skip
BASES = (
    "https://www.kaggle.com", "https://zenodo.org", "https://api.figshare.com",
    "https://ndownloader.figshare.com", "https://data.mendeley.com", "https://api.github.com",
    "https://isic-challenge-data.s3.amazonaws.com", "https://openi.nlm.nih.gov",
)  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with serving(FakeHosts()) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def client(server):
    return Web(dict.fromkeys(BASES, server.endpoint), sleep=lambda _: None)


class Fetching:
    """A tiny release whose image 1.png, of dataset 5, is missing, and imitated hosts."""

    def __init__(self, root, server, web):
        server.answers.clear()
        server.seen.clear()
        self.root, self.server, self.web = root / "in", server, web
        self.downloads, self.out = self.root / "downloads", root / "fetch.tsv"
        self.rows([row(1, image="a/1.png")])
        self.links, self.direct = {}, {}
        self.said = []

    def rows(self, rows):
        (self.root / "Aggregated_Subsets").mkdir(parents=True, exist_ok=True)
        (self.root / "Aggregated_Subsets/Subset--30-train.json").write_text(json.dumps(rows))

    def serve(self, host, dataset="5", data=DATA):
        self.links[dataset], self.direct[dataset] = (f"Set {dataset}", host.link), host.direct
        for path, answer in host.api.items():
            self.server.put(path, json.dumps(answer).encode())
        self.server.put(host.file, data)
        return host

    def fetch(self, at_once=1):
        given = {"tiny": Downloads(self.root, self.downloads, self.links, self.direct)}
        fetch_images([asked(spec())], given, self.out, at_once, self.said.append, self.web)

    def run(self, at_once=1):
        self.said = []
        try:
            self.fetch(at_once)
            self.error = ""
        except DataError as error:
            self.error = str(error)
        with self.out.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        text = self.out.read_text() + self.error + "".join(self.said)
        assert SECRET not in text
        return {each["dataset"]: each for each in rows}


@pytest.fixture
def at(tmp_path, server, client, monkeypatch):
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    return Fetching(tmp_path, server, client)


@pytest.mark.parametrize("name", HOSTS)
def test_files_come_with_their_licence_from_every_host(at, name):
    host = at.serve(HOSTS[name])
    found = at.run()["5"]
    assert (found["state"], found["reason"], at.error) == ("fetched", "", "")
    assert (at.downloads / "5" / host.name).read_bytes() == DATA
    assert found["licence"] == host.licence
    # Before the first byte: how much, under which licence, from where.
    size = "MB" if host.said else "size not said"
    assert at.said[0].startswith("tiny dataset 5 Set 5: 1 file, ")
    assert size in at.said[0]
    assert at.said[0].endswith(f"licence: {host.licence}; {host.link}")
    assert "that are free" in at.said[1]
    record = json.loads((at.downloads / "5" / RECORD).read_text())
    assert record["files"] == {host.name: {"size": len(DATA), "sha256": SHA256}}
    assert (record["licence"], record["link"]) == (host.licence, host.link)
    secrets = [headers.get("authorization") for _, headers in at.server.seen]
    assert set(secrets) == ({f"Bearer {SECRET}"} if "kaggle.com" in host.link else {None})
    # What is there is not fetched again.
    before = len(at.server.asked(host.file))
    assert at.run()["5"]["state"] == "fetched"
    assert "there already" in at.said[2]
    assert len(at.server.asked(host.file)) == before


MISCHIEF = {
    "401": (Answer(b"Bearer verysecret", 401), "asks who you are"),
    "403": (Answer(b"accept the rules first", 403), "its rules are not accepted"),
    "404": (Answer(status=404), "has nothing there (404)"),
    "page": (
        Answer(PAGE, headers={"Content-Type": "text/html"}),
        "a web page in place of the file",
    ),
    "cut": (Answer(DATA, cut=0), "breaks off"),
    "hours": (Answer(status=429, headers={"Retry-After": "9999"}), "asks to wait for 9999 s"),
}


@pytest.mark.parametrize("what", MISCHIEF)
@pytest.mark.parametrize("name", HOSTS)
def test_what_a_host_does_wrong_is_said_with_the_link(at, name, what):
    host = at.serve(HOSTS[name])
    answer, why = MISCHIEF[what]
    at.server.put(host.file, answer)
    found = at.run()["5"]
    assert found["state"] == "failed"
    assert why in found["reason"]
    assert found["reason"].endswith(f"Open {host.link}")
    told = "Tokens are read from KAGGLE_API_TOKEN" in found["reason"]
    assert told == ("kaggle.com" in host.link and what in ("401", "403"))
    assert at.error.startswith("1 of 1 source dataset could not be fetched: tiny dataset 5 Set 5: ")
    assert not (at.downloads / "5" / host.name).exists()
    # The next call goes on.
    at.server.put(host.file, DATA)
    assert at.run()["5"]["state"] == "fetched"


@pytest.mark.parametrize("name", HOSTS)
def test_every_host_s_transfers_go_on_where_they_broke_and_wait(at, name):
    host = at.serve(HOSTS[name])
    patience = Answer(status=429, headers={"Retry-After": "1"})
    at.server.put(host.file, patience, Answer(DATA, cut=100), DATA)
    assert at.run()["5"]["state"] == "fetched"
    ranges = [each.get("range") for each in at.server.asked(host.file)]
    assert ranges == [None, None, "bytes=100-"]
    assert (at.downloads / "5" / host.name).read_bytes() == DATA


@pytest.mark.parametrize("name", [name for name, host in HOSTS.items() if host.listed])
def test_another_size_or_digest_than_listed_is_refused(at, name):
    host = at.serve(HOSTS[name])
    at.server.put(host.file, DATA + b"more")
    assert f"sends {len(DATA) + 4} bytes and lists {len(DATA)}" in at.run()["5"]["reason"]
    at.server.put(host.file, DATA[::-1])
    assert "another file than it lists" in at.run()["5"]["reason"]


@pytest.mark.parametrize("what", ["401", "403", "404", "hours"])
@pytest.mark.parametrize("name", [name for name, host in HOSTS.items() if host.api])
def test_an_api_that_refuses_is_said_too(at, name, what):
    host = at.serve(HOSTS[name])
    answer, why = MISCHIEF[what]
    at.server.put(next(iter(host.api)), answer)
    found = at.run()["5"]
    assert (found["state"], found["files"]) == ("failed", "0")
    assert why in found["reason"]


@pytest.mark.parametrize("answer", [b"[]", b"{}", b'{"files": [7]}', b"null", b"7"])
@pytest.mark.parametrize("name", [name for name, host in HOSTS.items() if host.api])
def test_an_api_that_answers_otherwise_is_said(at, name, answer):
    host = at.serve(HOSTS[name])
    at.server.put(next(iter(host.api)), answer)
    found = at.run()["5"]
    assert found["state"] in ("failed", "by hand")
    assert "its API is known to" in found["reason"] or "lists no files" in found["reason"]


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("https://tianchi.aliyun.com/dataset/93929", "a page, no link to a file"),
        ("https://github.com/openmedlab/Awesome/blob/main/RFMiD.md", "a page, no link to a file"),
        ("https://figshare.com/s/c2d31f850af14c5b5232", "a private link"),
    ],
)
def test_what_no_machine_can_get_is_listed_and_is_no_failure(at, link, why):
    at.links["5"] = ("Set 5", link)
    found = at.run()["5"]
    assert (found["state"], at.error) == ("by hand", "")
    assert why in found["reason"]
    assert at.said[0].endswith(f"Open {link}; its folder is {at.downloads}/5")


def test_a_source_dataset_without_a_link_is_listed_too(at):
    at.rows([row(n, image=f"a/{n}.png", **{"data-no": name}) for n, name in enumerate("56")])
    at.serve(HOSTS["plain"], "6")
    found = at.run()
    assert [(name, each["state"]) for name, each in found.items()] == [
        ("6", "fetched"), ("5", "by hand"),
    ]  # fmt: skip
    assert found["5"]["reason"].startswith("no link is known")


def test_only_what_is_missing_is_fetched_and_one_link_once(at):
    at.rows([row(n, image=f"a/{n}.png", **{"data-no": str(n)}) for n in range(1, 5)])
    for n in range(1, 5):
        at.serve(HOSTS["plain"] if n < 3 else HOSTS["zenodo"], str(n))
    (at.root / "a").mkdir()
    for n in (3, 4):
        (at.root / f"a/{n}.png").write_bytes(picture(n))
    found = at.run(at_once=2)
    assert {name: each["missing"] for name, each in found.items()} == {"1": "2"}
    assert len(at.server.asked(HOSTS["plain"].file)) == 1


def test_several_are_fetched_at_a_time(at):
    at.rows([row(n, image=f"a/{n}.png", **{"data-no": str(n)}) for n in range(len(HOSTS))])
    for n, host in enumerate(HOSTS.values()):
        at.serve(host, str(n))
    at.server.put(HOSTS["zenodo"].file, Answer(status=404))
    found = at.run(at_once=4)
    assert [each["state"] for each in found.values()].count("fetched") == len(HOSTS) - 1
    assert at.error.startswith(f"1 of {len(HOSTS)} source datasets could not be fetched")


def test_another_file_than_the_first_fetch_recorded_is_refused(at):
    host = at.serve(HOSTS["plain"])
    at.run()
    (at.downloads / "5" / host.name).unlink()
    at.server.put(host.file, archive(2))
    found = at.run()["5"]
    assert "is not what was fetched first" in found["reason"]
    assert SHA256[:12] in found["reason"]


def test_a_damaged_record_is_refused(at):
    at.serve(HOSTS["plain"])
    (at.downloads / "5").mkdir(parents=True)
    (at.downloads / "5" / RECORD).write_text('{"files": ')
    found = at.run()["5"]
    assert found["state"] == "failed"
    assert f"5/{RECORD}: no record of what was fetched; move it away" in found["reason"]


def test_many_files_of_mendeley_come_as_its_archive(at):
    host = HOSTS["mendeley"]
    ((path, told),) = host.api.items()
    file = told["files"][0]
    for files in ([file] * 2, [file | {"filename": f"{n}.png"} for n in range(101)]):
        at.server.put(path, json.dumps(told | {"files": files}).encode())
        found = offer(at.web, host.link)
        assert [each.name for each in found.files] == ["zr7vgb-2.zip"]
        assert found.files[0].url.endswith("/public-api/zip/zr7vgb/download/2")
        assert found.n_bytes == len(files) * len(DATA)


def test_names_that_hosts_give_stay_in_the_folder(at):
    host = HOSTS["zenodo"]
    ((path, told),) = host.api.items()
    for name, kept in (("../../evil.zip", "evil.zip"), ("..\\.x\n.zip", "x_.zip")):
        files = [told["files"][0] | {"key": name}]
        at.server.put(path, json.dumps(told | {"files": files}).encode())
        assert [each.name for each in offer(at.web, host.link).files] == [kept]
    at.server.put(
        path, json.dumps(told | {"files": [told["files"][0] | {"key": "../.."}]}).encode()
    )
    with pytest.raises(HostError, match="answers otherwise"):
        offer(at.web, host.link)


def test_more_than_the_disk_has_room_for_is_refused_before_it_begins(at):
    host = at.serve(HOSTS["kaggle"])
    ((path, told),) = host.api.items()
    at.server.put(path, json.dumps(told | {"totalBytes": 10**18}).encode())
    with pytest.raises(DataError, match=r"are to be fetched and .* free; make room"):
        at.fetch()
    assert at.server.asked(host.file) == []


def test_tokens_are_the_environment_s_and_never_shown(at, monkeypatch):
    host = at.serve(HOSTS["kaggle"])
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    at.run()
    assert {headers.get("authorization") for _, headers in at.server.seen} == {None}
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", SECRET)
    found = offer(at.web, host.link)
    assert found.headers == {"Authorization": "Basic bWU6dmVyeXNlY3JldA=="}
    assert "bWU6" not in repr(found)
    assert isinstance(found, Offer)
    monkeypatch.setenv("KAGGLE_KEY", f"{SECRET}\nX: y")
    with pytest.raises(ConfigError, match="what no token has") as caught:
        offer(at.web, host.link)
    assert SECRET not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_said(at):
    at.serve(HOSTS["plain"])
    at.downloads.write_bytes(b"a file")
    assert f"{at.downloads}" in at.run()["5"]["reason"]


def test_without_questions_nothing_is_known_to_be_missing(at):
    (at.root / "Aggregated_Subsets/Subset--30-train.json").unlink()
    at.serve(HOSTS["plain"])
    assert at.run() == {}
    assert at.said[0].startswith("Of 1 of 1 subsets the questions are missing: subset 30: none of")


def test_the_links_to_files_of_med_mat_s_catalog():
    found = links_of(load("catalog", CATALOG))
    assert sorted(found) == ["10", "71", "72", "90", "91"]
    assert all(
        link.startswith("https://isic-challenge-data.s3.amazonaws.com/20")
        for links in found.values()
        for link in links
    )
