"""What each process does of a batch, and inputs that are made ready ahead."""

import threading
import time
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_makers import sample
from matcg.train import batches as reader
from matcg.train.batches import Pictures, ahead
from matcg.train.loop import Step, Totals, row_of, step_of
from matcg.train.parallel import World
from matcg.train.tasks import TrainingSample

CPU = torch.device("cpu")


def tasks_of(lengths):
    """Return tasks whose options are so long."""
    return [
        TrainingSample(sample(n, "x" * length, options=("x" * length,)), 0)
        for n, length in enumerate(lengths)
    ]


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20),
    micro=st.integers(1, 8),
    size=st.integers(1, 5),
)
def test_all_processes_together_see_each_sample_once(lengths, micro, size):
    tasks = tasks_of(lengths)
    steps = [step_of(7, tasks, micro, World(CPU, rank, size)) for rank in range(size)]
    seen = Counter()
    for step in steps:
        counted = step.parts[: len(step.parts) - step.idle]
        assert all(0 < len(part) <= micro for part in step.parts)
        seen.update(task.sample.sample_id for part in counted for task in part)
        assert (step.number, step.batch) == (7, tasks)
    assert seen == Counter(task.sample.sample_id for task in tasks)
    # Where one puts weights together the others must too.
    assert len({len(step.parts) for step in steps}) == 1
    shares = [sum(map(len, step.parts[: len(step.parts) - step.idle])) for step in steps]
    assert max(shares) - min(shares) <= 1


def test_prompts_of_about_one_length_come_together():
    (step,) = [step_of(0, tasks_of([9, 1, 8, 2, 7, 3]), 2, World(CPU))]
    lengths = [[len(task.sample.options[0]) for task in part] for part in step.parts]
    assert lengths == [[1, 2], [3, 7], [8, 9]]


def test_a_batch_that_fits_keeps_its_order():
    tasks = tasks_of([9, 1, 8])
    assert step_of(0, tasks, 3, World(CPU)).parts == [tasks]


@pytest.mark.parametrize("threaded", [False, True])
def test_items_come_in_order_with_what_was_made_of_them(threaded):
    made = [(item, get()) for item, get in ahead(lambda item: item * item, range(9), threaded)]
    assert made == [(item, item * item) for item in range(9)]


def test_the_next_ones_are_made_while_the_first_is_used():
    began = threading.Event()

    def make(item):
        if item == 1:
            began.set()
        return item

    found = ahead(make, iter(range(5)), threaded=True)
    _, get = next(found)
    assert get() == 0
    assert began.wait(10)
    found.close()


@pytest.mark.parametrize("threaded", [False, True])
def test_an_error_comes_with_its_item_and_not_before(threaded):
    def make(item):
        if item == 2:
            raise ValueError("two")
        return item

    found = ahead(make, range(4), threaded)
    assert [next(found)[1]() for _ in range(2)] == [0, 1]
    item, get = next(found)
    assert item == 2
    with pytest.raises(ValueError, match="two"):
        get()


def test_threads_end_when_the_loop_is_left():
    before = threading.active_count()
    for _, get in ahead(lambda item: time.sleep(0.01) or item, range(1000), threaded=True):
        get()
        break
    assert threading.active_count() == before


@pytest.mark.parametrize(("places", "decoded"), [(0, 6), (2, 4), (9, 3)])
@pytest.mark.parametrize("workers", [0, 2])
def test_pictures_are_decoded_once_as_far_as_there_is_room(
    monkeypatch, tiny, places, decoded, workers
):
    seen = []

    def draw(sample, _):
        seen.append(sample.sample_id)
        return Image.new("RGB", (1, 1), (int(sample.sample_id[2:]), 0, 0))

    monkeypatch.setattr(reader, "picture_of", draw)
    samples = [task.sample for task in tasks_of([1, 2, 3])]
    pictures = Pictures(tiny, places * 3 * tiny.image.size**2, workers)
    first, again = (pictures.of(samples) for _ in range(2))
    assert len(seen) == decoded
    assert [p.getpixel((0, 0)) for p in first] == [p.getpixel((0, 0)) for p in again]


@pytest.mark.parametrize(
    ("flops", "peak", "share"), [(3e12, 2e12, 0.25), (3e12, None, None), (0.0, 2e12, None)]
)
def test_the_share_of_the_peak_is_of_all_devices_and_unknown_where_it_is(flops, peak, share):
    totals = Totals(loss=1.5, tokens=90, flops=flops, seconds=3.0)
    world = World(CPU, size=2)
    row = row_of(Step(4, tasks_of([1, 1, 1]), []), totals, 1e-3, world, peak)
    assert row["mfu"] == share
    assert (row["step"], row["loss"], row["lr"]) == (4, 1.5, 1e-3)
    assert (row["samples_per_s"], row["tokens_per_s"]) == (1.0, 30)
