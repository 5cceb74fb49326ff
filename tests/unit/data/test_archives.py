"""Archives that mean harm, are damaged or are none: refused whole, in one line that says why."""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from matcg.data import archives
from matcg.data.archives import Room, unpack, unpack_below
from matcg.errors import DataError

ROOM = 2**20


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members:
            file.writestr(name, data)
    return path


def tarred(path: Path, *members: tuple[str | tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def special(name: str, kind: bytes, target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def linked(name: str, mode: int = stat.S_IFLNK) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (mode | 0o777) << 16
    return info


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refusal(archive: Path, room: int = ROOM) -> str:
    """Return why an archive is refused, having seen that nothing was written."""
    before = files_in(archive.parent.parent)
    with pytest.raises(DataError) as caught:
        unpack(archive, archive.parent / "out", Room(room))
    assert files_in(archive.parent.parent) == before
    assert list(archive.parent.iterdir()) == [archive]
    text = str(caught.value)
    assert text.startswith(f"{archive}: ")
    assert text.isprintable()
    return text.removeprefix(f"{archive}: ")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    found = tmp_path / "downloads"
    found.mkdir()
    return found


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_files_are_unpacked_in_their_folders(place: Path, ending: str) -> None:
    name, files = (
        place / f"a.{ending}",
        {"a/1.png": b"one" * 999, "./b/c/2.png": b"", "ä.txt": b"x"},
    )
    if ending == "zip":
        zipped(name, ("a/", b""), *files.items())
    else:
        mode = {"tar": "w", "tgz": "w:gz"}.get(ending, f"w:{ending[-3:].strip('.')}")
        tarred(name, (special("a", tarfile.DIRTYPE), b""), *files.items(), mode=mode)
    room = Room(ROOM)
    unpack(name, place / "out", room)
    assert files_in(place / "out") == {"a/1.png": b"one" * 999, "b/c/2.png": b"", "ä.txt": b"x"}
    assert room == Room(ROOM - 2998, archives.MEMBERS - 4)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil", "climbs with '..'"),
        ("a/../../evil", "climbs with '..'"),
        ("a/../b", "climbs with '..'"),
        ("..\\evil", "climbs with '..'"),
        ("/tmp/evil", "path is absolute"),
        ("\\evil", "path is absolute"),
        ("C:\\evil", "path is absolute"),
        ("C:evil", "path is absolute"),
        ("x" * 300, "none that a disk takes"),
    ],
)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_no_path_leads_out(place: Path, name: str, why: str, make) -> None:
    archive = make(place / ("a.zip" if make is zipped else "a.tar"), ("ok", b"1"), (name, b"2"))
    text = refusal(archive)
    assert why in text
    assert ascii(name)[:20] in text
    assert "by hand into a." in text


def test_nothing_but_files_is_made(place: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"Z"):
        archive = tarred(place / "a.tar", (special("x", kind), b""), ("x/passwd", b"1"))
        assert refusal(archive).startswith("refused: 'x': a link, a device"), kind
        archive.unlink()
    for mode in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
        archive = zipped(place / "a.zip", (linked("x", mode), b"/etc"), ("x/passwd", b"1"))
        assert refusal(archive).startswith("refused: 'x': a link or device")
        archive.unlink()


def test_two_members_of_one_name_are_refused(place: Path) -> None:
    for pair in (("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b", "a"), ("a/b", "a\\b")):
        archive = tarred(place / "a.tar", *((name, b"1") for name in pair))
        assert "another member has this name" in refusal(archive), pair
        archive.unlink()
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = zipped(place / "a.zip", ("a", b"1"), ("a", b"2"))
    assert refusal(archive).startswith("refused: 'a': another member")


def test_names_that_differ_by_case_alone_never_overwrite_each_other(place: Path) -> None:
    archive = zipped(place / "a.zip", ("A.png", b"1"), ("a.png", b"2"))
    (place / "Case").touch()
    if (place / "case").exists():
        assert "another member has this name" in refusal(archive)
    else:
        unpack(archive, place / "out", Room(ROOM))
        assert files_in(place / "out") == {"A.png": b"1", "a.png": b"2"}


def test_an_encrypted_zip_is_refused(place: Path) -> None:
    archive = zipped(place / "a.zip", ("a.png", b"secret"))
    data = bytearray(archive.read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + at] |= 1
    archive.write_bytes(data)
    assert refusal(archive).startswith("refused: 'a.png': encrypted;")


def test_what_unpacks_in_memory_or_not_at_all_is_refused(place: Path) -> None:
    with zipfile.ZipFile(place / "a.zip", "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("a", b"1")
    assert "packed in a way that is not read" in refusal(place / "a.zip")
    (place / "a.zip").rename(place / "a.rar")
    assert ".rar is not read" in refusal(place / "a.rar")


def test_bombs_stop_at_what_is_declared_and_at_what_there_is(place: Path) -> None:
    archive = zipped(place / "a.zip", ("small", b"1"), ("large", bytes(ROOM)))
    assert refusal(archive).startswith("refused: 'large': too many bytes")
    # The size is a lie, in both places where it stands.
    data = archive.read_bytes().replace(struct.pack("<I", ROOM), struct.pack("<I", 10))
    archive.write_bytes(data)
    assert refusal(archive).startswith(("damaged", "refused: 'large': its size"))
    archive.unlink()
    archive = tarred(place / "a.tar.gz", ("x", bytes(ROOM + 1)), mode="w:gz")
    assert refusal(archive).startswith("refused: 'x': too many bytes")


def test_a_tar_s_headers_do_not_fill_memory(place: Path) -> None:
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.XHDTYPE, 2**32
    (place / "a.tar").write_bytes(info.tobuf() + bytes(1024))
    assert "refused: a header of 4294967296 bytes" in refusal(place / "a.tar")


def test_many_members_are_refused(place: Path) -> None:
    archive = zipped(place / "a.zip", *((f"{n}/", b"") for n in range(5)))
    with pytest.raises(DataError, match="refused: '3/': too many members"):
        unpack(archive, place / "out", Room(ROOM, members=3))


def test_how_much_an_archive_may_come_to_follows_its_size(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "SMALL", 1000)
    zipped(place / "mask.zip", ("mask", bytes(900)))
    zipped(place / "bomb.zip", ("bomb", bytes(10**6)))
    zipped(place / "noise.zip", ("noise", zlib.compress(bytes(range(256)) * 10)))
    (line,) = unpack_below(place, lambda _: None)
    assert line.startswith(f"{place}/bomb.zip: refused: 'bomb': too many bytes for its size")
    assert sorted(p.name for p in place.glob("*.unpacked")) == [
        "mask.zip.unpacked",
        "noise.zip.unpacked",
    ]


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_wherever_it_is_cut_a_download_is_refused(place: Path, ending: str) -> None:
    files = [(f"{n}.png", bytes(range(256)) * n) for n in range(1, 5)]
    if ending == "zip":
        archive = zipped(place / "a.zip", *files)
    else:
        mode = f"w:{ending[4:]}" if ending[3:] else "w"
        archive = tarred(place / f"a.{ending}", *files, mode=mode)
    whole = archive.read_bytes()
    end = len(whole) if ending != "tar" else len(whole.rstrip(b"\0")) + 1
    for cut in (0, 1, 100, 512, 1024, 512 * 3, end // 2, end - 30, end - 1):
        if cut >= end:
            continue
        archive.write_bytes(whole[:cut])
        assert refusal(archive).startswith("damaged or cut: "), cut


def test_damage_within_is_noticed(place: Path) -> None:
    archive = zipped(place / "a.zip", ("a", b"123456"))
    archive.write_bytes(archive.read_bytes().replace(b"123456", b"123457"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + 16] ^= 1  # the checksum
    archive.write_bytes(data)
    assert refusal(archive).startswith("damaged or cut: ")
    archive.unlink()
    archive = tarred(place / "a.tar", ("a", b"1"), ("b", b"2"))
    data = bytearray(archive.read_bytes())
    data[1024] ^= 1  # the second header's name, so that its checksum is wrong
    archive.write_bytes(data)
    assert refusal(archive).startswith("damaged or cut: ")


def test_a_login_page_in_place_of_an_archive_is_called_so(place: Path) -> None:
    for ending in ("zip", "tar", "tar.gz"):
        page = place / f"a.{ending}"
        page.write_bytes(b"\xef\xbb\xbf\n <!DOCTYPE HTML><html>Sign in</html>")
        assert "a web page, no archive; log in" in refusal(page)
        page.unlink()


def test_archives_within_archives_share_the_room(place: Path, tmp_path: Path) -> None:
    inner = zipped(tmp_path / "i" / "inner.zip", ("1.png", b"one"), ("evil/../../x", b""))
    good = tarred(tmp_path / "good.tar.gz", ("2.png", b"two"), mode="w:gz")
    members = (("d/inner.zip", inner.read_bytes()), ("d/good.tar.gz", good.read_bytes()))
    zipped(place / "sub" / "outer.zip", *members)
    said: list[str] = []
    (line,) = unpack_below(place, said.append)
    out = place / "sub/outer.zip.unpacked"
    assert line.startswith(f"{out}/d/inner.zip: refused: 'evil/../../x'")
    assert (out / "d/good.tar.gz.unpacked/2.png").read_bytes() == b"two"
    assert said[0] == f"{place}/sub/outer.zip: unpacked"
    # Once more: what is there stays, what was refused is said again.
    before = (out / "d/good.tar.gz.unpacked/2.png").stat()
    assert unpack_below(place, lambda _: None) == [line]
    assert (out / "d/good.tar.gz.unpacked/2.png").stat() == before


def test_archives_are_nested_no_deeper_than_a_bound(place: Path) -> None:
    data = b"picture"
    for depth in range(6):
        name = "x.png" if not depth else "x.zip"
        data = zipped(place / "x.zip", (name, data)).read_bytes()
    (line,) = unpack_below(place, lambda _: None)
    assert "refused: more than 3 archives within each other" in line
    assert len(list(place.rglob("x.zip"))) == 4


def test_what_was_left_of_a_call_that_was_killed_is_begun_anew(place: Path) -> None:
    zipped(place / "a.zip", ("new", b"1"))
    (place / "a.zip.unpacked.part").mkdir()
    (place / "a.zip.unpacked.part/half").touch()
    assert unpack_below(place, lambda _: None) == []
    assert files_in(place / "a.zip.unpacked") == {"new": b"1"}
    assert not (place / "a.zip.unpacked.part").exists()


def test_volumes_and_pictures_are_no_archives(place: Path) -> None:
    (place / "scan.nii.gz").write_bytes(gzip.compress(b"1"))
    (place / "x.bz2").write_bytes(bz2.compress(b"1"))
    (place / "x.xz").write_bytes(lzma.compress(b"1"))
    said: list[str] = []
    assert unpack_below(place, said.append) == said == []
