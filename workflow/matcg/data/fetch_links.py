"""The files of a catalog by plain links, proven by the digests that it lists."""

from collections.abc import Callable
from pathlib import Path

from matcg.config.release import UNVERIFIED, Links, Release
from matcg.data.fetch import RECORD, Fetched, alone, fetch, mb, read_record, write_record
from matcg.data.transfer import HostError, Remote, Web
from matcg.errors import DataError


def bring(
    release: Release | Links,
    folder: Path,
    say: Callable[[str], object] = print,
    web: Web | None = None,
) -> Fetched:
    """Bring the files of a catalog into `folder`, with `RELEASE.json` to tell what they are.

    Of files without a published digest the first one that comes is recorded, and must come again.

    Raises:
        ConfigError, DataError: as `fetch`; a file is not what its digest says, or the record of an
            earlier call is damaged.
        ResourceError: the disk is full.
    """
    if isinstance(release, Release):
        return fetch(release, folder, say)
    web = web or Web()
    with alone(folder):
        held = read_record(folder, RECORD)
        for number, (name, listed) in enumerate(release.chosen.items(), start=1):
            known = held.get(name, {}).get("sha256", "")
            digest = f"md5:{listed}" if listed != UNVERIFIED else known and f"sha256:{known}"
            url = release.url.replace("{file}", name)
            try:
                found = web.bring(Remote(name, url, digest=digest), folder)
            except HostError as error:
                raise DataError(
                    f"{name}: {release.place} {error}; or put the file into {folder} by other means"
                ) from None
            held[name] = {"size": found.size, "sha256": found.sha256}
            how = "there already" if found.before else "fetched"
            if listed == UNVERIFIED:
                how += f", {UNVERIFIED}: its SHA-256 {found.sha256} is that of the first fetch"
            say(f"{number}/{len(release.chosen)} {name}: {mb(found.size)}, {how}")
            # After each, so that what comes later is held to what came first.
            what = {"url": release.url, "source": release.source, "files": held}
            write_record(folder, RECORD, what)
    n_bytes = sum(held[name]["size"] for name in release.chosen)
    return Fetched("", tuple(release.chosen), n_bytes)
