"""What is missing is said by source dataset, with the link that it comes from."""

import csv

from data_makers import asked, release, row, spec
from matcg.data.images_present import NO_QUESTIONS, check_images

LINKS = {"tiny": {"5": ("Cats, dogs", "https://example.org/5"), "9": ("Eels", "https://e.org/9")}}


def check(tmp_path, *subsets, roots):
    said = []
    out = tmp_path / "check.tsv"
    check_images([asked(subset) for subset in subsets], roots, LINKS, out, 1, said.append)
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t")), said


def test_missing_images_are_counted_by_dataset_with_its_link(tmp_path):
    rows = [row(0), row(1, image="med-mat/gone.png"), row(2, **{"data-no": "9"})]
    root = release(tmp_path / "in", rows)
    table, said = check(tmp_path, spec(), roots={"tiny": root})
    five, nine = table
    assert (five["images"], five["missing"], five["example"]) == ("2", "1", "med-mat/gone.png")
    assert (five["name"], five["link"]) == LINKS["tiny"]["5"]
    assert (nine["images"], nine["missing"]) == ("1", "0")
    assert said == [
        "tiny subset 30, dataset 5 Cats, dogs: 1 of 2 images missing, such as med-mat/gone.png."
        " Link: https://example.org/5",
        "The images of 1 of 2 source datasets with questions are all there.",
        f"Every source dataset with its link: {tmp_path / 'check.tsv'}",
    ]


def test_without_questions_the_catalog_s_datasets_are_listed(tmp_path):
    root = release(tmp_path / "in", [row(0)])
    lost = spec("31", datasets=("5", "9"))
    table, said = check(tmp_path, spec(), lost, roots={"tiny": root})
    assert [(each["subset"], each["dataset"], each["example"]) for each in table] == [
        ("30", "5", ""),
        ("31", "5", NO_QUESTIONS),
        ("31", "9", NO_QUESTIONS),
    ]
    assert table[2]["link"] == "https://e.org/9"
    assert said[0].startswith("Of 1 of 2 subsets the questions are missing: subset 31: none of")
    assert said[1] == "The images of 1 of 1 source datasets with questions are all there."


def test_without_a_folder_it_says_what_to_do(tmp_path):
    _, said = check(tmp_path, spec(datasets=("5",)), roots={})
    assert "name it in the config under 'data:'" in said[0]
