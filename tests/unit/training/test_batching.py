"""Which samples a step sees, and how they are laid out."""

from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.training.batching import (
    TrainingSample,
    collate,
    count_steps,
    lay_out,
    plan_steps,
    token_coefficients,
)


def sample(ids, weights, *, weight=1.0):
    return TrainingSample(
        id="s", input_ids=ids, token_weights=weights, weight=weight, group=None, prompt="p"
    )


def test_every_epoch_sees_every_sample_once_in_an_order_of_its_own():
    steps = plan_steps(10, step_size=4, num_steps=6, seed=1)
    assert [len(step) for step in steps] == [4, 4, 2, 4, 4, 2]
    first, second = list(chain(*steps[:3])), list(chain(*steps[3:]))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_plan_is_the_same_however_far_it_goes():
    assert (
        plan_steps(10, step_size=4, num_steps=9, seed=1)[:5]
        == plan_steps(10, step_size=4, num_steps=5, seed=1)
        != plan_steps(10, step_size=4, num_steps=5, seed=2)
    )


@pytest.mark.parametrize(
    ("num_samples", "num_epochs", "max_steps", "steps"),
    [(16, 3, None, 3), (17, 3, None, 6), (17, 0.5, None, 1), (17, 2.5, None, 5), (17, 3, 40, 40)],
)
def test_number_of_steps(num_samples, num_epochs, max_steps, steps):
    assert steps == count_steps(
        num_samples, step_size=16, num_epochs=num_epochs, max_steps=max_steps
    )


@given(
    st.lists(st.integers(2, 50), min_size=1, max_size=40),
    st.integers(1, 6),
    st.integers(1, 4),
    st.sampled_from([None, 50, 70]),
)
def test_layout_loses_no_sample_and_gives_every_process_as_many_passes(
    lengths, batch_size, num_processes, row_tokens
):
    layout = lay_out(
        lengths, batch_size=batch_size, num_processes=num_processes, row_tokens=row_tokens
    )
    assert len(layout) == num_processes
    assert len({len(passes) for passes in layout}) == 1
    members = [members for passes in layout for members in passes]
    assert Counter(chain(*members)) == Counter(range(len(lengths)))
    if row_tokens is None:
        assert max(map(len, members)) <= batch_size
    else:
        assert max(sum(lengths[i] for i in row) for row in members) <= row_tokens


def test_samples_of_like_length_are_padded_together():
    assert lay_out([5, 90, 6, 80], batch_size=2, num_processes=1) == [[[1, 3], [2, 0]]]


def test_rows_are_filled_longest_first():
    rows = lay_out([4, 6, 3, 7, 10], batch_size=1, num_processes=1, row_tokens=10)
    assert rows == [[[4], [3, 2], [1, 0]]]


def test_process_without_work_gets_a_pass_that_counts_nothing():
    layout = lay_out([7], batch_size=2, num_processes=2)
    assert sorted(map(str, layout)) == ["[[0]]", "[[]]"]
    batch = collate([], weight_sum=1.0, pad_token_id=0)
    assert batch["coefficients"].tolist() == [0.0]
    assert batch["target_places"].max() < batch["input_ids"].numel()


def test_coefficients_by_hand():
    # l = (1 * a + 3 * b) / 4, w = 2, weight_sum = 8
    row = sample((5, 6, 7, 8), (0.0, 0.0, 1.0, 3.0), weight=2.0)
    assert token_coefficients(row, weight_sum=8.0) == [1 / 16, 3 / 16]


def test_padded_tensors_by_hand():
    rows = [sample((5, 6, 7), (0.0, 1.0, 1.0)), sample((8, 9), (0.0, 1.0))]
    batch = collate(rows, weight_sum=2.0, pad_token_id=0)
    assert batch["input_ids"].tolist() == [[5, 6], [8, 0]]
    assert batch["target_places"].tolist() == [0, 1, 2]
    assert batch["target_ids"].tolist() == [6, 7, 9]
    assert batch["coefficients"].tolist() == [0.25, 0.25, 0.5]
    assert "attention_mask" not in batch


def test_packed_tensors_by_hand():
    rows = [sample((5, 6, 7), (0.0, 1.0, 1.0)), sample((8, 9, 4), (0.0, 0.0, 1.0))]
    batch = collate(rows, weight_sum=2.0, pad_token_id=0, is_packed=True)
    assert batch["input_ids"].tolist() == [[5, 6, 8, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1]]
    assert batch["attention_mask"].int().tolist() == [
        [[[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]]
    ]
    assert batch["target_places"].tolist() == [0, 1, 3]
    assert batch["target_ids"].tolist() == [6, 7, 4]


def test_coefficients_of_a_step_sum_to_its_weights_over_the_mean_weight():
    rows = [sample((1, 2, 3), (0.0, 1.0, 2.0), weight=w) for w in (0.5, 1.0, 3.0)]
    total = sum(sum(token_coefficients(row, weight_sum=3 * 1.5)) for row in rows)
    assert total == pytest.approx(4.5 / 4.5)
