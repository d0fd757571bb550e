"""What the rules of training take from the configuration, by the adapter's name.

REQUIRED INPUTS: rules/common.smk before it.
OUTPUTS: none; defines `adapter_samples`, `adapter_flags` and where an adapter's base is.
"""

from sluice.config import adapter_settings


def adapter_samples(wildcards):
    """The files of samples that an adapter learns from."""
    return list(settings.adapters[wildcards.adapter].samples)


def adapter_flags(wildcards):
    """An adapter's settings that differ from the defaults, as flags."""
    return shlex.join(to_flags(adapter_settings(wildcards.adapter, settings)))


def adapter_gpus(wildcards):
    """A GPU for each process that an adapter trains on."""
    return settings.adapters[wildcards.adapter].num_processes


def adapter_base_files(wildcards):
    """What the model below an adapter is made from."""
    return files_of_model(settings.adapters[wildcards.adapter].model)


def adapter_base_flags(wildcards):
    """Where the model below an adapter is, and whether its own code may run, as flags."""
    name = settings.adapters[wildcards.adapter].model
    is_trusted = settings.models[name].trust_remote_code
    return flags_of_model(name) + (" --trust-remote-code" if is_trusted else "")
