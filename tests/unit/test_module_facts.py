"""Facts of modules are kept on disk, and a lost, broken or old file of them changes nothing."""

import json

import pytest

from sluice.module_facts import FactsStore, parse_facts

SOURCE = b'''"""Head."""
import os
from sluice.tool import work

if True:
    try:
        import sluice.first
    except ImportError:
        from sluice.second import other
    finally:
        from sluice import third

match work:
    case 1:
        import sluice.fourth
'''


def test_imports_are_found_in_every_kind_of_block():
    assert parse_facts(SOURCE).imports == (
        "sluice",
        "sluice.first",
        "sluice.fourth",
        "sluice.second",
        "sluice.second.other",
        "sluice.third",
        "sluice.tool",
        "sluice.tool.work",
    )


@pytest.mark.parametrize(
    "place",
    [
        "def f():\n    {}\n    return 1\n",
        "class A:\n    x = 1\n    {}\n",
        "try:\n    pass\nexcept OSError:\n    {}\n    pass\n",
        "match 1:\n    case 1:\n        {}\n        pass\n",
        "for x in y:\n    pass\nelse:\n    {}\n    pass\n",
    ],
)
def test_a_bare_string_does_not_count_wherever_it_stands(place):
    assert (
        parse_facts(place.format('"A text."').encode()).code
        == parse_facts(place.format('"Another text."').encode()).code
    )
    assert parse_facts(place.format("g()").encode()) != parse_facts(place.format("h()").encode())


def test_kept_facts_are_those_of_a_fresh_parse(tmp_path):
    path = tmp_path / "folder" / "facts.json"
    store = FactsStore(path)
    fresh = store.facts(SOURCE)
    store.save()
    assert FactsStore(path).facts(SOURCE) == fresh == parse_facts(SOURCE)
    assert len(json.loads(path.read_bytes())["facts"]) == 1


def test_kept_facts_are_used(tmp_path):
    path = tmp_path / "facts.json"
    store = FactsStore(path)
    store.facts(SOURCE)
    store.save()
    kept = json.loads(path.read_bytes())
    (key,) = kept["facts"]
    kept["facts"][key] = [["sluice.kept"], "kept"]
    path.write_text(json.dumps(kept))
    assert FactsStore(path).facts(SOURCE) == (("sluice.kept",), "kept")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"of": "x"}', b'{"of": "another Python", "facts": {}}', b"\xff"],
)
def test_a_broken_or_old_file_is_done_without(tmp_path, content):
    path = tmp_path / "facts.json"
    path.write_bytes(content)
    store = FactsStore(path)
    assert store.facts(SOURCE) == parse_facts(SOURCE)
    store.save()
    assert FactsStore(path).facts(SOURCE) == parse_facts(SOURCE)


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("no folder")
    store = FactsStore(tmp_path / "file" / "facts.json")
    assert store.facts(SOURCE) == parse_facts(SOURCE)
    store.save()
