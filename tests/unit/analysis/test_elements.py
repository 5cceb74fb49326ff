"""A subset in words: the values of its elements, and its id where they do not say it."""

import pytest

from matcg.analysis.elements import CatalogElements, subset_words

CATALOG: CatalogElements = {
    "elements": ["area", "modality"],
    "subsets": {
        "lung-ct": {"kind": "classification", "elements": {"area": ["Lung"], "modality": ["CT"]}},
        "7": {"kind": "classification", "elements": {"modality": ["CT", "MRI"], "area": ["lung"]}},
        "chat": {"kind": "general", "elements": {}},
    },
}


@pytest.mark.parametrize(
    ("subset", "text"),
    [("lung-ct", "Lung CT"), ("7", "lung CT/MRI (7)"), ("chat", " (chat)"), ("new", "new")],
)
def test_values_stand_in_the_order_of_the_elements(subset: str, text: str) -> None:
    assert subset_words(CATALOG, subset) == text
    assert subset_words(None, subset) == subset
