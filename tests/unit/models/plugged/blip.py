"""A family of models that only tests have."""

from matcg.models.families import Family

FAMILY = Family(tower=("eye",), projector=("qformer",))
