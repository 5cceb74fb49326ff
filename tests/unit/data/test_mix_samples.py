"""Mixes: the sizes asked, never the target's data, the same draw for whoever asks."""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pyarrow.parquet as pq
import pytest

from data_makers import folder, sample
from matcg.data.mix_samples import make_mix
from matcg.errors import DataError
from matcg.identity import named
from matcg.plan.records import Mix
from matcg.samples import label_of

DIGESTS = {"a": "aaaa0000", "b": "bbbb0000", "t": "cccc0000"}


def mix(*parts, seed=0, labels="true", name="some-mix", **changes):
    """Return a mix as it is planned."""
    return Mix(name, "tiny", parts, seed, labels, **changes)


@pytest.fixture
def folders(tmp_path):
    """Return two prepared subsets: `a` with labels 30:30, `b` with 30:6."""
    sizes = {"a": 30, "b": 6}
    return {
        name: folder(
            tmp_path,
            name,
            [sample(n, "yes", name) for n in range(30)]
            + [sample(n, "no", name, options=("no", "yes")) for n in range(30, 30 + rest)],
            digest=DIGESTS[name],
        )
        for name, rest in sizes.items()
    }


@pytest.fixture
def make(folders, tmp_path):
    """Return a function that makes a mix and returns its rows."""

    def run(mix, forbidden=("t",), size=None):
        make_mix(mix, folders, forbidden, size or mix.total, tmp_path / "mix.parquet")
        return pq.read_table(tmp_path / "mix.parquet").to_pylist()

    return run


def names(rows, subset):
    return [row["sample_id"] for row in rows if row["subset"] == subset]


def is_yes(row):
    """Tell whether the answer trained on is "yes"; the order of options depends on the sample."""
    first = int(row["sample_id"].split("-")[1]) < 30
    return (row["answer"] == 0) == first


def test_a_mix_has_the_sizes_asked_and_true_answers_balanced_by_label(make):
    rows = make(mix(("a", 20), ("b", 16)))
    assert Counter(row["subset"] for row in rows) == {"a": 20, "b": 16}
    assert [row["position"] for row in rows] == list(range(36))
    assert {row["answer"] for row in rows} == {0}
    assert Counter(is_yes(row) for row in rows if row["subset"] == "a") == {True: 10, False: 10}
    assert Counter(is_yes(row) for row in rows if row["subset"] == "b") == {True: 10, False: 6}


def test_subsets_are_shuffled_together(make):
    order = [row["subset"] for row in make(mix(("a", 20), ("b", 20)))]
    assert order != sorted(order)
    assert set(order[:12]) == {"a", "b"}


def test_a_larger_draw_contains_the_smaller_one_whatever_the_company(make):
    alone, more = make(mix(("a", 10))), make(mix(("a", 40), ("b", 5)))
    assert set(names(alone, "a")) < set(names(more, "a"))


def test_the_seed_decides_the_draw_and_the_order(make):
    first, again, other = (make(mix(("a", 20), seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert set(names(first, "a")) != set(names(other, "a"))


def test_the_same_mix_is_the_same_bytes(folders, tmp_path):
    for name in ("x", "y"):
        make_mix(mix(("a", 9), ("b", 9)), folders, ("t", "u"), 18, tmp_path / name)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_shuffled_labels_keep_samples_and_order_and_label_counts(make):
    true, floor = make(mix(("a", 60))), make(mix(("a", 60), labels="shuffled"))
    assert names(true, "a") == names(floor, "a")
    assert Counter(map(is_yes, floor)) == Counter(map(is_yes, true))
    kept = sum(one["answer"] == two["answer"] for one, two in zip(true, floor, strict=True))
    assert 15 <= kept <= 45


def test_a_dealt_label_that_is_not_offered_becomes_a_random_option(tmp_path):
    samples = [sample(n, f"l{n % 5}", options=(f"l{n % 5}", f"l{(n + 1) % 5}")) for n in range(50)]
    where = {"s": folder(tmp_path, "s", samples)}
    make_mix(mix(("s", 50), labels="shuffled"), where, (), 50, tmp_path / "mix")
    answers = pq.read_table(tmp_path / "mix").column("answer").to_pylist()
    assert set(answers) == {0, 1}
    assert 12 <= sum(answers) <= 38


def test_the_held_out_target_is_refused(make):
    with pytest.raises(DataError, match="subset b is the held-out target"):
        make(mix(("a", 5), ("b", 5)), forbidden=("t", "b"))


@pytest.mark.parametrize("claimed", ["s", "t"])
def test_the_target_s_samples_are_refused_in_another_s_folder_too(tmp_path, claimed):
    where = {"s": folder(tmp_path, "s", [sample(n, subset=claimed) for n in range(9)])}
    if claimed == "s":
        make_mix(mix(("s", 5)), where, ("t",), 5, tmp_path / "mix")
        return
    with pytest.raises(DataError, match="not as asked"):
        make_mix(mix(("s", 5)), where, ("t",), 5, tmp_path / "mix")


def test_a_subset_smaller_than_asked_says_how_much_there_is(make):
    with pytest.raises(DataError, match="subset b has 36 training samples, 40 were asked; lower"):
        make(mix(("a", 5), ("b", 40)))


@pytest.mark.parametrize("parts", [(("a", 0),), (("a", 3), ("a", 4))])
def test_parts_that_make_no_sense_are_refused(make, parts):
    with pytest.raises(DataError, match="name it once with one sample or more"):
        make(mix(*parts))


def test_a_mix_that_repeats_takes_a_small_subset_round_after_round(make):
    once, more = make(mix(("b", 36))), make(mix(("b", 80), repeat=True))
    ids = names(more, "b")
    counts = Counter(ids)
    assert set(counts) == set(names(once, "b"))
    assert set(counts.values()) == {2, 3}
    assert len(ids) == 80
    answers = {(row["sample_id"], row["answer"]) for row in more}
    assert answers == {(row["sample_id"], row["answer"]) for row in once}
    neighbours = pairwise(ids)
    assert sum(a == b for a, b in neighbours) < 10, "copies are shuffled apart"


@pytest.fixture
def target(folders, tmp_path):
    """Prepare target `t`, of whose test pictures `a` has 7, 8 and, but for three bits, 9."""
    shown = [sample(n, subset="t") for n in (7, 8, 9, 900)]
    fingerprint = f"{int(shown[2].fingerprint, 16) ^ 7:064x}"
    shown[2] = replace(shown[2], fingerprint=fingerprint)
    folders["t"] = folder(tmp_path, "t", [], shown, DIGESTS["t"])


@pytest.mark.usefixtures("target")
def test_the_file_says_what_it_was_made_of(folders, tmp_path):
    asked = mix(("a", 5), ("b", 4), seed=3, targets=("t",))
    make_mix(asked, folders, ("t", "u"), 9, tmp_path / "mix.parquet", distance=2)
    assert label_of(tmp_path / "mix.parquet") == {
        "mix": "some-mix",
        "digest": asked.digest_of({name: DIGESTS[name] for name in "ab"}, {"t": DIGESTS["t"]}),
        "parts": [["a", 5], ["b", 4]],
        "seed": 3,
        "labels": "true",
        "repeat": False,
        "targets": ["t"],
        "measured": [],
        "folders": {"a": "a", "b": "b"},
        "left_out": [["a", "a-7"], ["a", "a-8"], ["b", "b-7"], ["b", "b-8"]],
    }


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize(("distance", "found"), [(2, {7, 8}), (3, {7, 8, 9})])
def test_pictures_that_a_target_is_tested_on_are_left_out_of_the_mix(
    folders, tmp_path, distance, found
):
    def drawn(n, **changes):
        make_mix(mix(("a", n), **changes), folders, ("t",), n, tmp_path / "m", distance=distance)
        return set(pq.read_table(tmp_path / "m")["sample_id"].to_pylist())

    every = {f"a-{n}" for n in range(60)}
    rest = drawn(60 - len(found), targets=("t",))
    assert rest == every - {f"a-{n}" for n in found}
    assert drawn(60) == every, "a mix without targets may hold anything"
    with pytest.raises(DataError, match=rf"\({len(found)} more show a target's test images\)"):
        drawn(60, targets=("t",))


@pytest.mark.usefixtures("target")
def test_what_leaks_is_kept_or_refused_where_the_experiment_says_so(folders, tmp_path):
    asked = mix(("a", 60), targets=("t",))
    make_mix(asked, folders, ("t",), 60, tmp_path / "m", "report")
    assert label_of(tmp_path / "m")["left_out"] == []
    with pytest.raises(DataError, match="mix some-mix: 2 training pictures of its subsets"):
        make_mix(asked, folders, ("t",), 60, tmp_path / "m", "error")


@pytest.mark.usefixtures("target")
def test_a_name_that_stands_for_other_settings_or_data_is_refused(folders, tmp_path):
    """The plan's name is believed to no other mix, and to no data that were copied there."""
    asked = mix(("a", 5), targets=("t",))
    right = asked.digest_of({"a": DIGESTS["a"]}, {"t": DIGESTS["t"]})
    out = tmp_path / f"{named('some-mix', right)}.parquet"
    make_mix(asked, folders, ("t",), 5, out)
    assert label_of(out)["digest"] == right
    made = out.read_bytes()
    for other in (mix(("a", 5), seed=1, targets=("t",)), mix(("a", 5))):
        with pytest.raises(
            DataError, match=f"have the digest .* the plan means {right}; .* remove"
        ):
            make_mix(other, folders, ("t",), 5, out)
    changed = folder(tmp_path / "changed", "a", [sample(n, subset="a") for n in range(9)])
    with pytest.raises(DataError, match=f"the plan means {right}"):
        make_mix(asked, {**folders, "a": changed}, ("t",), 5, out)
    assert out.read_bytes() == made


def test_a_mix_of_another_size_than_the_other_arms_is_refused(make):
    with pytest.raises(
        DataError, match=r"18 samples of a, b, not as asked: 20 in every arm, none of t;"
    ):
        make(mix(("a", 9), ("b", 9)), size=20)


def test_what_one_of_its_backbones_is_not_asked_is_left_out_of_a_mix(folders, tmp_path):
    backbones = ("large-00000001", "small-00000002")
    asked = mix(("b", 30), measured=backbones)
    files = [tmp_path / f"{name}/tiny/b-bbbb0000.json" for name in backbones]
    for file, names_ in zip(files, ([], ["b-0", "b-31"]), strict=True):
        file.parent.mkdir(parents=True)
        aside = {"train": dict.fromkeys(names_, "too long: 9 tokens"), "test": {"b-1": "x"}}
        known = {"digest": "bbbb0000", "measured": file.parents[1].name[-8:], "aside": aside}
        file.write_text(json.dumps(known))
    make_mix(asked, folders, (), 30, tmp_path / "mix.parquet", lengths=files)
    drawn = names(pq.read_table(tmp_path / "mix.parquet").to_pylist(), "b")
    assert not {"b-0", "b-31"} & set(drawn)
    assert "b-1" in drawn
    more = mix(("b", 36), measured=backbones)
    with pytest.raises(DataError, match=r"has 34 training samples \(2 more cannot be asked of all"):
        make_mix(more, folders, (), 36, tmp_path / "mix.parquet", lengths=files)
    with pytest.raises(DataError, match="b was not measured by large-00000001"):
        make_mix(asked, folders, (), 30, tmp_path / "mix.parquet", lengths=files[1:])
