"""What docs/security.md promises has the tests that it names; no name or rule leads to a shell."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from matcg.config.base import Name, Slug
from matcg.errors import DataError
from matcg.models.shards import read_folder

ROOT = Path(__file__).parents[2]


def test_the_tests_that_the_page_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/security.md").read_text()))
    files = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    there = {name for text in files for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    assert len(named) > 20
    assert named - there == set()


@pytest.mark.parametrize("kind", [Name, Slug], ids=["name", "slug"])
@pytest.mark.parametrize(
    "text",
    [
        *("$(id)", "`id`", "a;b", "a b", "a\nb", "a\n", "'a'", '"a"', "a|b", "a&b", "a*", "a>b"),
        *("../a", "/a", "a/b", "a\\b", "-a", ".a", "~a", "{a}", "a\0", "\u202ea", "é"),
    ],
)
def test_names_hold_nothing_that_a_shell_or_a_path_could_read(kind: type, text: str) -> None:
    assert TypeAdapter(kind).validate_python("a-1")
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(text)


def test_rules_run_no_shell() -> None:
    files = [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]
    words = {word for path in files for word in re.findall(r"^ +(\w+):$", path.read_text(), re.M)}
    assert "script" in words
    assert not words & {"shell", "run", "wrapper", "notebook"}
    library = "".join(path.read_text() for path in (ROOT / "workflow").rglob("*.py"))
    assert not re.findall(r"shell=True|os\.system\(|os\.popen\(", library)


def test_weights_that_are_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(DataError, match=r"no .safetensors file, only pytorch_model.bin"):
        read_folder(tmp_path)
