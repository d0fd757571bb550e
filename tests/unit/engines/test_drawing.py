"""Tokens drawn by inverse CDF."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from sluice.engines.drawing import draw_tokens, nucleus_mask, request_uniforms
from sluice.engines.engine import Sampling


def _sampling(temperature=1.0, top_p=1.0):
    return Sampling(temperature=temperature, top_p=top_p, max_new_tokens=1)


def _draw(probabilities, uniforms, **kwargs):
    logits_BV = torch.tensor(probabilities).log().expand(len(uniforms), -1)
    drawn = draw_tokens(
        logits_BV, torch.tensor(uniforms, dtype=torch.float64), sampling=_sampling(**kwargs)
    )
    return drawn.tolist()


def test_token_is_where_the_uniform_number_falls_in_the_cumulative_distribution():
    # Cumulative: 0.5, 0.75, 1.
    uniforms = [0.0, 0.49, 0.51, 0.74, 0.76, 0.999]
    assert _draw([0.5, 0.25, 0.25], uniforms) == [0, 0, 1, 1, 2, 2]


def test_temperature_squares_the_probabilities_at_one_half():
    # 0.8^2 : 0.2^2 = 16 : 1, so the second token begins at 16/17 = 0.941.
    assert _draw([0.8, 0.2], [0.93, 0.95], temperature=0.5) == [0, 1]
    assert _draw([0.8, 0.2], [0.79, 0.81]) == [0, 1]


def test_temperature_of_zero_takes_the_likeliest():
    logits_BV = torch.tensor([[0.1, 3.0, 2.9], [5.0, 5.0, 1.0]])
    assert draw_tokens(logits_BV, None, sampling=_sampling(0.0)).tolist() == [1, 0]


def test_largest_uniform_number_gives_a_token_of_positive_probability():
    last = np.nextafter(1.0, 0.0)
    assert _draw([0.5, 0.5, 0.0, 0.0], [last, 0.0]) == [1, 0]


def test_smallest_uniform_number_skips_tokens_without_probability():
    assert _draw([0.0, 0.0, 0.5, 0.5], [0.0]) == [2]


def _plain_nucleus(p, top_p):
    """Kept tokens, one by one from the likeliest down."""
    kept, mass = set(), 0.0
    for token in sorted(range(len(p)), key=lambda token: (-p[token], token)):
        if mass >= top_p:
            break
        kept.add(token)
        mass += p[token]
    return kept


# Multiples of 1/64 have exact sums: the rule is compared, not the rounding.
@settings(deadline=None)
@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=30).filter(any),
    st.integers(1, 64).map(lambda n: n / 64),
)
def test_nucleus_is_that_of_a_plain_loop(weights, share):
    weights = [*weights, *[0] * 2]
    total = 2 ** math.ceil(math.log2(sum(weights)))
    weights[-1] = total - sum(weights)
    p = [weight / total for weight in weights]
    mask = nucleus_mask(torch.tensor([p], dtype=torch.float32), top_p=share)
    assert {token for token, kept in enumerate(mask[0].tolist()) if kept} == _plain_nucleus(
        p, share
    )


def test_nucleus_keeps_ties_by_lower_id():
    mask = nucleus_mask(torch.full((1, 4), 0.25), top_p=0.5)
    assert mask.tolist() == [[True, True, False, False]]


def test_tiny_top_p_keeps_one_token():
    assert nucleus_mask(torch.tensor([[0.2, 0.5, 0.3]]), top_p=1e-9).tolist() == [
        [False, True, False]
    ]


def test_drawn_tokens_follow_softmax():
    generator = torch.Generator().manual_seed(5)
    logits_V = torch.randn(12, generator=generator) * 2
    seeds = 20_000
    uniforms_B = torch.tensor([request_uniforms(seed, num_steps=1)[0] for seed in range(seeds)])
    drawn_B = draw_tokens(logits_V.expand(seeds, -1), uniforms_B, sampling=_sampling(0.7))
    expected_V = (logits_V.double() / 0.7).softmax(-1).numpy() * seeds
    observed_V = np.bincount(drawn_B.numpy(), minlength=12)
    assert chisquare(observed_V, expected_V).pvalue > 0.01
    # The test can tell: temperature 1 is another distribution.
    other_V = logits_V.double().softmax(-1).numpy() * seeds
    assert chisquare(observed_V, other_V).pvalue < 1e-6


def test_nothing_outside_the_nucleus_is_drawn_and_inside_the_proportions_stay():
    p = [0.4, 0.3, 0.2, 0.1]
    uniforms = np.random.default_rng(3).random(20_000).tolist()
    counts = np.bincount(_draw(p, uniforms, top_p=0.85), minlength=4)
    assert counts[3] == 0
    assert chisquare(counts[:3], np.array(p[:3]) / 0.9 * 20_000).pvalue > 0.01


def test_uniform_numbers_belong_to_the_seed_and_a_longer_request_begins_like_a_shorter():
    long = request_uniforms(2**63 - 1, num_steps=50)
    assert (request_uniforms(2**63 - 1, num_steps=7) == long[:7]).all()
    assert (request_uniforms(2**63 - 2, num_steps=50) != long).all()
    first = [request_uniforms(seed, num_steps=1)[0] for seed in range(5000)]
    assert kstest(first, "uniform").pvalue > 0.01


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_a_row_does_not_depend_on_the_other_rows(top_p):
    generator = torch.Generator().manual_seed(1)
    logits_BV = torch.randn(40, 100, generator=generator)
    uniforms_B = torch.rand(40, generator=generator, dtype=torch.float64)
    together = draw_tokens(logits_BV, uniforms_B, sampling=_sampling(top_p=top_p)).tolist()
    alone = [
        draw_tokens(
            logits_BV[row : row + 1], uniforms_B[row : row + 1], sampling=_sampling(top_p=top_p)
        ).item()
        for row in range(40)
    ]
    assert together == alone
