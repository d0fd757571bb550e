"""Datasets of the built-in world: distinct prompts, flaws spread evenly, everything by name.

Each draft derives its seed from its set's name and its number, so that no set depends on another's
size; the only thing that sets share is which prompts are taken.
"""

import random
import re
from collections import defaultdict
from dataclasses import dataclass

from sluice.data.demo.cases import CaseWorld
from sluice.data.demo.flaws import FLAWS, Material, spoil
from sluice.data.demo.problems import LANGUAGES, Problem, Solution, World, answer_parts
from sluice.records import Message, Sample
from sluice.seeds import derive_seed

_NGRAM = 5
_LARGEST_JACCARD = 0.7


@dataclass(frozen=True)
class Draft:
    """A sample before it is decided whether, and how, it is spoilt."""

    prompt: str
    kind: str
    language: str
    problem: Problem
    explanation: str
    conclusion: str
    reference_answer: str
    has_slip: bool

    @property
    def group(self) -> str:
        """Kind and language."""
        return f"{self.kind}_{self.language}"

    @property
    def answer(self) -> str:
        """The answer that is not spoilt."""
        return self.explanation + self.conclusion


@dataclass(frozen=True)
class MadeSample:
    """A sample and the truth about it; ``flaw`` is None for a clean one."""

    sample: Sample
    flaw: str | None
    has_slip: bool


class PromptBook:
    """The prompts that are taken, over all sets, so that none occurs twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, prompt: str) -> bool:
        """Whether the prompt was free; it no longer is."""
        is_free = prompt not in self._taken
        self._taken.add(prompt)
        return is_free


class NearDuplicates:
    """Texts seen so far, to tell whether a new one nearly repeats one with the same numbers."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], list[frozenset[str]]] = defaultdict(list)

    def add(self, text: str, *, group: str = "") -> bool:
        """Whether the text is new (Jaccard of character 5-grams under 0.7); if so, it is kept.

        Texts are compared only within a group, such as one kind of problem in one language.
        """
        grams = frozenset(text[at : at + _NGRAM] for at in range(max(1, len(text) - _NGRAM + 1)))
        seen = self._seen[group, *re.findall(r"\d+", text)]
        is_new = all(len(grams & other) < _LARGEST_JACCARD * len(grams | other) for other in seen)
        if is_new:
            seen.append(grams)
        return is_new


def make_samples(
    world: World,
    *,
    name: str,
    number: int,
    flawed_share: float,
    seed: int,
    prompts: PromptBook,
    slip_share: float = 0.0,
    avoids_near_duplicates: bool = True,
) -> list[MadeSample]:
    """One set of samples, ids ``<name>_<n>``.

    Args:
        world: what problems are drawn from.
        name: the dataset's name, which every seed is derived from.
        number: how many samples.
        flawed_share: share of flawed samples, spread evenly over `FLAWS`.
        seed: the config's seed.
        prompts: prompts taken by other sets; this set's are added.
        slip_share: share of the cases whose total is 1 to 5 months off.
        avoids_near_duplicates: also keep the texts apart by 5-gram Jaccard.
    """
    drafts = _distinct_drafts(
        world,
        name=name,
        number=number,
        seed=seed,
        prompts=prompts,
        slip_share=slip_share,
        near_duplicates=NearDuplicates() if avoids_near_duplicates else None,
    )
    flaws = _spread_flaws(number, flawed_share=flawed_share, seed=derive_seed(seed, name, "flaws"))
    return [
        _finish(world, draft, flaw, name=name, index=index, seed=seed, drafts=drafts)
        for index, (draft, flaw) in enumerate(zip(drafts, flaws, strict=True))
    ]


def _distinct_drafts(
    world: World,
    *,
    name: str,
    number: int,
    seed: int,
    prompts: PromptBook,
    slip_share: float,
    near_duplicates: NearDuplicates | None,
) -> list[Draft]:
    drafts: list[Draft] = []
    attempt = 0
    while len(drafts) < number:
        rng = random.Random(derive_seed(seed, name, attempt))
        attempt += 1
        assert attempt < 20 * number + 1000, f"{name} runs out of distinct prompts"
        draft = _draw(world, index=len(drafts), rng=rng, slip_share=slip_share)
        text = draft.prompt + "\n" + draft.answer
        if prompts.take(draft.prompt) and (
            near_duplicates is None or near_duplicates.add(text, group=draft.group)
        ):
            drafts.append(draft)
    return drafts


def _draw(world: World, *, index: int, rng: random.Random, slip_share: float) -> Draft:
    kind = world.kinds[index // len(LANGUAGES) % len(world.kinds)]
    language = LANGUAGES[index % len(LANGUAGES)]
    problem = world.draw(kind, rng)
    reference = world.phrases.render(problem.solution.conclusion, language=language)
    has_slip = isinstance(world, CaseWorld) and rng.random() < slip_share
    if has_slip and isinstance(world, CaseWorld):
        problem = world.with_slip(problem, rng)
    explanation, conclusion = answer_parts(
        problem, problem.solution, phrases=world.phrases, language=language
    )
    return Draft(
        prompt=world.phrases.render(problem.question, language=language, rng=rng),
        kind=kind,
        language=language,
        problem=problem,
        explanation=explanation,
        conclusion=conclusion,
        reference_answer=reference,
        has_slip=has_slip,
    )


def _material(world: World, draft: Draft, *, drafts: list[Draft], rng: random.Random) -> Material:
    """What a flawed answer to the draft's prompt can be made of."""

    def text(problem: Problem, solution: Solution, language: str) -> tuple[str, str]:
        return answer_parts(problem, solution, phrases=world.phrases, language=language)

    foreign = next(each for each in LANGUAGES if each != draft.language)
    other = _another_problem(world, draft, rng)
    return Material(
        explanation=draft.explanation,
        conclusion=draft.conclusion,
        wrong="".join(text(draft.problem, draft.problem.wrong, draft.language)),
        foreign="".join(text(draft.problem, draft.problem.solution, foreign)),
        other_explanation=text(other, other.solution, draft.language)[0],
        another=_answer_of_another(draft, drafts, rng),
    )


def _another_problem(world: World, draft: Draft, rng: random.Random) -> Problem:
    """A problem of the same kind with another solution."""
    while True:
        other = world.draw(draft.kind, rng)
        if other.solution.steps != draft.problem.solution.steps:
            return other


def _spread_flaws(number: int, *, flawed_share: float, seed: int) -> list[str | None]:
    """As many flaws as the share says, each kind as often as the others (to one), shuffled."""
    num_flawed = round(number * flawed_share)
    kinds = list(FLAWS)
    flaws: list[str | None] = [kinds[index % len(kinds)] for index in range(num_flawed)]
    flaws += [None] * (number - num_flawed)
    random.Random(seed).shuffle(flaws)
    return flaws


def _finish(
    world: World,
    draft: Draft,
    flaw: str | None,
    *,
    name: str,
    index: int,
    seed: int,
    drafts: list[Draft],
) -> MadeSample:
    rng = random.Random(derive_seed(seed, name, "finish", index))
    answer = draft.answer
    if flaw:
        answer = spoil(_material(world, draft, drafts=drafts, rng=rng), flaw, rng)
    sample = Sample(
        messages=(
            Message(role="user", content=draft.prompt),
            Message(role="assistant", content=answer),
        ),
        dataset=name,
        id=f"{name}_{index}",
        group=draft.group,
        reference={"answer": draft.reference_answer},
    )
    return MadeSample(sample, flaw, draft.has_slip)


def _answer_of_another(draft: Draft, drafts: list[Draft], rng: random.Random) -> str:
    """The right answer of a random other sample of the same language."""
    while True:
        other = rng.choice(drafts)
        if other.language == draft.language and other.answer != draft.answer:
            return other.answer
