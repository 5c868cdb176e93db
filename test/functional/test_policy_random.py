"""Random policy sets of fixed seeds: felix's evaluator and real packets against the reference evaluator. The long runs
are `make policy-random`."""

from policy import random_sets

SETS, VERDICTS = 300, 800


def test_felix_agrees_with_the_reference():
    compared, verdicts, disagreements = random_sets.run(SETS, seed=0, sample=VERDICTS)
    assert not disagreements, "\n".join(disagreements)
    assert (compared, verdicts) == (SETS, SETS * VERDICTS * 2)
