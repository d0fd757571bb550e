"""Where the models of `models:` are, as files that a rule needs and as flags of its script.

REQUIRED INPUTS: rules/common.smk before it.
OUTPUTS: none; defines `BUILT_MODELS`, `model_files` and `model_flags`, and the latter two by a
    model's name.
"""

BUILT_MODELS = sorted(name for name, source in settings.models.items() if source.build)


def model_files(wildcards):
    """What a model is made from: the built-in one, a local folder's files, or nothing (a hub id)."""
    return files_of_model(wildcards.model)


def files_of_model(name):
    """The same, by the model's name."""
    source = settings.models[name]
    if source.build:
        return [f"results/base/{name}/final_model"]
    folder = Path(source.path)
    if folder.is_dir():
        return sorted(str(file) for file in folder.iterdir() if file.is_file())
    return []


def model_flags(wildcards):
    """Where a model's checkpoint is, as flags: a folder, or a hub id with its revision."""
    return flags_of_model(wildcards.model)


def flags_of_model(name):
    """The same, by the model's name."""
    source = settings.models[name]
    path = f"results/base/{name}/final_model" if source.build else source.path
    revision = ["--revision", source.revision] if source.revision else []
    return shlex.join(["--model", path, *revision])
