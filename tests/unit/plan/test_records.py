"""Names of answers, and the tables that records are kept in."""

import pytest

from matcg import tsv
from matcg.config.protocol import Protocol
from matcg.errors import DataError
from matcg.plan.records import (
    Excluded,
    Row,
    draw_of,
    protocol_of,
    read_excluded,
    read_plan,
    read_runs,
    run_of,
    tag_of,
    tags,
)

ROW = Row(
    *("one", "cat", "t", "", "", "control", "tiny", "full", 3, "m", "full/m/seed3", 600),
    asked="full/m/seed3@two-shot.1",
)


def parts(name):
    return run_of(name), tag_of(name), protocol_of(name), draw_of(name)


def test_a_name_says_run_protocol_and_draw():
    run = "full/m/seed0"
    assert parts(f"{run}@two-shot.1") == (run, "@two-shot.1", "two-shot", 1)
    assert parts(f"{run}@blank-image") == (run, "@blank-image", "blank-image", 0)
    assert parts("baseline") == ("baseline", "", "letters", 0)


def test_the_names_of_a_protocol_lead_back_to_it_and_its_draws():
    for protocol in (Protocol(name="letters"), Protocol(name="s", shots=2, draws=12)):
        found = tags(protocol)
        assert [(protocol_of(tag), draw_of(tag)) for tag in found] == [
            (protocol.name, draw) for draw in range(protocol.draws)
        ]


def write(folder, *rows):
    (folder / "experiments.tsv").write_text(tsv.records(Row, rows))


def test_rows_are_read_as_they_were_written(tmp_path):
    other = Row(*("two", "cat", "t", "", "", "a", "tiny", "full", 0, "", "baseline", 0))
    write(tmp_path, other, ROW)
    assert read_plan(tmp_path, "one") == [ROW]
    with pytest.raises(DataError, match=r"no rows of experiment 'onne'.*one"):
        read_plan(tmp_path, "onne")


def test_an_older_or_damaged_table_is_refused_by_file_line_and_column(tmp_path):
    path = tmp_path / "experiments.tsv"
    write(tmp_path, ROW)
    path.write_text(path.read_text().replace("\t600\t", "\tmany\t"))
    with pytest.raises(DataError, match=r"experiments\.tsv: line 2: n_train is 'many'"):
        read_plan(tmp_path, "one")
    lines = [line.rpartition("\t")[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="column asked is absent; write the plan again"):
        read_plan(tmp_path, "one")


def test_what_is_left_out_is_that_of_one_experiment(tmp_path):
    left_out = Excluded("one", "cat", "t", "", "cg", "too small")
    rows = [left_out, Excluded("two", "cat", "t", "", "cg", "no match")]
    (tmp_path / "excluded.tsv").write_text(tsv.records(Excluded, rows))
    assert read_excluded(tmp_path, "one") == [left_out]


def test_a_run_is_found_by_the_name_that_rows_give_it(tmp_path):
    head = ("backbone", "recipe", "mix", "seed", "digest", "path")
    (tmp_path / "runs.tsv").write_text(
        tsv.table(head, [("tiny", "full", "m", 3, "d", "results/x")])
    )
    assert str(read_runs(tmp_path)["tiny", ROW.run]) == "results/x"
