"""Errors that tell a user what to do."""

import errno

import pytest

from matcg.errors import ResourceError, disk_errors


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("I/O error: No space left on device (os error 28)"),  # safetensors
    ],
)
def test_a_full_disk_is_told_with_what_is_free_and_what_to_do(error, tmp_path):
    with (
        pytest.raises(ResourceError, match=rf"{tmp_path}: the disk is full \(\d+ MB free\). Do it"),
        disk_errors(tmp_path, "Do it"),
    ):
        raise error


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), disk_errors(tmp_path, ""):
        raise PermissionError(errno.EACCES, "no")
