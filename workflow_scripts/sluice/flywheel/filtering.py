"""What a turn learns from: the good exchanges, each once, without text of the evaluation."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sluice.errors import DataError
from sluice.files import write_json
from sluice.flywheel.judged import (
    NO_GROUP,
    JudgedExchange,
    check_rule,
    is_good,
    join_verdicts,
    read_evaluation,
    read_simulation,
)
from sluice.flywheel.sft_formats import exchange_sample, write_sft
from sluice.flywheel.shift import Shift, category_shift, describe, number_shift, shift_json
from sluice.ledger import Ledger
from sluice.logs import get_logger
from sluice.records import Sample, write_samples
from sluice.settings.flywheel_turn import PrepareSftData, SftFormat
from sluice.similarity.boilerplate import Boilerplate
from sluice.similarity.duplicates import Comparison, Texts, texts_of
from sluice.similarity.evaluation_texts import Question, read_questions
from sluice.similarity.overlap import QuestionIndex
from sluice.similarity.survey import Rejection, find_rejections, survey_samples
from sluice.similarity.text_forms import compact, encode, facts, normalise
from sluice.topics import read_topics

logger = get_logger(__name__)


def prepare_sft_data(
    simulation_path: Path,
    evaluation_path: Path,
    *,
    name: str,
    held_out: Sequence[Path],
    held_out_topics: Sequence[Path] = (),
    settings: PrepareSftData,
    sft_format: SftFormat,
    output: Path,
) -> None:
    """Writes the exchanges worth learning from, the ledger and how they differ from the whole.

    Args:
        simulation_path: simulation_data.json of the training topics.
        evaluation_path: evaluation_results.json of the same dialogues.
        name: of the data set; the samples' ids begin with it.
        held_out: simulation_data.json files of held-out topics, whose openings are kept out.
        held_out_topics: files of these topics: their fixed questions are kept out, too.
        settings: what is good, when two texts are the same, and which evaluation sets are kept
            out too.
        sft_format: canonical messages, or Alpaca.
        output: JSONL to write; ledger, rejected exchanges and shift.json appear beside it.
    Raises:
        DataError: the files do not fit together, or too few exchanges are kept.
    """
    simulation, evaluation = read_simulation(simulation_path), read_evaluation(evaluation_path)
    check_rule(settings, evaluation)
    where = f"{simulation_path} and {evaluation_path}"
    judged = join_verdicts(simulation, evaluation, where=where)
    texts = [Path(name) for name in settings.evaluation_texts]
    questions = [*read_questions(texts), *held_out_questions(held_out, held_out_topics)]
    samples = [exchange_sample(each, simulation=simulation, dataset=name) for each in judged]
    rejections = {
        index: rejection
        for index, each in enumerate(judged)
        if (rejection := _why_not_good(each, settings))
    }
    whole = {each.dialogue.id: sample for each, sample in zip(judged, samples, strict=True)}
    boilerplate = Boilerplate(share=settings.boilerplate_share)
    boilerplate.count([texts_of(sample).parts for sample in whole.values()])
    rejections = find_asked(samples, questions, boilerplate=boilerplate) | rejections
    rejections |= _find_repeats(
        samples, rejections, questions=questions, boilerplate=boilerplate, settings=settings
    )
    is_kept = [index not in rejections for index in range(len(samples))]
    rejected_path = output.with_suffix(".rejected.jsonl")
    ledger = Ledger(
        "prepare_sft_data",
        name,
        path=output.with_suffix(".ledger.json"),
        rejected_path=rejected_path,
    )
    with ledger:
        _book(ledger, samples, rejections)
        if ledger.rows_kept < settings.min_kept:
            failed = output.with_name(f"failed_{rejected_path.name}")
            ledger.save_rejected(failed)
            raise _too_few(ledger, settings, failed)
        logger.info("%s: %s", name, ledger.summary())
        shifts = find_shifts(judged, is_kept, max_shift=settings.max_shift)
        kept = [sample for sample, flag in zip(samples, is_kept, strict=True) if flag]
        write_sft(output, kept, sft_format=sft_format)
    write_json(output.with_suffix(".shift.json"), shift_json(shifts, max_shift=settings.max_shift))


def held_out_questions(dialogues: Sequence[Path], topics: Sequence[Path]) -> list[Question]:
    """What held-out dialogues ask whatever the model says, as text that must not be learnt.

    These are their openings and the fixed turns of their topics. What else the users say answers
    the model, and set phrases of theirs stand in every dialogue.
    """
    openings = [
        (dialogue.exchanges[0].user, f"dialogue {dialogue.id} of {path}")
        for path in dialogues
        for dialogue in read_simulation(path).dialogues
        if dialogue.exchanges
    ]
    turns = [
        (turn, f"held-out topic {topic.id}")
        for topic in (read_topics(topics) if topics else ())
        for turn in topic.turns
    ]
    forms = {normalise(text): where for text, where in [*openings, *turns]}
    return [Question(compact(form), facts(form), where) for form, where in forms.items() if form]


def find_asked(
    samples: Sequence[Sample], questions: Sequence[Question], *, boilerplate: Boilerplate
) -> dict[int, Rejection]:
    """Index -> why a sample is left out in which a user's message is a question, however short.

    Runs of characters, which find questions inside of other text, are longer than many a follow-up
    question. One that is a set phrase of the users gives nothing away.
    """
    known = {
        (each.text, each.facts): each.where
        for each in questions
        if not boilerplate.covers(encode([each.text])).all()
    }
    found = {}
    for index, sample in enumerate(samples):
        users = [normalise(each.content) for each in sample.messages if each.role == "user"]
        places = [known.get((compact(form), facts(form))) for form in users]
        if where := next(filter(None, places), None):
            found[index] = Rejection("evaluation_overlap", f"a message is the question of {where}")
    return found


def _why_not_good(each: JudgedExchange, settings: PrepareSftData) -> Rejection | None:
    if not each.is_scored or each.verdict.scores is None:
        return Rejection("no_verdict", each.verdict.status)
    if not each.exchange.assistant.strip():
        return Rejection("empty_answer", "")
    if not is_good(each.verdict.scores, settings):
        scores = ", ".join(f"{name} {score:g}" for name, score in each.verdict.scores.items())
        return Rejection("low_score", scores)
    return None


def _find_repeats(
    samples: Sequence[Sample],
    rejections: dict[int, Rejection],
    *,
    questions: Sequence[Question],
    boilerplate: Boilerplate,
    settings: PrepareSftData,
) -> dict[int, Rejection]:
    """Index -> why a good exchange is left out all the same: repeated, or of the evaluation.

    What all dialogues say is boilerplate, not only what the good ones do; a dialogue counts once,
    however many of its exchanges hold its beginning.
    """
    good = [index for index in range(len(samples)) if index not in rejections]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "good.jsonl"
        write_samples(path, (samples[index] for index in good))
        index = QuestionIndex(questions, length=settings.overlap_ngram)
        survey = survey_samples(path, index=index, settings=settings)
        survey = replace(survey, boilerplate=boilerplate)

        def read(row: int) -> Texts:
            return texts_of(samples[good[row]])

        compare = Comparison(read, boilerplate=boilerplate, ngram=settings.near_duplicate_ngram)
        found = find_rejections(survey, index=index, compare=compare, settings=settings, read=read)
    return {good[row]: rejection for row, rejection in found.items()}


def _book(ledger: Ledger, samples: Sequence[Sample], rejections: dict[int, Rejection]) -> None:
    for index, sample in enumerate(samples):
        ledger.read()
        rejection = rejections.get(index)
        if rejection is None:
            ledger.keep()
        else:
            row = sample.model_dump(mode="json", exclude_none=True)
            ledger.reject(rejection.reason, row=row, where=sample.id, detail=rejection.detail)


def _too_few(ledger: Ledger, settings: PrepareSftData, failed: Path) -> DataError:
    return DataError(
        f"{ledger.rows_kept:,} of {ledger.rows_in:,} exchanges are kept, too few to learn from "
        f"({ledger.reasons()})",
        where=str(failed),
        expected=f"at least {settings.min_kept:,} (flywheel.min_kept)",
        hint="talk about more topics, or lower flywheel.min_score if the judge is strict",
    )


def find_shifts(
    judged: Sequence[JudgedExchange], is_kept: Sequence[bool], *, max_shift: float
) -> list[Shift]:
    """Compares the kept exchanges with all of them, and warns of each feature that differs."""
    categories = {
        "topic": [each.dialogue.category or NO_GROUP for each in judged],
        "language": [each.dialogue.language or NO_GROUP for each in judged],
        "exchange": [str(each.index + 1) for each in judged],
    }
    lengths = {
        "user_chars": [float(len(each.exchange.user)) for each in judged],
        "answer_chars": [float(len(each.exchange.assistant)) for each in judged],
    }
    shifts = [
        *(category_shift(k, v, is_kept, max_shift=max_shift) for k, v in categories.items()),
        *(number_shift(k, v, is_kept, max_shift=max_shift) for k, v in lengths.items()),
    ]
    for shift in shifts:
        if shift.is_shifted:
            logger.warning("what is kept is not like the whole: %s", describe(shift))
    return shifts
