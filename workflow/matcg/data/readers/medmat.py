"""Reader of the Med-MAT release: one JSON file a subset, image paths below the data folder."""

from matcg.config.reader_options import Options
from matcg.data.readers import Reader

READER = Reader(
    "matcg.data.medmat:read_medmat",
    check=Options.parse,
    count="matcg.data.medmat:count",
    named="matcg.data.medmat:named",
)
