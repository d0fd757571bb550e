"""Samples, answers and graded answers for the tests of this folder."""

from sluice.evaluation.grades import GradedAnswer
from sluice.records import Message, Sample


def make_item(number, answer, *, group=None, suite="s", reference=None):
    """A question with its reference response, as suites have them."""
    return Sample(
        messages=(
            Message(role="user", content=f"Question {number}?"),
            Message(role="assistant", content=answer),
        ),
        dataset=suite,
        id=f"{suite}_{number}",
        group=group,
        reference={"answer": answer} if reference is None else reference,
    )


def make_graded(rights, *, group=None, suite="s", start=0):
    """One graded answer an entry; an entry may be a list, for several answers to an item."""
    return [
        GradedAnswer(
            id=f"{suite}_{start + number}",
            sample=sample,
            group=group,
            prompt=(Message(role="user", content=f"Question {start + number}?"),),
            completion="yes" if is_right else "no",
            finish_reason="stop",
            num_tokens=2,
            answer="yes" if is_right else "no",
            verdict="correct" if is_right else "wrong",
            reference_hash="0123456789ab",
            grader_hash="ba9876543210",
        )
        for number, entry in enumerate(rights)
        for sample, is_right in enumerate(entry if isinstance(entry, list) else [entry])
    ]
