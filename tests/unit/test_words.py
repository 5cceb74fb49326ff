"""Numbers in words, and words in one form."""

import unicodedata

import pytest

from matcg.words import counted, fixed, in_percent, one_form, seen


@pytest.mark.parametrize(
    ("value", "decimals", "text"), [(1.25, 1, "1.2"), (2, 3, "2.000"), (-0.0004, 3, "0.000")]
)
def test_a_number_has_its_decimals_and_zero_no_sign(value: float, decimals: int, text: str) -> None:
    assert fixed(value, decimals) == text


def test_shares_and_nouns() -> None:
    assert [in_percent(share) for share in (0.5, -1 / 3, -1e-9)] == ["50.0", "-33.3", "0.0"]
    assert [counted(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


@pytest.mark.parametrize("sign", ["\u00ad", "\u200b", "\u200e", "\u2060", "\ufeff"])
def test_words_are_compared_by_what_is_seen(sign: str) -> None:
    forms = [unicodedata.normalize(form, "Ménière") for form in ("NFC", "NFD")]
    assert {one_form(text) for text in (*forms, *(sign + text for text in forms))} == {forms[0]}
    assert one_form(f"Me{sign}\u0301") == "Mé"
    assert seen(f" {sign} {forms[1]}{sign}") == f"{forms[1]}{sign}"
