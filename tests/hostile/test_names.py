"""Names and paths that mean something to a shell, to a file system or to Snakemake."""

import json
import os

import pytest
import yaml
from core_bundles import write_bundle
from support import clone, snakemake

from sluice.config import load_config
from sluice.core_metric.bundle import read_tasks
from sluice.errors import ConfigError, DataError
from sluice.sources import read_source

_ILLEGAL = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc/passwd",
    ".hidden",
    "-rf",
    "a b",
    "a\nb",
    "a\n",
    "a\0b",
    "a;b",
    "$(touch pwned)",
    "{dataset}",
    "*",
    "名",
    "x" * 101,
]
_SECTIONS = ("datasets", "models", "adapters", "tasks", "suites")
_ROW = {"prompt": "one", "completion": "eins"}
_PATHS = [
    "data/$(touch pwned).jsonl",
    "data/`touch pwned`.jsonl",
    "data/a;touch pwned;.jsonl",
    "data/two words.jsonl",
    'data/it\'s "quoted".jsonl',
    "data/two\nlines.jsonl",
    "data/-n.jsonl",
    "data/*.jsonl",
    "data/中文.jsonl",
    "data/%s~#&|<>.jsonl",
]


@pytest.mark.parametrize("section", _SECTIONS)
@pytest.mark.parametrize("name", _ILLEGAL, ids=ascii)
def test_name_that_is_no_plain_file_name_is_refused(section, name):
    values = {"datasets": {"d": {"path": "x"}}, "models": {"m": {"path": "x"}}}
    values[section] = {**values.get(section, {}), name: {"path": "x"}}
    with pytest.raises(ConfigError, match=f"the name .* in '{section}' is illegal"):
        load_config(values)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A clone with one file of data under each of the odd names."""
    folder = clone(tmp_path_factory.mktemp("names") / "sluice")
    for path in _PATHS:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(json.dumps(_ROW) + "\n")
    return folder


def test_paths_of_odd_names_are_read_and_nothing_in_them_is_run(checkout):
    model = {"models": {"m": {"path": "none"}}, "gate": {"model": "m"}, "flywheel": {"model": "m"}}
    datasets = {f"d{number}": {"path": path} for number, path in enumerate(_PATHS)}
    # The whole of it as one folder too, and a value that no file has.
    datasets["all"] = {"path": "data"}
    (checkout / "odd.yaml").write_text(yaml.safe_dump({"datasets": datasets, **model}))
    targets = [f"results/data/{name}/samples.jsonl" for name in datasets]
    snakemake(checkout, "--cores", "2", "--configfile", "odd.yaml", "--", *targets)
    assert not list(checkout.rglob("pwned"))
    for name, target in zip(datasets, targets, strict=True):
        rows = [json.loads(line) for line in (checkout / target).read_bytes().splitlines()]
        texts = [message["content"] for row in rows for message in row["messages"]]
        assert texts == ["one", "eins"] * (len(_PATHS) if name == "all" else 1)


@pytest.mark.parametrize("path", ["-x.jsonl", "--debug"])
def test_path_that_begins_as_a_flag_is_read_or_refused(checkout, path):
    (checkout / path).write_text(json.dumps(_ROW) + "\n")
    values = {"datasets": {"d": {"path": path}}, "models": {"m": {"path": "none"}}}
    values |= {"gate": {"model": "m"}, "flywheel": {"model": "m"}}
    (checkout / "dash.yaml").write_text(yaml.safe_dump(values))
    done = snakemake(checkout, "-n", "--configfile", "dash.yaml", is_ok=False)
    assert f"'datasets.d.path' is '{path}'" in done.stdout
    assert "write ./" in done.stdout


@pytest.mark.parametrize("path", ["a{braces}.jsonl", "{dataset}", "plain"])
def test_braces_in_names_are_refused_since_snakemake_fills_them_in(checkout, path):
    file = checkout / path / "{b}.jsonl" if path == "plain" else checkout / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(_ROW) + "\n")
    values = {"datasets": {"d": {"path": path}}, "models": {"m": {"path": "none"}}}
    values |= {"gate": {"model": "m"}, "flywheel": {"model": "m"}}
    (checkout / "braces.yaml").write_text(yaml.safe_dump(values))
    done = snakemake(checkout, "-n", "--configfile", "braces.yaml", is_ok=False)
    assert "whose braces Snakemake takes for a pattern" in done.stdout
    assert "Traceback" not in done.stdout


def test_id_that_looks_like_a_path_names_no_file(checkout):
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    ids = ["../../../pwned", "/tmp/pwned", "a\nb", "$(touch pwned)", "\x1b[31m"]
    (checkout / "ids.jsonl").write_text("".join(json.dumps(row | {"id": id}) + "\n" for id in ids))
    values = {"datasets": {"d": {"path": "ids.jsonl"}}, "models": {"m": {"path": "none"}}}
    values |= {"gate": {"model": "m"}, "flywheel": {"model": "m"}}
    (checkout / "ids.yaml").write_text(yaml.safe_dump(values))
    before = {path for path in checkout.parent.rglob("*") if "results" not in path.parts}
    before = {path for path in before if not {"logs", ".snakemake"} & set(path.parts)}
    targets = ["results/data/d/samples.jsonl", "results/data/d/clean.jsonl"]
    snakemake(checkout, "--cores", "2", "--configfile", "ids.yaml", "--", *targets)
    kept = [json.loads(line) for line in (checkout / targets[0]).read_bytes().splitlines()]
    assert [sample["id"] for sample in kept] == [f"d_{id}" for id in ids]
    after = {path for path in checkout.parent.rglob("*") if "results" not in path.parts}
    after = {path for path in after if not {"logs", ".snakemake"} & set(path.parts)}
    assert {path for path in after - before if "__pycache__" not in path.parts} == set()


def test_link_to_a_file_outside_of_the_folder_is_followed(tmp_path):
    # The hub's cache is made of such links.
    (tmp_path / "blob").write_text(json.dumps(_ROW) + "\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.jsonl").symlink_to("../blob")
    assert [row.value for row in read_source(tmp_path / "data")] == [_ROW]


@pytest.mark.parametrize("target", ["nothing", ".", "../other"])
def test_link_that_is_not_followed_is_refused_and_not_left_out_unseen(tmp_path, target):
    for name in ("data", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jsonl").write_text(json.dumps(_ROW) + "\n")
    (tmp_path / "data/more").symlink_to(target)
    with pytest.raises(DataError, match=r"1 links lead to no file \(more\)"):
        list(read_source(tmp_path / "data"))


def test_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match=r"a\.jsonl does not exist"):
        list(read_source(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("uri", ["../../outside.jsonl", "/etc/passwd", "some/../../../x"])
def test_task_list_of_a_bundle_reaches_no_file_outside_of_it(tmp_path, uri):
    write_bundle(tmp_path / "b")
    path = tmp_path / "b/core.yaml"
    tasks = yaml.safe_load(path.read_text())
    tasks["icl_tasks"][0]["dataset_uri"] = uri
    path.write_text(yaml.safe_dump(tasks))
    with pytest.raises(DataError, match="names a file outside of the bundle"):
        read_tasks(tmp_path / "b")
