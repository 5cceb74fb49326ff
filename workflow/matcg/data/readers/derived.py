"""Reader of derived subsets: pictures of other subsets, asked what is known of them for certain."""

from matcg.config.derived_options import DerivedOptions
from matcg.data.readers import Reader

READER = Reader(
    "matcg.data.derived:read",
    check=DerivedOptions.parse,
    count="matcg.data.derived:count",
    named="matcg.data.derived:named",
)
