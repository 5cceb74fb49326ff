"""What a process of a run is told is the job that it was started for."""

from pathlib import Path

from matcg.config.backbone import Backbone, Recipe
from matcg.config.library import load
from matcg.train.job import Job, Told
from matcg.train.lock import Claim

ROOT = Path(__file__).parents[3]


def test_a_job_is_the_same_after_it_was_told():
    read = load("backbone", ROOT / "backbones" / "tiny-llava.yaml")
    backbone = Backbone.model_validate_json(read.model_dump_json())
    recipe = Recipe(learning_rate=1e-3, epochs=3, batch_size=4, method="lora", rank=2)
    places = [Path(name) for name in ("mix.parquet", "data", "out", "store")]
    mix, data, out, store = places
    job = Job(mix, data, backbone, recipe, 1, out, 4, store, None, ("0", "1"), "digest", nodes=2)
    assert job.processes == 4
    told = Told(job=job, lock=Claim(store / "lock.json", "token"), host="node", port=29400)
    assert Told.model_validate_json(told.model_dump_json()) == told
