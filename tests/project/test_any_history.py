"""A few random histories of a project; `any_history.py` itself tries many."""

from any_history import run_histories


def test_what_a_person_has_stays_whatever_happens() -> None:
    done = run_histories(15, 12)
    assert done["histories"] >= 15
    assert {"killed", "deleted", "final", "forced", "movies arrive", "movie replaced", "product deleted", "copied",
            "chosen"} <= done.keys()
