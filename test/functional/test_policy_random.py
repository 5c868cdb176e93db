"""Random policy sets of fixed seeds: felix's evaluator and real packets against the reference evaluator. The long runs
are `make policy-random`."""

from policy import random_packets, random_sets

SETS, VERDICTS, PACKET_SETS = 300, 800, 30


def test_felix_agrees_with_the_reference():
    compared, verdicts, disagreements = random_sets.run(SETS, seed=0, sample=VERDICTS)
    assert not disagreements, "\n".join(disagreements)
    assert (compared, verdicts) == (SETS, SETS * VERDICTS * 2)


def test_packets_agree_with_the_reference(world):
    played, _, disagreements = random_packets.run(world, range(PACKET_SETS))
    assert not disagreements, "\n".join(disagreements)
    assert played == PACKET_SETS
