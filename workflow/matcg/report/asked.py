"""Writes the tables of how the questions were asked."""

from collections.abc import Sequence
from pathlib import Path

from matcg.config.protocol import LETTERS, Protocol
from matcg.records import PlanRow
from matcg.report.letters import ORDERS
from matcg.report.looking import LOOKING, looking_rows, sentences
from matcg.report.protocols import PROTOCOLS, all_order_rows, asked_ways, protocol_rows
from matcg.report.render import write_table
from matcg.report.study import Study

__all__ = ["write_asked"]


def write_asked(
    everything: Study,
    planned: Sequence[PlanRow],
    protocols: Sequence[Protocol],
    experiment: str,
    folder: Path,
) -> list[str]:
    """Write `PROTOCOLS`, `ORDERS` and `LOOKING`, and return what they say in words.

    `everything` has the answers of `planned`, all evaluations by all protocols, the main one first.
    A table without rows is not written; none is where nothing but letters is asked for.
    """
    if all(protocol.name == LETTERS for protocol in protocols):
        return []
    ways = asked_ways(everything, planned, protocols)
    looking = looking_rows(ways)
    tables = ((PROTOCOLS, protocol_rows(ways)), (ORDERS, all_order_rows(ways)), (LOOKING, looking))
    for table, rows in tables:
        if rows:
            write_table(folder, table, rows, experiment)
    return sentences(looking)
