"""Quality from the scores of the layers."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selections_for_tests import score_table

from sluice.selection.columns import layer_columns, quality_of


def _quality(rows, is_ok=None):
    flags = np.ones(len(rows), dtype=bool) if is_ok is None else np.array(is_ok)
    return quality_of(np.array(rows, dtype=np.float64), is_ok=flags)


def test_quality_is_the_mean_of_the_scaled_layers():
    # Layer 0: min 0.2, range 0.4, mean 0.4. Layer 1: min 0.5, range 0.2, mean 0.6.
    found = _quality([[0.2, 0.7], [0.4, 0.6], [0.6, 0.5]])
    layer_0 = np.array([0, 0.2, 0.4]) / (0.4 * 0.4)
    layer_1 = np.array([0.2, 0.1, 0]) / (0.2 * 0.6)
    assert found == pytest.approx((layer_0 + layer_1) / 2)


def test_constant_layer_is_left_out_and_said(caplog):
    with caplog.at_level(logging.WARNING):
        found = _quality([[0.2, 0.5], [0.4, 0.5], [0.6, 0.5]])
    assert found == pytest.approx([0, 0.5 / 0.4, 1 / 0.4])
    assert [record.message for record in caplog.records] == ["1 of 2 layers are constant"]


def test_quality_of_constant_layers_only_is_undefined():
    assert np.isnan(_quality([[0.5, 0.2], [0.5, 0.2]])).all()


def test_rows_that_do_not_count_have_no_quality_and_no_influence():
    found = _quality([[0.2], [9.0], [0.6], [np.nan]], is_ok=[True, False, True, False])
    assert found[[0, 2]] == pytest.approx([0, 1 / 0.4])
    assert np.isnan(found[[1, 3]]).all()


@settings(deadline=None)
@given(st.integers(2, 30), st.integers(1, 5), st.floats(0.01, 100), st.integers(0, 2**32 - 1))
def test_order_of_samples_is_that_under_any_factor_of_the_gates(num, num_layers, factor, seed):
    rows = np.random.default_rng(seed).uniform(0.1, 0.9, (num, num_layers))
    # A layer's factor cancels in (s - min) / (max - min); its mean divides by it once.
    assert _quality(rows * factor) * factor == pytest.approx(_quality(rows))
    assert _quality(rows[::-1]) == pytest.approx(_quality(rows)[::-1])


def test_layer_columns_are_first_layer_first_even_when_there_are_more_than_a_hundred():
    names = [f"gate_layer_{layer:02d}" for layer in range(102)]
    table = score_table({name: [1.0, 2.0] for name in names})
    assert layer_columns(table) == names
