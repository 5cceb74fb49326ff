"""Text of the data is told from a prompt's own, wherever it stands, and shown as it was."""

from data_makers import FAKE, sample
from matcg.forms import of
from matcg.literal import marked, marked_answer, marked_sample, of_data, unmarked
from matcg.models.prompts import prompt_of, view_of
from matcg.samples import Finding


def data_in(text):
    shown = unmarked(text)
    return [shown[start:end] for start, end in of_data(text)]


def test_question_and_options_are_marked_in_a_prompt():
    asked = sample(1, question="Is it? ", options=("yes", "no"))
    text = prompt_of(marked_sample(asked), FAKE)
    assert unmarked(text) == prompt_of(asked, FAKE)
    assert data_in(text) == ["Is it? ", "yes", "no"]


def test_labels_are_marked_in_answers():
    known = {"form": "boxes", "size": (16, 16), "options": ("yes", "cyst"), "label": "yes"}
    located = sample(1, **known, findings=(Finding("cyst", (0, 0, 4, 4)),))
    backbone = FAKE.model_copy(update={"coordinates": "thousandths"})
    form, view = of(located), view_of(backbone)
    said = form.told(marked_sample(located), marked_answer(form.truth(located)), view)
    assert unmarked(said) == form.told(located, form.truth(located), view)
    assert data_in(said) == ["cyst"]
    assert marked_answer(2) == 2


def test_marks_of_the_data_are_dropped_and_a_cut_off_text_is_marked_to_its_end():
    assert marked(marked("a")) == marked("a")
    assert data_in("x" + marked("abc")[:3]) == ["ab"]
