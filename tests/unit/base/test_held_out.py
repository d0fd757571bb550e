"""Bits per byte of held-out text: only tokens that stand for bytes count."""

import numpy as np
import pytest
import torch
from base_models_for_tests import TINY
from tiny_models import byte_tokenizer

from sluice.base.held_out import HeldOut
from sluice.base.modeling import make_model

ROWS = [np.array(row) for row in ([0, 5, 6, 7], [8, 9, 0, 3], [4, 5, 6, 1], [2, 7, 9])]
# Token 0 is special, token 9 a character of three bytes.
BYTES = torch.tensor([0, *[1] * 8, 3, *[1] * 252])


@pytest.fixture(scope="module")
def model():
    return make_model(byte_tokenizer(), TINY).eval()


def sums(model, *, batch_size=2, processes=1):
    held_out = HeldOut(ROWS, token_bytes_V=BYTES, batch_size=batch_size)
    with torch.no_grad():
        parts = [held_out.sums(model, process=n, num_processes=processes) for n in range(processes)]
    return sum(parts).tolist()


def test_sums_are_those_of_a_plain_loop_over_tokens(model):
    nats, num_tokens, num_bytes = 0.0, 0, 0
    for row in ROWS:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor(row[None, :-1])).logits[0].double()
        for place, token in enumerate(row[1:]):
            if token != 0:
                nats += (logits[place].logsumexp(0) - logits[place, token]).item()
                num_tokens += 1
                num_bytes += 3 if token == 9 else 1
    assert (num_tokens, num_bytes) == (10, 14)
    assert sums(model) == pytest.approx([nats, num_tokens, num_bytes], rel=1e-6)


@pytest.mark.parametrize(("batch_size", "processes"), [(1, 1), (16, 1), (1, 2), (2, 5)])
def test_batches_and_processes_change_nothing(model, batch_size, processes):
    found = sums(model, batch_size=batch_size, processes=processes)
    assert found == pytest.approx(sums(model), rel=1e-6)
