"""Transfers: resumed, patient, checked, and silent about what is secret."""

import base64
import hashlib
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from fake_hosts import PAGE, Answer, FakeHosts, serving

from matcg.data.transfer import ATTEMPTS, HostError, Remote, Web

DATA = bytes(range(256)) * 2000


@pytest.fixture(scope="module")
def server():
    with serving(FakeHosts()) as hosts:
        yield hosts


@pytest.fixture
def hosts(server):
    server.answers.clear()
    server.seen.clear()
    return server


@pytest.fixture(scope="module")
def client():
    waits = []
    found = Web(sleep=waits.append)
    found.waits = waits
    return found


@pytest.fixture
def web(client):
    client.waits.clear()
    return client


def remote(hosts, **changes):
    return Remote(**{"name": "x.zip", "url": f"{hosts.endpoint}/x", **changes})


def test_a_file_is_brought_once(hosts, web, tmp_path):
    hosts.put("/x", DATA)
    found = web.bring(remote(hosts, size=len(DATA)), tmp_path)
    assert (found.size, found.before) == (len(DATA), False)
    assert found.sha256 == hashlib.sha256(DATA).hexdigest()
    assert (tmp_path / "x.zip").read_bytes() == DATA
    again = web.bring(remote(hosts), tmp_path)
    assert (again.before, again.sha256) == (True, found.sha256)
    assert len(hosts.asked("/x")) == 1
    assert hosts.asked("/x")[0]["accept-encoding"] == "identity"


def test_a_cut_transfer_goes_on_where_it_ended(hosts, web, tmp_path):
    hosts.put("/x", Answer(DATA, cut=300_000), Answer(DATA, cut=100_000), DATA)
    assert web.bring(remote(hosts), tmp_path).sha256 == hashlib.sha256(DATA).hexdigest()
    assert [each.get("range") for each in hosts.asked("/x")] == [
        None, "bytes=300000-", "bytes=400000-",
    ]  # fmt: skip
    assert not list(tmp_path.glob("*.part"))


def test_a_later_call_goes_on_too(hosts, web, tmp_path):
    (tmp_path / "x.zip.part").write_bytes(DATA[:1234])
    hosts.put("/x", DATA)
    web.bring(remote(hosts), tmp_path)
    assert hosts.asked("/x")[0]["range"] == "bytes=1234-"
    assert (tmp_path / "x.zip").read_bytes() == DATA


def test_all_of_a_file_is_taken_where_its_host_has_no_ranges(hosts, web, tmp_path):
    (tmp_path / "x.zip.part").write_bytes(b"other")
    hosts.put("/x", Answer(DATA, ranges=False))
    web.bring(remote(hosts), tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == DATA


def test_a_part_that_is_whole_or_too_long_is_noticed(hosts, web, tmp_path):
    hosts.put("/x", DATA)
    (tmp_path / "x.zip.part").write_bytes(DATA)
    web.bring(remote(hosts), tmp_path)
    (tmp_path / "x.zip").rename(tmp_path / "x.zip.part")
    with (tmp_path / "x.zip.part").open("ab") as file:
        file.write(b"more")
    web.bring(remote(hosts), tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == DATA


def test_a_host_without_sizes_is_believed_until_its_stream_ends(hosts, web, tmp_path):
    hosts.put("/x", Answer(DATA, sized=False))
    assert web.bring(remote(hosts), tmp_path).size == len(DATA)


def test_what_brings_nothing_is_given_up(hosts, web, tmp_path):
    hosts.put("/x", Answer(DATA, cut=0))
    with pytest.raises(HostError, match=f"breaks off .*; tried {ATTEMPTS} times, call again later"):
        web.bring(remote(hosts), tmp_path)
    assert web.waits == [1, 2, 4]


def test_what_brings_a_little_each_time_is_not(hosts, web, tmp_path):
    hosts.put("/x", *[Answer(DATA, cut=40_000)] * 20)
    assert web.bring(remote(hosts), tmp_path).size == len(DATA)
    assert len(hosts.asked("/x")) == 13


@pytest.mark.parametrize("dated", [False, True])
def test_it_waits_as_long_as_it_is_asked_to(hosts, web, tmp_path, dated):
    asked = format_datetime(datetime.now(UTC) + timedelta(seconds=90)) if dated else "90"
    hosts.put("/x", Answer(status=429, headers={"Retry-After": asked}), DATA)
    web.bring(remote(hosts), tmp_path)
    (waited,) = web.waits
    assert 60 < waited <= 90


def test_a_used_up_limit_is_waited_for(hosts, web, tmp_path):
    limit = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 60)}
    hosts.put("/x", Answer(status=403, headers=limit), DATA)
    web.bring(remote(hosts), tmp_path)
    (waited,) = web.waits
    assert 30 < waited <= 60


def test_it_does_not_wait_for_hours(hosts, web, tmp_path):
    hosts.put("/x", Answer(status=429, headers={"Retry-After": "7200"}))
    with pytest.raises(HostError, match=r"asks to wait for 7200 s \(429\); call again then"):
        web.bring(remote(hosts), tmp_path)
    assert web.waits == []


def test_a_date_gone_by_or_no_date_waits_by_itself(hosts, web, tmp_path):
    past = format_datetime(datetime.now(UTC) - timedelta(days=1))
    hosts.put(
        "/x",
        Answer(status=503, headers={"Retry-After": past}),
        Answer(status=503, headers={"Retry-After": "soon"}),
        DATA,
    )
    web.bring(remote(hosts), tmp_path)
    assert web.waits == [0, 2]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "asks who you are"),
        (403, "rules are not accepted"),
        (404, "nothing there"),
        (410, "410"),
    ],
)
def test_a_refusal_is_not_repeated_and_says_no_secret(hosts, web, tmp_path, status, why):
    secret = {"Authorization": "Bearer verysecret"}
    hosts.put("/x?sig=verysecret", Answer(b"no: Bearer verysecret", status))
    with pytest.raises(HostError, match=why) as caught:
        web.bring(remote(hosts, url=f"{hosts.endpoint}/x?sig=verysecret"), tmp_path, secret)
    assert caught.value.status == status
    assert "verysecret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert len(hosts.seen) == 1


def test_a_token_is_not_handed_on_to_another_host(hosts, web, tmp_path):
    with serving(FakeHosts()) as store:
        store.put("/store", DATA)
        hosts.put("/x", Answer(status=302, headers={"Location": f"{store.endpoint}/store?sig=1"}))
        store.put("/store?sig=1", DATA)
        web.bring(remote(hosts), tmp_path, {"Authorization": "Basic c2VjcmV0"})
        assert "authorization" in hosts.asked("/x")[0]
        assert "authorization" not in store.asked("/store?sig=1")[0]


@pytest.mark.parametrize(
    "page",
    [
        Answer(PAGE, headers={"Content-Type": "text/html; charset=utf-8"}),
        Answer(b"\n<html>" + DATA),
    ],
)
def test_a_login_page_in_place_of_a_file_is_not_kept(hosts, web, tmp_path, page):
    hosts.put("/x", page)
    with pytest.raises(HostError, match="a web page in place of the file: it wants a login"):
        web.bring(remote(hosts), tmp_path)
    assert not list(tmp_path.iterdir())
    # Nor is what an earlier call brought lost to it.
    (tmp_path / "x.zip.part").write_bytes(DATA[:99])
    page.ranges = False
    with pytest.raises(HostError, match="a web page"):
        web.bring(remote(hosts), tmp_path)
    assert (tmp_path / "x.zip.part").read_bytes() == DATA[:99]


def test_another_size_than_listed_is_refused_before_it_is_fetched(hosts, web, tmp_path):
    hosts.put("/x", DATA)
    with pytest.raises(HostError, match=f"sends {len(DATA)} bytes and lists 5"):
        web.bring(remote(hosts, size=5), tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_digest_than_listed_is_refused(hosts, web, tmp_path):
    right = f"md5:{hashlib.md5(DATA).hexdigest()}"
    hosts.put("/x", DATA[::-1], DATA)
    assert web.bring(remote(hosts, digest=right), tmp_path).size == len(DATA)
    (tmp_path / "x.zip").unlink()
    hosts.put("/x", DATA[::-1])
    with pytest.raises(HostError, match="another file than it lists"):
        web.bring(remote(hosts, digest=right), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_digest_that_google_s_storage_tells_is_held_to(hosts, web, tmp_path):
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    hosts.put("/x", Answer(DATA, headers={"X-Goog-Hash": f"crc32c=AAAAAA==,md5={md5}"}))
    with pytest.raises(HostError, match="another file than it lists"):
        web.bring(remote(hosts), tmp_path)


def test_a_file_of_the_user_s_own_is_not_replaced(hosts, web, tmp_path):
    (tmp_path / "x.zip").write_bytes(b"mine")
    with pytest.raises(
        HostError, match=r"x\.zip is there, and is not what the host lists; move it"
    ):
        web.bring(remote(hosts, size=len(DATA)), tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == b"mine"
    assert hosts.seen == []


def test_bytes_from_elsewhere_in_the_file_are_not_taken(hosts, web, tmp_path):
    (tmp_path / "x.zip.part").write_bytes(DATA[:100])
    hosts.put("/x", Answer(DATA, 206, {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}))
    with pytest.raises(HostError, match="other bytes than it was asked for"):
        web.bring(remote(hosts), tmp_path)


def test_an_api_that_answers_with_a_page_is_told(hosts, web):
    hosts.put("/api", PAGE)
    with pytest.raises(HostError, match="no JSON"):
        web.json(f"{hosts.endpoint}/api")
    hosts.put("/api", Answer(status=429, headers={"Retry-After": "3"}), b'{"a": 1}')
    assert web.json(f"{hosts.endpoint}/api") == {"a": 1}
    assert web.waits == [3]


def test_sizes_are_told_where_a_host_tells_them(hosts, web):
    hosts.put("/x", DATA)
    assert web.size(f"{hosts.endpoint}/x") == len(DATA)
    assert web.size(f"{hosts.endpoint}/none") is None
    assert web.size("http://127.0.0.1:9/x") is None


def test_without_a_network_one_line_says_so(web, tmp_path):
    with pytest.raises(HostError, match=r"cannot be reached, or breaks off \(ConnectError\)"):
        web.bring(Remote("x.zip", "http://user:verysecret@127.0.0.1:9/x"), tmp_path)
