"""What the rules of a turn take from the configuration and from the turns before.

REQUIRED INPUTS: rules/common_flywheel.smk before it.
OUTPUTS: none; defines what a turn is trained from and how, and which turns it is compared with.
"""

from sluice.config import turn_adapter_settings
from sluice.settings.llm import Evaluator


def learner_files(wildcards):
    """What a turn trains: the model that the turn before ended with."""
    return files_of_turn_model(int(wildcards.turn) - 1)


def learner_flags(wildcards):
    """Where that model is, and whether its own code may run, as flags."""
    if wildcards.turn != "1":
        return shlex.join(["--model", turn_model(int(wildcards.turn) - 1)])
    is_trusted = settings.models[settings.flywheel.model].trust_remote_code
    return flags_of_model(settings.flywheel.model) + (" --trust-remote-code" if is_trusted else "")


def turn_adapter_flags(wildcards):
    """How a turn is fine-tuned, as flags."""
    return shlex.join(to_flags(turn_adapter_settings(settings)))


def turn_gpus(wildcards):
    """A GPU for each process that a turn trains on."""
    return turn_adapter_settings(settings).num_processes


def held_out_files(name):
    """A file of the held-out dialogues of every turn up to the wildcard's."""

    def files(wildcards):
        turns = range(int(wildcards.turn) + 1)
        return expand("results/flywheel/turn_{turn}/heldout/{name}", turn=turns, name=name)

    return files


def training_files(wildcards):
    """What a turn's training left behind; nothing of turn 0, which is not trained."""
    names = [
        "train/simulation_data.json",
        "train/evaluation_results.json",
        "sft_train.ledger.json",
        "sft_train.shift.json",
        "adapter/metrics.json",
    ]
    folder = f"results/flywheel/turn_{wildcards.turn}"
    return [f"{folder}/{name}" for name in names if wildcards.turn != "0"]


def training_flags(wildcards):
    """Where these are, as a flag."""
    folder = f"results/flywheel/turn_{wildcards.turn}"
    return f"--training-folder {folder}" if wildcards.turn != "0" else ""


def earlier_dialogues(wildcards):
    """The held-out dialogues of the turn before, for comparison in pairs; none of turn 0."""
    turn = int(wildcards.turn) - 1
    return [f"results/flywheel/turn_{turn}/heldout/simulation_data.json"] if turn >= 0 else []


def both_judges(which):
    """Judge and evaluator, as the nested flags of calibrate_judge."""
    words = []
    for role, kind in (("judge", Judge), ("evaluator", Evaluator)):
        found = to_flags(narrow(getattr(settings.llm, role), kind), which)
        words += [re.sub("^--", f"--{role}.", word) for word in found]
    return shlex.join(words)


def judges_flags(wildcards):
    """Who judges and who evaluates, as flags."""
    return both_judges("tracked")


def judges_untracked(wildcards, threads):
    """How both are asked and paid, as flags."""
    return both_judges("untracked")


def earlier_flags(wildcards, input):
    """The dialogues of the turn before, as a flag; none of turn 0."""
    return shlex.join(["--earlier", str(input.earlier)]) if input.earlier else ""
