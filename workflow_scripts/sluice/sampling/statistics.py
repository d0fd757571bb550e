"""What a rejection sampling run came to: acceptance, pass@k, tokens, the commonest answer."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sluice.grading.grade import share_of_commonest
from sluice.sampling.sampling import GradedCompletion


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Probability that one of k completions, drawn without replacement from n, is correct.

    Args:
        num_samples: n, completions of the prompt.
        num_correct: c, correct ones among them.
        k: in [1, n].
    Returns:
        1 - C(n - c, k) / C(n, k), unbiased for the chance that one of k fresh draws is correct.
    Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1, in
        their product form, which stays exact where the binomials are large.
    """
    assert 1 <= k <= num_samples
    if num_samples - num_correct < k:
        return 1.0
    miss = 1.0
    for i in range(num_samples - num_correct + 1, num_samples + 1):
        miss *= 1 - k / i
    return 1 - miss


def summarise(
    graded: Sequence[Sequence[GradedCompletion]], *, seconds: float, used: dict[str, Any]
) -> dict[str, Any]:
    """The numbers of sampling_stats.json.

    Args:
        graded: for each prompt its completions, the same number for all.
        seconds: time spent generating, interrupted runs included.
        used: model, prompts, seed and settings, shown at the end.
    """
    completions = [each for group in graded for each in group]
    num_accepted = sum(each.is_kept for each in completions)
    correct = [sum(each.grade.is_correct for each in group) for group in graded]
    num_tokens = sum(each.completion.num_tokens for each in completions)
    rejected = Counter(each.rejection for each in completions if each.rejection)
    common = share_of_commonest([each.grade.answer for each in completions])
    num_samples = len(graded[0])
    return {
        "samples": len(graded),
        "generated": len(completions),
        "correct": sum(correct),
        "accepted": num_accepted,
        "acceptance_rate": num_accepted / len(completions),
        "prompts_without_correct": correct.count(0),
        "mean_correct_per_prompt": sum(correct) / len(graded),
        "pass_at_k": {
            str(k): sum(pass_at_k(num_samples, count, k) for count in correct) / len(graded)
            for k in range(1, num_samples + 1)
        },
        "tokens": num_tokens,
        "mean_tokens_per_completion": num_tokens / len(completions),
        "cut_off_share": sum(each.is_cut_off for each in completions) / len(completions),
        "seconds": round(seconds, 3),
        "commonest_answer": common and common[0],
        "commonest_answer_share": common and common[1],
        "rejected": dict(sorted(rejected.items())),
        "settings": used,
    }
