"""The files of the built-in world: datasets, their truth, the base corpus and held-out sets."""

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa

from sluice.data.demo.building import MadeSample, PromptBook, make_samples
from sluice.data.demo.cases import CaseWorld
from sluice.data.demo.countries import CountryWorld
from sluice.data.demo.numbers import NumberWorld
from sluice.data.demo.problems import World, read_resource
from sluice.logs import get_logger
from sluice.records import write_samples
from sluice.seeds import derive_seed
from sluice.settings.data import MakeDemoData
from sluice.tables import write_parquet

logger = get_logger(__name__)

CORPUS = "base_corpus"
# Facts about countries are learned soonest: with equal parts they were known (AUROC 0.996) long
# before sums and sentences were.
_CORPUS_SHARES = {"numbers": Fraction(2, 5), "countries": Fraction(1, 5), "cases": Fraction(2, 5)}


def load_worlds(resources: Path, *, seed: int) -> dict[str, World]:
    """The three worlds by dataset name, from the word lists in ``resources``.

    Raises:
        DataError: a word list is missing or not JSON.
    """
    words: Mapping[str, Any] = read_resource(resources / "words.json")
    rng = random.Random(derive_seed(seed, "invent_countries"))
    return {
        "numbers": NumberWorld(read_resource(resources / "numbers.json"), words),
        "countries": CountryWorld(
            read_resource(resources / "countries.json"), words["people"], rng
        ),
        "cases": CaseWorld(read_resource(resources / "cases.json"), words["people"]),
    }


def make_demo_data(resources: Path, *, folder: Path, settings: MakeDemoData, seed: int) -> None:
    """Writes every file of the built-in world into ``folder``."""
    worlds = load_worlds(resources, seed=seed)
    prompts = PromptBook()
    for name, world in worlds.items():
        made = make_samples(
            world,
            name=name,
            number=settings.num_samples,
            flawed_share=settings.flawed_share,
            seed=seed,
            prompts=prompts,
        )
        _write(folder / f"{name}.jsonl", made)
        held_out = make_samples(
            world,
            name=f"heldout_{name}",
            number=settings.num_heldout_samples,
            flawed_share=0.0,
            seed=seed,
            prompts=prompts,
        )
        _write(folder / f"heldout_{name}.jsonl", held_out, has_truth=False)
    _write(folder / f"{CORPUS}.jsonl", _make_corpus(worlds, settings, seed, prompts))


def _make_corpus(
    worlds: Mapping[str, World], settings: MakeDemoData, seed: int, prompts: PromptBook
) -> list[MadeSample]:
    """The three worlds in their shares, shuffled; other draws than the datasets'."""
    corpus: list[MadeSample] = []
    for name, world in worlds.items():
        corpus += make_samples(
            world,
            name=f"corpus_{name}",
            number=round(settings.num_corpus_samples * _CORPUS_SHARES[name]),
            flawed_share=settings.corpus_flawed_share,
            seed=seed,
            prompts=prompts,
            slip_share=settings.corpus_slip_share,
            avoids_near_duplicates=False,
        )
    random.Random(derive_seed(seed, "shuffle_corpus")).shuffle(corpus)
    return corpus


def _write(path: Path, made: Sequence[MadeSample], *, has_truth: bool = True) -> None:
    number = write_samples(path, (each.sample for each in made))
    num_flawed = sum(each.flaw is not None for each in made)
    logger.info("%s: %d samples, %d of them flawed", path.name, number, num_flawed)
    if has_truth:
        write_parquet(path.with_suffix(".truth.parquet"), _truth_table(made))


def _truth_table(made: Sequence[MadeSample]) -> pa.Table:
    return pa.table(
        {
            "id": pa.array([each.sample.id for each in made], pa.string()),
            "is_flawed": pa.array([each.flaw is not None for each in made], pa.bool_()),
            "flaw": pa.array([each.flaw for each in made], pa.string()),
            "has_slip": pa.array([each.has_slip for each in made], pa.bool_()),
        }
    )
