"""Texts that tokenizers and models are trained and evaluated on, as inputs and as flags.

REQUIRED INPUTS: config.yaml, through `settings`.
OUTPUTS: none; defines `text_files` and `text_flags`.
"""


def text_files(sources):
    """The files that sources of text stand for: themselves, or all files of a folder."""
    files = []
    for source in map(Path, sources):
        inside = sorted(str(file) for file in source.rglob("*") if file.is_file())
        files += inside or [str(source)]
    return files


def text_flags(**sources):
    """Flags that hand sources of text to a script, those without a source left out.

    A function, since a plain string param that holds braces would be read as a wildcard.
    """
    named = {name: paths for name, paths in sources.items() if paths}
    text = " ".join(
        shlex.join([f"--{name.replace('_', '-')}", *paths]) for name, paths in named.items()
    )
    return lambda wildcards: text
