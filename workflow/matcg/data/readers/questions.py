"""Reader of any table of questions: JSON, JSON lines, CSV, TSV, Parquet, its columns by name."""

from matcg.config.question_options import QuestionOptions
from matcg.data.readers import Reader

READER = Reader(
    "matcg.data.questions:read",
    check=QuestionOptions.parse,
    count="matcg.data.questions:count",
    named="matcg.data.questions:named",
)
