"""Folders of images: the bound on a file, and why a file is refused, listed or looked at."""

import os
from pathlib import Path

import pytest

from matcg.data import image_folder
from matcg.data.image_folder import Folder
from matcg.errors import BadRowError


def test_a_file_above_the_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.png").write_bytes(b"one")
    monkeypatch.setattr(image_folder, "MAX_BYTES", 3)
    assert Folder(tmp_path).read("one.png") == b"one"
    monkeypatch.setattr(image_folder, "MAX_BYTES", 2)
    with pytest.raises(BadRowError, match="too large: the file exceeds 2 bytes"):
        Folder(tmp_path).read("one.png")


@pytest.mark.parametrize("path", ["/one.png", "../x", "a/../one.png", "a", "two.png", "\0.png"])
def test_the_reason_is_that_of_looking(tmp_path: Path, path: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "one.png").touch()
    folder = Folder(tmp_path)
    assert folder.reason("one.png") == ""
    with pytest.raises(BadRowError) as error:
        folder.find(path)
    assert folder.reason(path) == str(error.value)


def test_a_file_that_becomes_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(b"none of ours")
    (tmp_path / "in").mkdir()
    one = tmp_path / "in/one.png"
    one.write_bytes(b"one")
    folder = Folder(tmp_path / "in")
    assert folder.reason("one.png") == ""
    assert folder.read("one.png") == b"one"
    one.unlink()
    with pytest.raises(BadRowError, match="no file at this path"):
        folder.read("one.png")
    one.symlink_to(tmp_path / "outside.png")
    with pytest.raises(BadRowError, match="a link leads out"):
        folder.read("one.png")


def test_a_file_that_becomes_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "one.png").touch()
    folder = Folder(tmp_path)
    assert folder.reason("one.png") == ""
    (tmp_path / "one.png").unlink()
    os.mkfifo(tmp_path / "one.png")
    with pytest.raises(BadRowError, match="no file at this path"):
        folder.read("one.png")
