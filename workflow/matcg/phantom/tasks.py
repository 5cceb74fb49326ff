"""Questions about a lesion: their labels and wordings."""

from collections.abc import Mapping
from dataclasses import dataclass

from matcg.phantom.lesions import KINDS, LESION, LEVELS, SIDES


@dataclass(frozen=True, slots=True)
class Task:
    """A question about a lesion: the labels to choose from and the wordings of the question.

    Where lesions are to be pointed at, one of `healthy` pictures has none; else that is 0.
    """

    labels: tuple[str, ...]
    questions: tuple[str, ...]
    healthy: int = 0


TASKS: Mapping[str, Task] = {
    "State": Task(
        ("healthy", "abnormal"),
        (
            "What is the state of the tissue in this image?",
            "How would you judge the overall condition shown here?",
            "Which state does this scan show?",
            "Please assess the condition of the organ in the picture.",
            "Decide on the state of this examination.",
            "What does the image say about the condition of the patient?",
        ),
    ),
    "Level": Task(
        LEVELS,
        (
            "What is the level of the finding in this image?",
            "How far has the finding progressed?",
            "Which grade would you give to what is seen here?",
            "Please grade the extent of the finding in the picture.",
            "Decide on the stage that this scan shows.",
            "To what degree is the organ affected?",
        ),
    ),
    "Diseases": Task(
        KINDS,
        (
            "Which disease is seen in this image?",
            "What kind of finding does this scan show?",
            "Please name the disease in the picture.",
            "Which diagnosis fits what is seen here?",
            "Identify the type of the finding.",
            "What is the most likely disease of this patient?",
        ),
    ),
    "Side": Task(
        SIDES,
        (
            "On which side of the image is the finding?",
            "Where does the finding lie?",
            "Which side of the picture is affected?",
            "Please locate the finding in this scan.",
            "Decide on the side that shows the finding.",
            "In which part of the image is the organ affected?",
        ),
    ),
    "Detection": Task(
        (LESION,),
        (
            "Where exactly is the lesion in this image?",
            "Please mark the lesion in the picture.",
            "Which part of the scan does the lesion take up?",
            "Find the lesion in this examination.",
            "Give the place of the lesion, if the patient has one.",
            "Is there a lesion here, and where?",
        ),
        healthy=5,
    ),
    "Segmentation": Task(
        (LESION,),
        (
            "Please outline the lesion in this image.",
            "Which area of the picture belongs to the lesion?",
            "Trace the extent of the lesion in the scan.",
            "Segment the lesion in this examination.",
            "Give the outline of the lesion, if the patient has one.",
            "Is there a lesion here, and what is its shape?",
        ),
        healthy=5,
    ),
}
