"""Settings that all unit tests share."""

from hypothesis import settings

# No deadline, since busy machines are slow; no database, since a failure must not depend on it.
settings.register_profile("matcg", deadline=None, database=None, derandomize=True)
settings.load_profile("matcg")
