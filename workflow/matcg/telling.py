"""Whether a target's test questions can tell anything, by what is counted of them.

A verdict on questions that one answer fits, or on a handful, is a verdict on nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

MAJORITY = 0.8  # above this share of the questions one answer, whatever the picture, does too well
MINIMUM = 30  # questions, where an experiment says no other number


def faults_in(account: Mapping[str, Any], minimum: int) -> list[str]:
    """Return `faults` by the account of a subset's samples, its summary.json."""
    lost, contradictions = (account.get(name, ()) for name in ("lost_labels", "contradictions"))
    n, constants = account["given"]["test"], account.get("constants", {})
    return faults(n, constants, lost, contradictions, minimum)


def faults(
    questions: int,
    constants: Mapping[str, int],
    lost: Sequence[str] = (),
    contradictions: Sequence[Sequence[str]] = (),
    minimum: int = 0,
) -> list[str]:
    """Return in words why no verdict can rest on a target's test questions; nothing where one can.

    `constants` says how many questions an answer fits that needs no picture (`Form.constants`),
    `lost` are labels of whose pictures none could be used, `contradictions` pairs of sample ids.
    """
    found = []
    if questions < minimum:
        found.append(f"{questions} questions, of which `minimum_questions` asks {minimum}")
    for answer, n in constants.items():
        if n > MAJORITY * questions:
            share = f"all {questions}" if n == questions else f"{n} of {questions}"
            found.append(f"{share} questions are answered by {answer}")
    found += [f"label '{label}' lost all its pictures" for label in lost]
    if contradictions:
        first = " and ".join(contradictions[0])
        more = f" and {len(contradictions) - 1} more" if len(contradictions) > 1 else ""
        found.append(f"one picture and question with two answers: {first}{more}")
    return found
