"""Every reader with a sound file of its format, for tests that damage the file."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from core_bundles import write_bundle
from sound_contents import (
    ANSWER,
    ARTICLES,
    CASES,
    COMPRESSIONS,
    CONFIGURATION,
    CONTAINERS,
    DEMO_LAW,
    EVALUATION,
    FORMAT_ROWS,
    LEDGER,
    LEGAL_PROMPT,
    MESSAGES,
    PROVENANCE,
    ROWS,
    SAMPLES,
    SIMULATION,
    TOPICS,
    lines,
    router_data,
)
from source_bytes import to_parquet
from support import ROOT
from tiny_models import byte_tokenizer

from sluice.artifacts import read_configuration
from sluice.base.corpus import describe, read_corpus
from sluice.chat import load_tokenizer
from sluice.config import load_config_files
from sluice.core_metric.bundle import bundle_files, present_tasks, read_items, read_tasks
from sluice.data.conversion import convert_dataset
from sluice.evaluation.answers import Answer, read_answers, read_suite
from sluice.evaluation.grades import GradedAnswer
from sluice.evaluation.lawshift import ChangeType, convert_lawshift, read_change_types
from sluice.evaluation.lawshift import read_prompt as read_lawshift_prompt
from sluice.flywheel.judged import join_verdicts, read_evaluation, read_simulation
from sluice.flywheel.judging_run import read_simulation as read_dialogues
from sluice.flywheel.offline_law import read_law
from sluice.flywheel.simulation_run import read_prompt
from sluice.gate.runs import read_gate_weights, write_gate_weights
from sluice.ledger import read_ledger
from sluice.lineage import find_mismatches, read_provenance
from sluice.pins import read_pins
from sluice.records import locate_samples, read_sample_at, read_samples
from sluice.router_data import join_router_data, read_router_data, write_router_data
from sluice.sampling.formats import (
    accepted_sample,
    is_law_cases,
    read_prompts,
    sampled_entry,
    to_line,
)
from sluice.selection.keeping import read_scores
from sluice.settings.data import ConvertDataset, DatasetSource
from sluice.similarity.evaluation_texts import read_questions
from sluice.texts import read_documents
from sluice.topics import read_topics
from sluice.tracking.gathering import (
    comparison_run,
    evaluation_run,
    sampling_run,
    training_run,
)

Files = dict[str, bytes]


@dataclass(frozen=True)
class Reader:
    """A reader, a file that it reads, and what has to stand beside."""

    name: str
    """Of the file that is damaged."""
    read: Callable[[Path], Any]
    files: Callable[[], Files]
    """Content of the file and of those beside it, by name."""

    def write(self, folder: Path) -> Path:
        """Writes the files; returns the one that is to be damaged."""
        for name, data in self.files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder / self.name


def _made(write, name):
    """The bytes of a file that one of our functions writes."""

    def files():
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / name)
            return {name: (Path(folder) / name).read_bytes()}

    return files


def _folder(write):
    """The bytes of a folder that a function writes."""

    def files():
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder))
            found = (path for path in Path(folder).rglob("*") if path.is_file())
            return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}

    return files


def _write_corpus(folder):
    data = {}
    for split in ("train", "heldout"):
        data[f"{split}.tokens"] = np.arange(10, dtype="<u2").tobytes()
        data[f"{split}.ends"] = np.array([4, 10], dtype="<u8").tobytes()
    counts = {"num_tokens": 10, "num_documents": 2, "num_bytes": 9}
    about = describe(
        dtype=np.dtype("<u2"),
        vocab_size=50,
        begin_token_id=0,
        splits={"train": counts, "heldout": counts},
        sha256={name: hashlib.sha256(each).hexdigest() for name, each in data.items()},
    )
    for name, each in {**data, "corpus.json": json.dumps(about).encode()}.items():
        (folder / name).write_bytes(each)


def convert(path: Path, **source: Any) -> None:
    """The conversion; every row must come out or be counted, and what comes out be readable."""
    out = path.parent / "out"
    convert_dataset(
        DatasetSource(path=str(path), **source),
        dataset="d",
        settings=ConvertDataset(max_rejected_share=1.0),
        legal_prompt=LEGAL_PROMPT,
        samples_path=out / "s.jsonl",
        ledger_path=out / "l.json",
        rejected_path=out / "r.jsonl",
        kept_on_failure=out / "k.jsonl",
    )
    ledger = read_ledger(out / "l.json")
    rejected = (out / "r.jsonl").read_bytes().splitlines()
    assert len(list(read_samples(out / "s.jsonl"))) == ledger["rows_kept"]
    assert len([json.loads(line) for line in rejected]) == sum(ledger["rejected"].values())


def _convert_lawshift_cases(path):
    convert(path.parent / "rows.jsonl", format="lawshift", articles=str(path.parent / "a.json"))


def _read_samples(path):
    # Lines, since NaN is not what it is itself.
    whole = [sample.to_line() for sample in read_samples(path)]
    places = [offset for offset, _ in locate_samples(path)]
    assert [read_sample_at(path, offset).to_line() for offset in places] == whole


def _read_documents(path):
    for document in read_documents([path]):
        document.text.encode()


def _read_router_data(path):
    data = join_router_data([read_router_data(path)])
    data.to_dense()


def _read_bundle(path):
    bundle = next(each for each in path.parents if (each / "eval_data").is_dir())
    bundle_files(str(bundle), allow_missing=True)
    for task in present_tasks(read_tasks(bundle), allow_missing=True):
        read_items(task)


def _read_lawshift(path):
    prompts = {"original": "{articles}{fact}", "poisoned": "{old_articles}{new_articles}{fact}"}
    types = [ChangeType("T1", path.parent.name, "V")]
    for sample in convert_lawshift(path.parent.parent, types, prompts=prompts, suite="s"):
        sample.to_line()


def _read_prompts(path):
    articles = path.parent / "a.json" if is_law_cases(path.parent / "p") else None
    for prompt in read_prompts(path.parent / "p", articles=articles, legal_prompt=LEGAL_PROMPT):
        to_line(sampled_entry(prompt, completion_id="c", text="t", num_correct=1)).encode()
        accepted_sample(prompt, completion_id="c", text="t", num_correct=1).to_line()


def _read_turn(path):
    join_verdicts(
        read_simulation(path.parent / "simulation.json"),
        read_evaluation(path.parent / "evaluation.json"),
    )


def _one(name, data, read):
    return Reader(name, read, lambda: {name: data})


def _sources():
    """What convert_dataset reads: each container, each format of a row."""
    for container, write in CONTAINERS.items():
        for ending, pack in COMPRESSIONS.items():
            name = container + ending
            yield f"source {name}", _one(name, pack(write(ROWS)), convert)
    for name, row in FORMAT_ROWS.items():
        data = lines([row, row])
        if name == "lawshift":
            files = {"rows.jsonl": data, "a.json": ARTICLES}
            for each in files:
                yield (
                    f"format lawshift, {each}",
                    Reader(each, _convert_lawshift_cases, lambda files=files: files),
                )
        else:
            yield f"format {name}", _one("rows.jsonl", data, convert)


def _texts():
    """Plain text, as tokenizers and base models learn from."""
    texts = [{"text": f"text {n} 中文"} for n in range(4)]
    plain = "a\nb\r\n中文\n".encode()
    yield "text jsonl", _one("t.jsonl", lines(texts), _read_documents)
    yield "text parquet", _one("t.parquet", to_parquet(texts), _read_documents)
    yield "text dialogues", _one("t.jsonl", lines(SAMPLES), _read_documents)
    for ending, pack in COMPRESSIONS.items():
        yield f"text txt{ending}", _one(f"t.txt{ending}", pack(plain), _read_documents)


def _samples():
    """Samples, and answers to them."""
    selected = [{**row, "scores": {"q": 1.0}, "rank": n + 1} for n, row in enumerate(SAMPLES)]
    yield "samples", _one("s.jsonl", lines(SAMPLES), _read_samples)
    yield "selected samples", _one("s.jsonl", lines(selected), lambda p: list(read_samples(p)))
    yield "suite", _one("s.jsonl", lines(SAMPLES), read_suite)
    yield "answers", _one("a.jsonl", lines([ANSWER] * 2), lambda path: read_answers(path, Answer))
    graded = {**ANSWER, "verdict": "correct", "answer": "c"}
    graded |= {"reference_hash": "0123456789ab", "grader_hash": "ba9876543210"}
    yield "grades", _one("a.jsonl", lines([graded]), lambda path: read_answers(path, GradedAnswer))


def _scores():
    """What gates write, scores, and the ledger."""
    yield (
        "router data",
        Reader(
            "d.pt",
            _read_router_data,
            _made(lambda path: write_router_data(path, router_data()), "d.pt"),
        ),
    )
    yield (
        "dense router data",
        Reader(
            "d.pt",
            _read_router_data,
            _made(lambda path: torch.save(router_data().to_dense(), path), "d.pt"),
        ),
    )
    yield (
        "gate weights",
        Reader(
            "g.pt",
            read_gate_weights,
            _made(lambda path: write_gate_weights(path, {"a": torch.ones(3, 4)}), "g.pt"),
        ),
    )
    scores = {"id": "d_0", "dataset": "d", "num_tokens": 3, "quality": 0.5, "status": "ok"}
    yield "scores", _one("s.parquet", to_parquet([scores] * 5), lambda path: read_scores([path]))
    yield "ledger", _one("l.json", json.dumps(LEDGER).encode(), read_ledger)


def _evaluation():
    """CORE's bundle, and LawShift."""
    write = _folder(lambda folder: write_bundle(folder / "b"))
    for name in sorted(write()):
        yield f"CORE bundle, {Path(name).name}", Reader(name, _read_bundle, write)
    yield (
        "LawShift prompt",
        _one(
            "p.txt", b"{articles} {fact}", lambda path: read_lawshift_prompt(path, split="original")
        ),
    )
    labels = (ROOT / "resources/lawshift/labels.csv").read_bytes()
    yield "change types", _one("labels.csv", labels, read_change_types)
    for name in ("original.json", "articles_poisoned.json"):
        files = {
            f"T/{start}{split}.json": data
            for split in ("original", "poisoned")
            for start, data in (("", CASES), ("articles_", ARTICLES))
        }
        yield f"LawShift, {name}", Reader(f"T/{name}", _read_lawshift, lambda files=files: files)


def _prompts():
    """What is sampled from, and what may not be learnt."""
    for name, prompts in (("cases", CASES), ("samples", lines(SAMPLES))):
        files = {"p": prompts, "a.json": ARTICLES}
        yield f"prompts, {name}", Reader("p", _read_prompts, lambda files=files: files)
    yield (
        "prompts, articles",
        Reader("a.json", _read_prompts, lambda: {"p": CASES, "a.json": ARTICLES}),
    )
    asked = [{"question": "what is it"}, {"messages": MESSAGES}]
    yield "questions", _one("q.jsonl", lines(asked), lambda path: read_questions([path]))
    yield "plain questions", _one("q.txt", b"a b c\nd e\n", lambda path: read_questions([path]))


def _flywheel():
    """A turn's files."""
    yield "topics", _one("t.jsonl", lines(TOPICS), lambda path: read_topics([path]))
    yield "prompt", _one("p.txt", b"say {fence} now", read_prompt)
    turn = {
        "simulation.json": json.dumps(SIMULATION).encode(),
        "evaluation.json": json.dumps(EVALUATION).encode(),
    }
    for name in turn:
        yield f"turn, {name}", Reader(name, _read_turn, lambda: turn)
    yield "judged dialogues", _one("s.json", turn["simulation.json"], read_dialogues)
    yield "law book", _one("law.json", DEMO_LAW, read_law)


def _tracked():
    """What the tracking takes figures from."""
    stats = {"settings": {"k": 8}, "pass_at_k": {"1": 0.5}, "num_prompts": 3}
    stats |= {"generated": 24, "accepted": 5, "tokens": 90}
    rows = [{"suite": "s", "group": "g", "p_holm": 0.5, "n": 3, "only_a": 0, "only_b": 1}]
    rows[0]["finding"] = "no difference shown"
    for name in ("difference", "difference_low", "difference_high"):
        rows[0][name] = 0.1
    compared = {"a": "x", "b": "y", "test": "t", "interval": "i", "rows": rows}
    estimate = {"accuracy": 0.5, "low": 0.4, "high": 0.6, "n": 3, "answers": 3}
    results = {
        "subject": "x",
        "suite": "s",
        "overall": estimate,
        "groups": [{**estimate, "group": "g"}],
        "verdicts": {"correct": 3},
        "commonest_answer": {"answer": "4", "share": 0.5},
        "mean_tokens": 2.5,
    }
    for name, content, read in (
        ("metrics.json", {"losses": [1.0, 0.5], "num_steps": 2}, training_run),
        ("sampling_stats.json", stats, sampling_run),
        ("s.evaluation_results.json", results, evaluation_run),
    ):
        data = json.dumps(content).encode()
        yield f"tracked {name}", _one(name, data, lambda path, read=read: read(path, {}))
    yield "tracked comparison", _one("c.json", json.dumps(compared).encode(), comparison_run)


def _rest():
    """Configuration, pins, provenance, and folders of our own."""
    yield "configuration", _one("c.yaml", CONFIGURATION, lambda path: load_config_files([path]))
    yield (
        "provenance",
        _one(
            "p.json",
            json.dumps(PROVENANCE).encode(),
            lambda path: find_mismatches(read_provenance(path)),
        ),
    )
    yield "pins", _one("r.txt", b"a==1\n# c\nb==2\n", read_pins)
    for name in ("corpus.json", "train.tokens", "train.ends"):
        yield (
            f"corpus, {name}",
            Reader(name, lambda path: read_corpus(path.parent), _folder(_write_corpus)),
        )
    yield (
        "configuration as JSON",
        _one(
            "c.json",
            b'{"a": {"b": 1}}',
            lambda path: read_configuration(path.read_text(errors="surrogateescape")),
        ),
    )
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        yield (
            f"tokenizer, {name}",
            Reader(
                name,
                lambda path: load_tokenizer(path.parent),
                _folder(lambda folder: byte_tokenizer().save_pretrained(folder)),
            ),
        )


_STAGES = (
    _sources,
    _texts,
    _samples,
    _scores,
    _evaluation,
    _prompts,
    _flywheel,
    _tracked,
    _rest,
)
READERS = {name: reader for stage in _STAGES for name, reader in stage()}
