"""What the rules of the flywheel take from the configuration, by turn and part.

REQUIRED INPUTS: rules/common.smk and rules/common_models.smk before it.
OUTPUTS: none; defines `turn_model` and what the rules of rules/flywheel.smk ask for.
"""

from sluice.settings.llm import Judge, Simulator


wildcard_constraints:
    turn="0|[1-9][0-9]*",
    part="train|heldout",


def turns_with(*servers):
    """A pattern of the turns that one of these servers serves; it fits nothing for another one."""
    return r"0|[1-9][0-9]*" if settings.flywheel.server in servers else "(?!)"


def turn_model(turn):
    """The model at the end of a turn: the one that the wheel starts from at 0, then its own."""
    source = settings.models[settings.flywheel.model]
    if turn > 0:
        return f"results/flywheel/turn_{turn}/merged"
    return f"results/base/{settings.flywheel.model}/final_model" if source.build else source.path


def files_of_turn_model(turn):
    """The files or the folder of that model; nothing of a hub id."""
    return [turn_model(turn)] if turn > 0 else files_of_model(settings.flywheel.model)


def answering_turn(wildcards):
    """Whose model answers: training dialogues show what the turn before has learnt."""
    turn = int(wildcards.turn)
    if wildcards.part == "train" and turn == 0:
        sys.stderr.write(
            "FlywheelError: turn 0 has held-out dialogues only: nothing is learnt before turn 1\n"
        )
        sys.exit(1)
    return turn - 1 if wildcards.part == "train" else turn


def turn_model_flags(turn):
    """That model as flags."""
    revision = settings.models[settings.flywheel.model].revision if turn == 0 else None
    return shlex.join(
        ["--model_path", turn_model(turn), *(["--revision", revision] if revision else [])]
    )


def served_model_files(wildcards):
    """The model of a turn, as what a rule needs."""
    return files_of_turn_model(int(wildcards.turn))


def served_model_flags(wildcards):
    """The same, as flags."""
    return turn_model_flags(int(wildcards.turn))


def dialogue_model_files(wildcards):
    """The answering model, and the proof that it can be served."""
    turn = answering_turn(wildcards)
    return [*files_of_turn_model(turn), f"results/flywheel/turn_{turn}/bootstrap.json"]


def leave_to_go_on(wildcards):
    """The summary of the turn before, which a turn that lost too much does not have.

    It must be there; its age says nothing about the dialogues.
    """
    turn = answering_turn(wildcards)
    is_learning = wildcards.part == "train" and turn > 0
    return [ancient(f"results/flywheel/turn_{turn}/summary.json")] if is_learning else []


def dialogue_model_flags(wildcards):
    """The answering model, as flags."""
    return turn_model_flags(answering_turn(wildcards))


def topics_of(wildcards):
    """The files of topics of a part."""
    chosen = settings.flywheel
    return list(chosen.train_topics if wildcards.part == "train" else chosen.heldout_topics)


def topic_flags(wildcards):
    """How many topics are drawn: others for each turn to learn from, the same ones held out."""
    is_train = wildcards.part == "train"
    chosen = settings.flywheel
    number = chosen.num_train_topics if is_train else chosen.num_heldout_topics
    part = f"train_{wildcards.turn}" if is_train else "heldout"
    return shlex.join(["--part", part, *(["--num-topics", str(number)] if number else [])])


def simulator_flags(wildcards):
    """Who plays the user, as flags."""
    return shlex.join(to_flags(narrow(settings.llm.simulator, Simulator), "tracked"))


def simulation_untracked(wildcards, threads):
    """How the simulated user's server is asked and how long the local one may take, as flags."""
    asking = to_flags(narrow(settings.llm.simulator, Simulator), "untracked")
    return shlex.join([*asking, *flags_for("simulate_dialogues", settings, "untracked")])


def judge_of(wildcards):
    """Who judges: the evaluator what is held out, the judge what may be learnt."""
    is_train = wildcards.part == "train"
    return narrow(settings.llm.judge if is_train else settings.llm.evaluator, Judge)


def judge_flags(wildcards):
    """Who judges, as flags."""
    return shlex.join(to_flags(judge_of(wildcards), "tracked"))


def judge_untracked(wildcards, threads):
    """How the judge is asked and paid, as flags."""
    return shlex.join(to_flags(judge_of(wildcards), "untracked"))


def generator_flags(wildcards):
    """The name of the model that the turns train, which tells its family, as a flag."""
    source = settings.models[settings.flywheel.model]
    return shlex.join(["--generator", source.path or settings.flywheel.model])


def system_prompt_files():
    """The local model's system message, where there is one."""
    return [settings.flywheel.system_prompt] if settings.flywheel.system_prompt else []


def server_gpus(wildcards):
    """How many GPUs the local server uses."""
    return 0 if settings.flywheel.server_device == "cpu" else 1
