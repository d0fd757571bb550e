"""Shared by all stages: where models are and what they are made from, and those of adapters.

REQUIRED INPUTS: rules/common.smk, included before.
OUTPUTS: none; defines `model_files`, `model_flags` and the `adapter_...` functions.
"""

from sluice.config import adapter_settings


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


def adapter_samples(wildcards):
    """The files of samples that an adapter learns from."""
    return list(settings.adapters[wildcards.adapter].samples)


def adapter_flags(wildcards):
    """An adapter's settings that differ from the defaults, as flags."""
    return shlex.join(to_flags(adapter_settings(wildcards.adapter, settings)))


def adapter_base_files(wildcards):
    """What the model below an adapter is made from."""
    return files_of_model(settings.adapters[wildcards.adapter].model)


def adapter_base_flags(wildcards):
    """Where the model below an adapter is, and whether its own code may run, as flags."""
    name = settings.adapters[wildcards.adapter].model
    is_trusted = settings.models[name].trust_remote_code
    return flags_of_model(name) + (" --trust-remote-code" if is_trusted else "")
