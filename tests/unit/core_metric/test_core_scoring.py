"""Losses do not depend on the way they are computed, whatever the model's family."""

import inspect
import itertools

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sluice.core_metric.questions import Question, Row
from sluice.core_metric.scoring import Scorer
from sluice.errors import DeviceError

VOCABULARY = 97
_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "vocab_size": VOCABULARY}
# Family -> its configuration, and whether a cached prefix can be continued.
FAMILIES = {
    "qwen3": (_SHAPE, True),
    "llama": (_SHAPE, True),
    "gpt2": (_GPT2, True),  # learned absolute positions
    "gpt_neox": (_SHAPE, True),
    "mistral": (_SHAPE | {"sliding_window": 24}, True),
    "gemma2": (_SHAPE | {"sliding_window": 24, "query_pre_attn_scalar": 8}, True),  # softcapped
    "bloom": ({"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4}, False),
    "mamba": ({"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2}, False),
}


def make_model(family, *, seed=0):
    values, _ = FAMILIES[family]
    config = AutoConfig.for_model(family, **values)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.add_(torch.randn_like(weight) * (0.05 if "norm" in name else 0.15))
    return model.eval()


def make_questions(*, seed=1, count=14):
    """Questions with prefixes of 9 to 60 tokens, tails of 1 to 9, and some oddities."""
    generator = torch.Generator().manual_seed(seed)

    def tokens(low, high):
        size = int(torch.randint(low, high + 1, (1,), generator=generator))
        return tuple(torch.randint(3, VOCABULARY, (size,), generator=generator).tolist())

    made = []
    for index in range(count):
        prefix = tokens(9, 60)
        tails = [(3 + option, *tokens(0, 8)) for option in range(4)]
        made.append(Question(index, 0, tuple(Row((*prefix, *tail), len(tail)) for tail in tails)))
    whole = tokens(30, 50)
    ending = tokens(4, 4)
    return [
        *made,
        Question(count, 0, (Row(whole, 5),)),  # language modelling
        Question(count + 1, 0, tuple(Row((*tokens(5, 30), *ending), 4) for _ in range(2))),
        # a schema: the contexts' difference is read but not scored
        Question(count + 2, 0, tuple(Row((*whole, 5 + n, *ending), 4) for n in range(2))),
        # equal options, and one without a token of its own
        Question(count + 3, 0, (Row((*whole, 9), 1), Row(whole, 0), Row((*whole, 9), 1))),
        # one token each: the prefix's logits are enough
        Question(count + 4, 0, tuple(Row((*whole, 20 + n), 1) for n in range(3))),
    ]


@torch.no_grad()
def plain_score(model, row):
    """One row alone, all logits."""
    log_p = model(input_ids=torch.tensor([row.tokens]), use_cache=False).logits[0].log_softmax(-1)
    targets = torch.tensor(row.tokens[1:])
    scored = slice(len(targets) - row.num_scored, None)
    losses = -log_p[:-1].gather(-1, targets[:, None])[:, 0][scored]
    hits = (log_p[:-1].argmax(-1) == targets)[scored]
    return float(losses.mean()), bool(hits.all())


def score_all(scorer, questions):
    found = {}
    for batch in scorer.plan(questions):
        for question, scores in zip(batch.questions, scorer.score(batch), strict=True):
            assert question.index not in found
            found[question.index] = scores
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("budget", [256, 100_000])
def test_scores_are_those_of_each_option_alone(family, budget):
    model = make_model(family)
    scorer = Scorer(model, max_batch_tokens=budget)
    assert scorer.can_reuse_prefix is FAMILIES[family][1]
    questions = make_questions()
    found = score_all(scorer, questions)
    assert len(found) == len(questions)
    for question in questions:
        for row, score in zip(question.rows, found[question.index], strict=True):
            if row.num_scored == 0:
                assert score is None
                continue
            loss, is_greedy = plain_score(model, row)
            assert score.mean_loss_nats == pytest.approx(loss, abs=3e-5)
            assert score.is_greedy is is_greedy


def test_greedy_continuations_are_recognised():
    """Continuations that the model itself would write, and the same with one token changed."""
    model = make_model("qwen3")
    context = list(range(5, 30))
    ids = torch.tensor([context])
    with torch.no_grad():
        for _ in range(4):
            ids = torch.cat([ids, model(input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
    written = ids[0].tolist()
    questions = [Question(0, 0, (Row(tuple(written), 4),))]
    for index in range(4):
        changed = list(written)
        changed[25 + index] = (changed[25 + index] + 1) % VOCABULARY
        questions.append(Question(index + 1, 0, (Row(tuple(changed), 4),)))
    found = score_all(Scorer(model, max_batch_tokens=4096), questions)
    assert [found[index][0].is_greedy for index in range(5)] == [True] + [False] * 4


def test_equal_options_have_exactly_equal_losses():
    found = score_all(Scorer(make_model("qwen3"), max_batch_tokens=4096), make_questions())
    first, without, second = found[17]
    assert first == second
    assert without is None


class Watch:
    """Counts what goes through a model: tokens in all, tokens and cached ones at once, logits."""

    def __init__(self, model):
        self.num_tokens = 0
        self.most_held = 0
        self.most_logits = 0
        model.register_forward_hook(self, with_kwargs=True)

    def __call__(self, module, args, kwargs, output):
        rows, width = kwargs["input_ids"].shape
        self.num_tokens += rows * width
        mask = kwargs.get("attention_mask")
        self.most_held = max(self.most_held, rows * (width if mask is None else mask.shape[1]))
        self.most_logits = max(self.most_logits, output.logits.numel())


def test_common_prefix_goes_through_the_model_once():
    model = make_model("qwen3")
    watch = Watch(model)
    prefix = tuple(range(3, 63))
    rows = tuple(Row((*prefix, 70 + n, 5, 6), 3) for n in range(4))
    score_all(Scorer(model, max_batch_tokens=4096), [Question(0, 0, rows)])
    # The prefix, and of each of four tails all but the last token.
    assert watch.num_tokens == 60 + 4 * 2


@pytest.mark.parametrize("budget", [512, 1024, 4096])
def test_what_is_held_at_once_stays_within_the_budget(budget):
    model = make_model("qwen3")
    watch = Watch(model)
    score_all(Scorer(model, max_batch_tokens=budget), make_questions(count=60))
    assert watch.most_held <= budget // 2
    assert watch.most_held > budget // 8, "the budget is used"


def test_logits_are_made_only_where_they_are_needed():
    model = make_model("qwen3")
    watch = Watch(model)
    rows = [Row(tuple([3 + n % 7 for n in range(50 + step)]), 2) for step in range(6)]
    questions = [Question(index, 0, (row,)) for index, row in enumerate(rows)]
    score_all(Scorer(model, max_batch_tokens=4096), questions)
    # Six rows of 50 to 55 tokens: from position 47 to position 53.
    assert watch.most_logits == 6 * 7 * VOCABULARY


def test_questions_give_the_same_batches_in_any_order():
    scorer = Scorer(make_model("qwen3"), max_batch_tokens=1024)
    questions = make_questions()
    plans = [scorer.plan(order) for order in itertools.islice(itertools.permutations(questions), 3)]
    assert plans[0] == plans[1] == plans[2]


def _limit_rows(monkeypatch, model, *, rows):
    """As on a device whose memory holds so many rows of a batch."""
    forward = model.forward

    def limited(*args, input_ids, **more):
        if len(input_ids) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, input_ids=input_ids, **more)

    limited.__signature__ = inspect.signature(forward)
    monkeypatch.setattr(model, "forward", limited)


@pytest.mark.parametrize("family", ["qwen3", "bloom"])
def test_questions_that_do_not_fit_together_are_scored_in_parts(monkeypatch, family):
    model = make_model(family)
    questions = make_questions()
    expected = score_all(Scorer(model, max_batch_tokens=100_000), questions)
    # A question has at most five options.
    _limit_rows(monkeypatch, model, rows=5)
    found = score_all(Scorer(model, max_batch_tokens=100_000), questions)
    assert found.keys() == expected.keys()
    for index, scores in expected.items():
        for score, other in zip(scores, found[index], strict=True):
            assert (score is None) == (other is None)
            if score is not None:
                assert other.mean_loss_nats == pytest.approx(score.mean_loss_nats, abs=3e-5)
                assert other.is_greedy is score.is_greedy


def test_question_that_does_not_fit_is_an_error_that_says_what_to_lower(monkeypatch):
    model = make_model("qwen3")
    _limit_rows(monkeypatch, model, rows=0)
    with pytest.raises(DeviceError, match="does not hold one of the items by itself") as caught:
        score_all(Scorer(model, max_batch_tokens=4096), make_questions())
    assert "max_batch_tokens" in caught.value.hint
