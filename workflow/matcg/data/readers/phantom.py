"""Reader of the phantom world: nothing is read, every picture is drawn from its seed."""

from matcg.config.reader_options import PhantomOptions
from matcg.data.readers import Reader

READER = Reader(
    "matcg.data.phantom_samples:read_world",
    check=PhantomOptions.parse,
    folder=False,
    world=True,
    threads=1,
    minutes=2,
)
