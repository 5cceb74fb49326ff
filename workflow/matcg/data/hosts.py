"""What hosts of data sets list: files with sizes, digests and licence, by their public APIs.

One function a host. Kaggle's own library, kagglehub, is not used: it keeps files in a folder of its
own, unpacks them without bounds, removes the archive, reads tokens from files too, and does not
wait when it is told to; the two addresses that it asks are below.
"""

import base64
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from matcg.config.release import UNVERIFIED
from matcg.data.archives import ending
from matcg.data.fetch import NONSENSE
from matcg.data.transfer import Headers, HostError, Remote, Web
from matcg.errors import ConfigError

TOKENS = "Tokens are read from KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY"
_MANY = 100  # files: above, the host's archive of all of them is asked for

_KAGGLE = "https://www.kaggle.com/api/v1"
_MENDELEY = "https://data.mendeley.com/public-api"


class ByHandError(HostError):
    """Why no machine can get the files of a source dataset."""


@dataclass(frozen=True)
class Offer:
    """What a host offers at a link.

    `licence` is as the host words it, `n_bytes` what it says of the size of all files, which need
    not be the sum of what is sent. `headers` are sent to the host alone, and never shown.
    """

    licence: str
    files: tuple[Remote, ...]
    version: str = ""
    n_bytes: int | None = None
    headers: Headers = field(default_factory=dict, repr=False)


def offer(web: Web, link: str, files: Iterable[str] = ()) -> Offer:
    """Return what is to be had at the link of a source dataset, or at links to its files.

    Raises:
        ConfigError: a token of the environment cannot be one.
        ByHandError: nothing that a machine can get.
        HostError: the host refuses, or cannot be reached.
    """
    if not link:
        raise ByHandError("no link is known: the catalog's table of source datasets lacks it")
    direct = tuple(files) or ((link,) if ending(urlsplit(link).path) else ())
    if direct:
        return _plain(web, direct)
    for pattern, ask in _HOSTS.items():
        if found := re.search(pattern, link):
            try:
                return ask(web, *found.groups())
            except NONSENSE as error:
                what = type(error).__name__
                raise HostError(f"answers otherwise than its API is known to ({what})") from None
    raise ByHandError("a page, no link to a file, of no host whose API is known")


def _plain(web: Web, links: Iterable[str]) -> Offer:
    # What a host says of a file before it sends it, some say wrongly.
    files = [Remote(_name(unquote(urlsplit(each).path)), each) for each in links]
    return Offer(UNVERIFIED, tuple(files), n_bytes=_sum(web.size(file.url) for file in files))


def _kaggle(web: Web, owner: str, name: str) -> Offer:
    """Return a data set of Kaggle, as one archive of its newest version.

    Source: https://github.com/Kaggle/kagglehub (src/kagglehub/http_resolver.py, clients.py): the
    addresses, `currentVersionNumber`, digest by X-Goog-Hash. `licenseName` and `totalBytes` were
    seen in answers that others quote; what the latter counts is unverified.
    """
    headers = _kaggle_token()
    told = web.json(f"{_KAGGLE}/datasets/view/{owner}/{name}", headers)
    version = int(told["currentVersionNumber"])
    url = f"{_KAGGLE}/datasets/download/{owner}/{name}?dataset_version_number={version}"
    licence = told.get("licenseName") or UNVERIFIED
    files = (Remote(f"{name}.zip", url),)
    return Offer(licence, files, str(version), _size(told.get("totalBytes")), headers)


def _competition(web: Web, name: str) -> Offer:
    """Return the data of a competition, whose rules its user must have accepted on its page.

    Source: as `_kaggle`, for the archive; the list of files, and `totalBytes` in it, is unverified.
    """
    headers = _kaggle_token()
    told = web.json(f"{_KAGGLE}/competitions/data/list/{name}", headers)
    n_bytes = None if told.get("nextPageToken") else _sum(map(_size_in, told["files"]))
    licence = f"the rules at https://www.kaggle.com/competitions/{name}/rules"
    files = (Remote(f"{name}.zip", f"{_KAGGLE}/competitions/data/download-all/{name}"),)
    return Offer(licence, files, n_bytes=n_bytes, headers=headers)


def _kaggle_token() -> Headers:
    """Return how Kaggle is told who asks; without a token it gives most data sets all the same.

    Source: https://github.com/Kaggle/kagglehub (config.py) for name and key; that a token alone,
    KAGGLE_API_TOKEN, is sent as a bearer's was seen in others' code (unverified).
    """
    token, user, key = (
        os.environ.get(f"KAGGLE_{name}", "").strip() for name in ("API_TOKEN", "USERNAME", "KEY")
    )
    if not re.fullmatch(r"[!-~]*", token + user + key):
        raise ConfigError(
            "KAGGLE_API_TOKEN, KAGGLE_USERNAME or KAGGLE_KEY: holds what no token has"
        )
    if token:
        return {"Authorization": f"Bearer {token}"}
    if user and key:
        both = base64.b64encode(f"{user}:{key}".encode()).decode()
        return {"Authorization": f"Basic {both}"}
    return {}


def _zenodo(web: Web, number: str) -> Offer:
    """Return a record of Zenodo.

    Source: https://github.com/J535D165/datahugger for key, size, checksum (`md5:...`), links.self.
    """
    told = web.json(f"https://zenodo.org/api/records/{number}")
    files = [
        Remote(_name(each["key"]), each["links"]["self"], int(each["size"]), each["checksum"])
        for each in told.get("files") or ()
    ]
    licence = (told["metadata"].get("license") or {}).get("id") or UNVERIFIED
    return _listed(licence, files, number)


def _figshare(web: Web, number: str, version: str | None, file: str | None) -> Offer:
    """Return an article of figshare, or the file of it that the link names.

    Source: https://github.com/figshare/user_documentation (APIv2/articles.md, presenters/file.md);
    https://github.com/J535D165/datahugger for the address of a version.
    """
    of = f"/versions/{version}" if version else ""
    told = web.json(f"https://api.figshare.com/v2/articles/{number}{of}")
    listed = [each for each in told["files"] if not each["is_link_only"]]
    files = [
        Remote(
            *(_name(each["name"]), each["download_url"], int(each["size"])),
            f"md5:{each['computed_md5']}",
        )
        for each in [each for each in listed if str(each["id"]) == file] or listed
    ]
    return _listed(told["license"]["name"], files, str(told["version"]))


def _private(web: Web) -> Offer:
    del web
    raise ByHandError("a private link, which figshare's API does not know")


def _mendeley(web: Web, name: str, version: str) -> Offer:
    """Return a version of a data set of Mendeley Data.

    Source: https://github.com/J535D165/datahugger for `filename`, `size` and `content_details`;
    `data_licence` was seen in answers that others quote, the archive of all files, which names no
    size, in others' scripts.
    """
    told = web.json(f"{_MENDELEY}/datasets/{name}?version={version}")
    files = [
        Remote(
            *(_name(each["filename"]), each["content_details"]["download_url"], int(each["size"])),
            f"sha256:{each['content_details']['sha256_hash']}",
        )
        for each in told["files"]
    ]
    found = _listed(told["data_licence"]["short_name"], files, version)
    names = Counter(file.name for file in files)
    if len(files) > _MANY or len(names) < len(files):
        url = f"{_MENDELEY}/zip/{name}/download/{version}"
        return Offer(found.licence, (Remote(f"{name}-{version}.zip", url),), version, found.n_bytes)
    return found


def _github(web: Web, owner: str, name: str) -> Offer:
    """Return the newest commit of a repository as an archive, which names no size.

    Source: https://docs.github.com/en/rest/repos/repos#get-a-repository, and there
    rest/commits/commits#get-a-commit, rest/repos/contents#download-a-repository-archive-zip.
    """
    base = f"https://api.github.com/repos/{owner}/{name}"
    told = web.json(base)
    commit = str(web.json(f"{base}/commits/{told['default_branch']}")["sha"])
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise ValueError(commit)
    licence = (told.get("license") or {}).get("spdx_id") or UNVERIFIED
    files = (Remote(f"{_name(name)}-{commit[:7]}.zip", f"{base}/zipball/{commit}"),)
    return Offer(licence, files, commit)


def _listed(licence: str, files: list[Remote], version: str) -> Offer:
    if not files:
        raise ByHandError("lists no files: access to them may be restricted")
    return Offer(str(licence), tuple(files), version, _sum(file.size for file in files))


def _name(given: str) -> str:
    """Return what a file is called on this disk: the end of its path, without what none takes.

    Raises:
        ValueError: nothing is left.
    """
    name = re.split(r"[\\/]", given)[-1].lstrip(".")
    name = "".join(sign if sign.isprintable() else "_" for sign in name)
    if not name.strip() or len(name.encode()) > 200:
        raise ValueError(f"file name {given!r}")
    return name


def _size(given: Any) -> int | None:
    return int(given) if given else None


def _size_in(file: Any) -> int | None:
    return _size(file.get("totalBytes"))


def _sum(sizes: Iterable[int | None]) -> int | None:
    found = list(sizes)
    return None if None in found else sum(each or 0 for each in found)


_SLUG = r"([\w.-]+)"
_HOSTS: dict[str, Callable[..., Offer]] = {
    rf"^https?://(?:www\.)?kaggle\.com/datasets/{_SLUG}/{_SLUG}": _kaggle,
    rf"^https?://(?:www\.)?kaggle\.com/(?:c|competitions)/{_SLUG}": _competition,
    r"^https?://zenodo\.org/records?/(\d+)": _zenodo,
    r"/10\.5281/zenodo\.(\d+)": _zenodo,
    r"^https?://figshare\.com/s/": _private,
    r"^https?://figshare\.com/articles/[^?#]*?/(\d+)(?:/(\d+))?/?(?:\?file=(\d+))?$": _figshare,
    r"^https?://data\.mendeley\.com/datasets/(\w+)/(\d+)": _mendeley,
    rf"^https?://github\.com/{_SLUG}/{_SLUG}/?(?:[?#].*)?$": _github,
}
