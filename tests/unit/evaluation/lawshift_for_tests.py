"""A LawShift-shaped folder, made of the demo world's own court cases."""

import csv
import json
import random

from support import ROOT

from sluice.data.demo.building import PromptBook, make_samples
from sluice.data.demo.cases import CaseWorld

LABELS_FILE = ROOT / "resources/lawshift/labels.csv"
PROMPTS = {
    split: ROOT / f"resources/prompts/lawshift_{split}_v1.txt" for split in ("original", "poisoned")
}


def all_types():
    """Rows of the labels file."""
    return list(csv.DictReader(LABELS_FILE.read_text().splitlines()))


def make_lawshift(folder, *, num_cases=2, seed=7):
    """All change types, each with ``num_cases`` cases a split; article 264 is the one changed."""
    law = json.loads((ROOT / "resources/demo/cases.json").read_text())
    words = json.loads((ROOT / "resources/demo/words.json").read_text())
    types = all_types()
    facts = [
        made.sample.messages[0].content
        for made in make_samples(
            CaseWorld(law, words["people"]),
            name="lawshift",
            number=2 * num_cases * len(types),
            flawed_share=0,
            seed=seed,
            prompts=PromptBook(),
        )
    ]
    rng = random.Random(seed)
    for change in types:
        place = folder / change["name"]
        place.mkdir(parents=True)
        old = {"264": f"旧法 {change['type']} 盗窃", "266": "诈骗"}
        new = {**old, "264": f"新法 {change['type']} 盗窃"}
        for split, articles in (("original", old), ("poisoned", new)):
            cases = [
                {
                    "fact": facts.pop(),
                    "relevant_articles": rng.choice([[264], [264, 266]]),
                    "charge": "盗窃",
                    "prison_time": 40,
                }
                for _ in range(num_cases)
            ]
            _write(place / f"{split}.json", cases)
            _write(place / f"articles_{split}.json", articles)
    return folder


def _write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False))


def change(path, edit):
    """Edits a JSON file in place."""
    value = json.loads(path.read_text())
    edit(value)
    _write(path, value)


RIGHT = {
    ("original", "V"): "V | 1",
    ("original", "NV"): "V | XT",
    ("original", "TU"): "V | 36",
    ("original", "TD"): "V | 120",
    ("original", "XT"): "V | 60",
    ("original", "NX"): "V | XT",
    ("poisoned", "V"): "V | 7",
    ("poisoned", "NV"): "NV",
    ("poisoned", "TU"): "V | 120",
    ("poisoned", "TD"): "V | 36",
    ("poisoned", "XT"): "V | XT",
    ("poisoned", "NX"): "V | 36",
}
"""A right verdict for each split and label."""
