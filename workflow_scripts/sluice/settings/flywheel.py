"""Settings of the flywheel: serving a model, talking with it, judging what it says."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.settings.base import UNTRACKED, Seeded, Settings
from sluice.settings.flywheel_turn import TurnSettings


class DemoTopics(Settings):
    """Topics of the built-in flywheel, from the built-in world's court cases."""

    num_demo_train_topics: Annotated[int, Field(ge=1)] = 600
    """Topics that the built-in model may learn from."""
    num_demo_heldout_topics: Annotated[int, Field(ge=1)] = 150
    """Topics that say whether it did."""
    questions_per_topic: Annotated[int, Field(ge=1)] = 2
    """Cases of a topic: what its user asks about, one after the other."""


class MakeDemoTopics(DemoTopics, Seeded):
    """The built-in topics."""


class ServerSettings(Settings):
    """Which server the local model stands behind, and on what it runs."""

    server: Literal["auto", "transformers", "vllm"] = "auto"
    """transformers: transformers' own, for CPUs and small GPUs; one request at a time. vllm: GPUs;
    needs the environment envs/vllm.yaml. auto: vllm where it is installed and there is a GPU."""
    server_device: str = "auto"
    """transformers: cpu, cuda, cuda:1 ...; auto takes a GPU where there is one."""
    server_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    """vllm: share of the GPU's memory that it may take."""
    server_max_model_len: Annotated[int, Field(ge=8)] | None = None
    """vllm: tokens of dialogue and answer together; the model's own limit where not given."""
    server_timeout_s: Annotated[float, Field(gt=0), UNTRACKED] = 600.0
    """Seconds that the server may take until it answers."""


class AnswerSettings(Settings):
    """How the local model answers."""

    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Divides the local model's logits before a token is drawn; 0 is greedy."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 512
    """An answer of the local model is cut off after this many tokens."""
    system_prompt: str | None = None
    """Text file with the local model's system message; none where not given."""


class BootstrapModel(ServerSettings, AnswerSettings, Seeded):
    """Starts the local model's server and proves that it answers."""


class SharedLimit(Settings):
    """How much may fail."""

    max_failed_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """A step stops when more than this share of its dialogues got no answer, or of its verdicts is
    none: unparsable, out of range, refused or failed."""


class DialogueSettings(ServerSettings, AnswerSettings, SharedLimit):
    """Dialogues of the local model with a simulated user."""

    exchanges: Annotated[int, Field(ge=1)] = 2
    """Exchanges (a user's message and the answer) in a dialogue."""
    personas: tuple[str, ...] = (
        "patient; wants to understand each step",
        "in a hurry; writes short sentences",
        "sceptical; trusts no answer without a reason",
    )
    """Who the simulated users are; each topic gets one, by seed and id."""
    languages: tuple[str, ...] = ("en", "zh")
    """Languages of the dialogues; a topic that names none gets one, by seed and id."""
    keep_thoughts: bool = False
    """Whether the local model sees the reasoning (<think>) of its own earlier answers. The
    templates of most reasoning models leave it out."""
    user_temperature: Annotated[float, Field(ge=0)] = 0.7
    """Temperature of the model that plays the user; its seed follows from seed, topic and place."""
    user_max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Longest message of the simulated user, in tokens, its reasoning included."""


class SimulateDialogues(DialogueSettings, Seeded):
    """Dialogues about the topics of one part of a turn."""


class VerdictSettings(SharedLimit):
    """Verdicts on every exchange."""

    dimensions: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "accuracy",
        "helpfulness",
        "coherence",
    )
    """What is scored; each has its rubric in the judge's prompt."""
    lowest_score: int = 1
    """Low end of the scale."""
    highest_score: int = 5
    """High end of the scale."""
    judge_max_tokens: Annotated[int, Field(ge=1)] = 2048
    """Longest verdict in tokens, the judge's reasoning included."""


class JudgeResponses(VerdictSettings, Seeded):
    """Verdicts on the dialogues of one part of a turn."""


class FlywheelSettings(DemoTopics, DialogueSettings, VerdictSettings, TurnSettings):
    """The ``flywheel:`` section."""

    model: str = "base"
    """Which entry of ``models:`` the first turn starts from."""
    train_topics: tuple[str, ...] = ("results/demo/topics_train.jsonl",)
    """Topics of the dialogues that the model may learn from, JSONL."""
    heldout_topics: tuple[str, ...] = ("results/demo/topics_heldout.jsonl",)
    """Topics of the dialogues that say whether a turn helped; none of the former."""
    num_train_topics: Annotated[int, Field(ge=1)] | None = None
    """Topics of a turn's training dialogues, drawn by seed and turn; all where not given."""
    num_heldout_topics: Annotated[int, Field(ge=1)] | None = None
    """Topics of the held-out dialogues, the same in each turn; all where not given."""
    user_prompt: str = "resources/flywheel/user_v1.txt"
    """What the model that plays the user is told."""
    judge_prompt: str = "resources/flywheel/judge_v1.txt"
    """What judge and evaluator are told: the rubric of each dimension."""
    compare_prompt: str = "resources/flywheel/compare_v1.txt"
    """What judges are told when they compare two answers."""
    allow_same_judge: bool = False
    """Whether one model may both choose what is learnt and say whether it helped."""
    allow_same_family: bool = False
    """Whether the evaluator may be of the model's own family, such as qwen, which it may prefer."""
