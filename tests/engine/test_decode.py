from __future__ import annotations

from collections import Counter

import pytest
import torch

from engine.decode import Sampler, StopText
from engine.protocol import Sampling

LOGITS = torch.tensor([0.0, 3.0, 1.0, 2.0, -1.0])


def draws(sampling: Sampling, count: int = 400, logits: torch.Tensor = LOGITS) -> Counter[int]:
    """What fresh samplers with seeds 0, 1, … draw first."""
    seeds = (
        Sampling(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            seed=seed,
        )
        for seed in range(count)
    )
    return Counter(Sampler(one, (), len(logits))(logits) for one in seeds)


def plain(**changes: float) -> Sampling:
    values = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0} | changes
    return Sampling(**values)  # type: ignore[arg-type]


def test_greedy_takes_the_highest() -> None:
    assert draws(plain(temperature=0.0), 5) == {1: 5}


def test_frequencies_follow_the_softmax() -> None:
    counts = draws(plain(), 4000)
    for token, share in enumerate(LOGITS.softmax(0).tolist()):
        # four standard deviations of a binomial draw
        assert abs(counts[token] - 4000 * share) < 4 * (4000 * share * (1 - share)) ** 0.5 + 1


def test_temperature_flattens() -> None:
    assert draws(plain(temperature=0.3))[1] > draws(plain())[1] > draws(plain(temperature=3.0))[1]


def test_top_k_keeps_the_k_best() -> None:
    assert set(draws(plain(top_k=2))) == {1, 3}


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    share = LOGITS.softmax(0)
    assert set(draws(plain(top_p=float(share[1]) - 0.01))) == {1}
    assert set(draws(plain(top_p=float(share[1]) + 0.01))) == {1, 3}


def test_min_p_is_relative_to_the_best() -> None:
    # e^-1 of the best is 3, e^-2 is 2
    assert set(draws(plain(min_p=0.3))) == {1, 3}
    assert set(draws(plain(min_p=0.1))) == {1, 2, 3}


def test_repetition_penalty_counts_the_prompt_and_the_answer() -> None:
    sampler = Sampler(plain(temperature=0.0, repetition_penalty=2.0), [1], 5)
    # 3 / 2 falls behind 2; then 2 / 2 falls behind 1.5
    assert [sampler(LOGITS), sampler(LOGITS)] == [3, 1]
    negative = Sampler(plain(temperature=0.0, repetition_penalty=2.0), [0], 2)
    assert negative(torch.tensor([-1.0, -1.5])) == 1


def test_top_k_beyond_the_vocabulary_is_all_of_it() -> None:
    assert set(draws(plain(top_k=1000, temperature=3.0), 1000)) == {0, 1, 2, 3, 4}


def test_the_sampler_leaves_the_logits_alone() -> None:
    logits = LOGITS.clone()
    Sampler(plain(repetition_penalty=1.5), [0, 1], 5)(logits)
    assert torch.equal(logits, LOGITS)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", -0.1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("min_p", 1.0),
        ("repetition_penalty", 0.0),
        ("max_tokens", 0),
    ],
)
def test_a_bad_setting_is_named(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=setting):
        Sampling(**{setting: value})  # type: ignore[arg-type]


def said(stops: tuple[str, ...], *pieces: str) -> tuple[list[str], bool]:
    stop = StopText(stops)
    out = [stop.push(piece) for piece in pieces]
    return ([*out, stop.flush()] if not stop.found else out), stop.found


def test_a_stop_text_is_found_across_pieces_and_not_said() -> None:
    out, found = said(("\nUser:",), "Yes.", "\nUs", "er: no", "more")
    assert found and "".join(out) == "Yes."


def test_what_only_looked_like_a_stop_is_said() -> None:
    out, found = said(("\nUser:",), "a\nUs", "ed", "\nU")
    assert not found and out[0] == "a" and "".join(out) == "a\nUsed\nU"


def test_the_earliest_of_several_stops_counts() -> None:
    assert said(("END", "."), "One. Two END")[0] == ["One"]


def test_without_stops_nothing_is_held_back() -> None:
    assert said((), "abc", "d") == (["abc", "d", ""], False)
