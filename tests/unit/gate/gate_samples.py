"""Dialogues for the tests of this folder: of many lengths, some with several turns or digits."""

from sluice.records import Message, Sample

_ANSWERS = (
    "Yes.",
    "The sum of 12 and 30 is 42, since 10 + 30 = 40 and 2 more are 42.",
    "不，答案是 17。先算括号里的数，再乘以 3。",
    "B",
    "Rain falls when water vapour condenses into drops that are too heavy to float.",
    "It depends: in 1996 the rule was 3 months, and since 2011 it has been 6 to 18 months.",
)


def make_sample(number, answer, *, dataset="some", earlier=()):
    """One sample; ``earlier`` holds (question, answer) pairs that come before."""
    turns = [*earlier, (f"Question {number}: is it so{'?' * (number % 7)}", answer)]
    messages = []
    for question, reply in turns:
        messages.append(Message(role="user", content=question))
        messages.append(Message(role="assistant", content=reply))
    return Sample(messages=tuple(messages), dataset=dataset, id=f"{dataset}_{number:02d}")


def make_samples(count):
    """Every third sample has an exchange before the last one."""
    earlier = (("And before?", "Nothing."),)
    return [
        make_sample(n, _ANSWERS[n % 6] + " ok" * (n // 6), earlier=earlier if n % 3 == 2 else ())
        for n in range(count)
    ]


def silent_sample(number):
    """A question that nobody answered."""
    messages = (Message(role="user", content="Is anyone there?"),)
    return Sample(messages=messages, dataset="some", id=f"some_{number:02d}")
