"""What a step sees: planned batches, padding, division into passes; and the loss of it."""

import pytest
import torch
from base_models_for_tests import TINY, TINY_PACKED
from tiny_models import byte_tokenizer

from sluice.base.batches import plan_batches
from sluice.base.corpus import read_corpus
from sluice.base.modeling import ShareOfLoss, make_model, target_nats
from sluice.base.packing import PackedRows
from sluice.base.steps import PackedSteps, SampleSteps, divide, pad_batch
from sluice.chat import EncodedSample
from sluice.errors import ConfigError, DataError

LONG = EncodedSample([5, 6, 7, 8, 9, 10], [False, False, True, True, False, True])
SHORT = EncodedSample([11, 12, 13], [False, True, True])


@pytest.fixture(scope="module")
def model():
    return make_model(byte_tokenizer(), TINY)


def test_padded_batch_has_targets_on_responses_alone():
    inputs_BT, targets_BT = pad_batch([LONG, SHORT], pad=0)
    assert inputs_BT.tolist() == [[5, 6, 7, 8, 9], [11, 12, 0, 0, 0]]
    assert targets_BT.tolist() == [[-100, 7, 8, -100, 10], [12, 13, -100, -100, -100]]


def test_nats_are_those_of_full_logits_at_the_targets(model):
    inputs_BT, targets_BT = pad_batch([LONG], pad=0)
    with torch.no_grad():
        log_p = model(input_ids=inputs_BT).logits.log_softmax(-1)[0]
        nats_N = target_nats(model, inputs_BT, target_ids_BT=targets_BT)
    by_hand = [-log_p[1, 7], -log_p[2, 8], -log_p[4, 10]]
    torch.testing.assert_close(nats_N, torch.stack(by_hand))


def test_shares_of_the_passes_add_up_to_the_mean_over_all_targets(model):
    """LONG has three targets and SHORT two: a mean of the passes' means would be another number."""
    share_of_loss = ShareOfLoss(model)
    with torch.no_grad():
        passes = [pad_batch(each, pad=0) for each in ([LONG, SHORT], [LONG], [SHORT])]
        together, long, short = (share_of_loss(*each, 5).item() for each in passes)
        nats_N = target_nats(model, passes[0][0], target_ids_BT=passes[0][1])
    assert together == pytest.approx(nats_N.mean().item(), abs=1e-6)
    assert together == pytest.approx(long + short, abs=1e-6)
    assert abs((long * 5 / 3 + short * 5 / 2) / 2 - together) > 1e-4


def test_a_step_counts_the_targets_and_tokens_of_its_samples():
    settings = TINY.model_copy(update={"batch_size": 2, "num_steps": 1})
    steps = SampleSteps([LONG, SHORT], settings, pad_token_id=0)
    assert steps.num_targets(0) == 5
    assert steps.num_tokens(0) == 9


def test_a_corpus_without_responses_is_an_error():
    silent = [EncodedSample([1, 2, 3], [False, False, False])]
    with pytest.raises(DataError, match="no sample of the corpus has a response"):
        SampleSteps(silent, TINY, pad_token_id=0)


def _rows(steps, step, *, num_processes):
    """All rows of a step, process by process and pass by pass, inputs and targets side by side."""
    return [
        [*inputs.tolist(), *targets.tolist()]
        for process in range(num_processes)
        for pair in steps.passes(step, process=process, num_processes=num_processes)
        for inputs, targets in zip(*pair, strict=True)
    ]


def _packed_steps(inputs, accumulation):
    settings = TINY_PACKED.model_copy(update={"accumulation": accumulation, "batch_size": 7})
    rows = PackedRows(read_corpus(inputs / "corpus").train, row_tokens=16, seed=1)
    return PackedSteps(rows, settings)


def _sample_steps(inputs, accumulation):
    # All of one length: how much padding a row gets depends on its pass.
    samples = [EncodedSample([n, n + 1, n + 2], [False, True, True]) for n in range(20)]
    settings = TINY.model_copy(update={"accumulation": accumulation, "batch_size": 7})
    return SampleSteps(samples, settings, pad_token_id=0)


@pytest.mark.parametrize("make_steps", [_packed_steps, _sample_steps])
@pytest.mark.parametrize(("num_processes", "accumulation"), [(1, 3), (2, 1), (3, 2)])
def test_processes_and_passes_see_every_row_of_a_step_once(
    inputs, make_steps, num_processes, accumulation
):
    whole = _rows(make_steps(inputs, 1), 5, num_processes=1)
    assert len(whole) == 7
    divided = make_steps(inputs, accumulation)
    assert _rows(divided, 5, num_processes=num_processes) == whole
    passes = divided.passes(5, process=0, num_processes=num_processes)
    assert len(passes) == accumulation


def test_shares_are_of_as_equal_size_as_can_be():
    assert [share.stop - share.start for share in divide(7, 3)] == [2, 2, 3]


def test_more_shares_than_rows_are_an_error():
    with pytest.raises(ConfigError, match="a step of 4 rows cannot be divided into 6 passes"):
        divide(4, 6)


def test_an_epoch_visits_no_sample_twice_and_batches_are_of_like_length():
    lengths = [n % 37 for n in range(640)]
    plan = plan_batches(lengths, batch_size=32, num_steps=20, seed=1)
    visited = [index for batch in plan for index in batch]
    assert sorted(visited) == list(range(640))
    spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in plan]
    assert max(spread) <= 3  # 37 lengths over 20 sorted batches


def test_plan_of_fewer_steps_is_the_beginning_of_the_longer_plan():
    lengths = list(range(100))
    short = plan_batches(lengths, batch_size=8, num_steps=5, seed=1)
    assert plan_batches(lengths, batch_size=8, num_steps=50, seed=1)[:5] == short


def test_epochs_differ():
    plan = plan_batches([1] * 64, batch_size=8, num_steps=16, seed=1)
    assert plan[:8] != plan[8:]


def test_a_batch_larger_than_the_corpus_holds_it_whole():
    plan = plan_batches([3, 1, 2], batch_size=8, num_steps=2, seed=1)
    assert [sorted(batch) for batch in plan] == [[0, 1, 2]] * 2
