"""The Slurm that a module's tests share."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cluster import Cluster, NotStartedError, missing, started
from matcg.models.device import PRETENDED


@pytest.fixture(scope="module")
def slurm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Start a Slurm of as many nodes as the module's `NODES` says."""
    if why := missing():
        pytest.skip(why)
    with ExitStack() as stack:
        # Jobs get the environment of what submits them; the devices of this Slurm are pretended.
        stack.enter_context(pytest.MonkeyPatch.context()).setenv(PRETENDED, "pretended")
        place = tmp_path_factory.mktemp("slurm")
        try:
            cluster = stack.enter_context(started(place, nodes=request.module.NODES))
        except (NotStartedError, OSError) as error:
            # A container may forbid device files, or leave the host's name without an address.
            pytest.skip(f"this machine does not let a Slurm start: {error}")
        yield cluster
