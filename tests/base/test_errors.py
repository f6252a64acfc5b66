from lors.base.errors import LorsError, UsageError, did_you_mean


def test_a_users_mistake_and_a_failure_of_the_world_have_their_exit_codes() -> None:
    assert UsageError("x").exit_code == 2
    assert LorsError("x").exit_code == 1


def test_did_you_mean_names_the_closest_choice_only_where_one_is_close() -> None:
    choices = ["scale", "method", "rank_ratio"]
    assert did_you_mean("sclae", choices) == " Did you mean 'scale'?"
    assert did_you_mean("rank-ratio", choices) == " Did you mean 'rank_ratio'?"
    assert did_you_mean("zzz", choices) == ""
    assert did_you_mean("scale", []) == ""
