"""What a Slurm partition can give: read from Slurm's own words, and compared with requests."""

import pytest

from matcg.cluster.partition import (
    Node,
    Partition,
    Request,
    impossible,
    most,
    parse_partitions,
    request_of,
)

SHOWN = (
    "PartitionName=cpu AllowGroups=ALL Default=YES MaxTime=1-12:30:00 Nodes=a[1-2] State=UP\n"
    "PartitionName=gpu AllowGroups=ALL Default=NO MaxTime=08:00:00 Nodes=g1,g2 State=UP\n"
    "PartitionName=cloud AllowGroups=ALL Default=NO MaxTime=UNLIMITED Nodes=(null) State=UP\n"
)
LISTED = (
    "cpu|64|256000|(null)\n"
    "cpu|32+|128000+|(null)\n"
    "gpu|48|192000|gpu:2(S:0)\n"
    "gpu|96|768000|gpu:a100:4(S:0-1),shard:16\n"
    "gpu|96|768000|gpu:a100:4(S:0-1),shard:16\n"
)
CLUSTER = parse_partitions(SHOWN, LISTED)


def ask(
    partition: str = "gpu", minutes: int = 60, cpus: int = 8, mem_mb: int = 96000, gpus: int = 1
) -> Request:
    return Request("rule finetune", partition, minutes, cpus, mem_mb, gpus)


def test_partitions_are_read_with_each_kind_of_node_once() -> None:
    small, large = Node(48, 192000, 2), Node(96, 768000, 4)
    assert [
        Partition("cpu", 2190, (Node(32, 128000, 0), Node(64, 256000, 0)), default=True),
        Partition("gpu", 480, (small, large)),
        Partition("cloud", None, ()),
    ] == CLUSTER


@pytest.mark.parametrize(
    "request_",
    [
        ask(minutes=480),
        ask(cpus=96, mem_mb=768000, gpus=4),
        ask("", gpus=0),
        ask("cpu,gpu", mem_mb=700000),
        # What nothing is known of is left to Slurm: a partition that is hidden, nodes of a cloud.
        ask("hidden", minutes=10**6),
        ask("cloud", minutes=10**6, gpus=64),
    ],
)
def test_what_can_be_met(request_: Request) -> None:
    assert impossible(request_, CLUSTER) == ""


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (ask(minutes=481), "rule finetune asks for 481 minutes, partition gpu has 480"),
        (ask(mem_mb=768001), "8 cores, 768001 MB and 1 GPUs, partition gpu has on its nodes 48"),
        (ask(gpus=5), "5 GPUs, partition gpu has on its nodes 48 cores, 192000 MB and 2 GPUs, or"),
        (ask(cpus=97), "asks for 97 cores"),
        (ask(""), "1 GPUs, partition cpu has on its nodes"),
        # Each alone is there, but on no one node.
        (ask("cpu,gpu", cpus=64, mem_mb=200000, minutes=2000), "partition cpu has on its nodes"),
    ],
)
def test_what_can_never_be_met(request_: Request, said: str) -> None:
    assert said in impossible(request_, CLUSTER)


def test_retries_grow_up_to_the_largest_node_that_fits_and_the_longest_time() -> None:
    assert (most(ask(), CLUSTER).minutes, most(ask(), CLUSTER).mem_mb) == (480, 768000)
    assert most(ask(gpus=0, partition="cpu,gpu"), CLUSTER).minutes == 2190
    assert most(ask(gpus=0, partition="cpu,cloud"), CLUSTER).minutes is None
    free = most(ask("cloud"), CLUSTER)
    assert (free.minutes, free.mem_mb) == (None, None)


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({"gpu": 2}, 2),
        ({"gpu": 0, "gres": "gpu:1"}, 1),
        ({"gres": "gpu:a100:4"}, 4),
        ({"gres": "gpu"}, 1),
        ({}, 0),
    ],
)
def test_a_request_is_read_from_the_resources_of_a_job(
    resources: dict[str, object], gpus: int
) -> None:
    given = {"runtime": 30, "mem_mb": 4000, "slurm_partition": "gpu", "tmpdir": "<TBD>"}
    found = request_of("rule finetune", 8, given | resources)
    assert found == Request("rule finetune", "gpu", 30, 8, 4000, gpus)
