"""The rule graph as a Mermaid picture that GitHub draws, from Snakemake's own."""

import re

from sluice.errors import SluiceError
from sluice.planning import ask_snakemake

BEGIN, END = "```mermaid\n", "```\n"
_TARGET = "all"


def rule_edges(text: str) -> list[tuple[str, str]]:
    """The edges (rule, rule that reads its output) in ``snakemake --rulegraph mermaid-js``'s text.

    The target without work is left out, with its edges.
    """
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)", text, re.MULTILINE))
    edges = re.findall(r"^\s*(id\d+) --> (id\d+)", text, re.MULTILINE)
    named = {(names[before], names[after]) for before, after in edges}
    return sorted(edge for edge in named if _TARGET not in edge)


def rule_graph(*targets: str) -> str:
    """The Mermaid text of the graph that leads to some targets; of ``rule all`` without any.

    Raises:
        SluiceError: Snakemake cannot build the graph.
    """
    words = ["--rulegraph", "mermaid-js", *(["--", *targets] if targets else [])]
    text = ask_snakemake(*words, what="draw the rule graph")
    lines = [f"  {before} --> {after}" for before, after in rule_edges(text)]
    return "\n".join(["flowchart LR", *lines, ""])


def replace_graph(readme: str, graph: str) -> str:
    """The README with its one Mermaid block replaced.

    Raises:
        SluiceError: there is not exactly one.
    """
    before, *rest = readme.split(BEGIN)
    if len(rest) != 1:
        raise SluiceError(f"{len(rest)} Mermaid blocks are in the README", expected="exactly one")
    _, after = rest[0].split(END, 1)
    return f"{before}{BEGIN}{graph}{END}{after}"
