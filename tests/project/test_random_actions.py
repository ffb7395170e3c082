"""A few random sequences of job actions against the model; `random_actions.py` itself runs many."""

import pytest
from random_actions import run_sequences


def test_random_actions_leave_what_the_model_says() -> None:
    done = run_sequences(6, 25)
    assert done["delete"] and done["undelete"]
    assert done["sequences"] >= 6


@pytest.mark.relion
def test_relion_reads_the_end_states(relion) -> None:
    done = run_sequences(2, 15, relion_every=1)
    assert done["read by RELION"] >= 2
