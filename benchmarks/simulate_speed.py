"""Simulated dialogues against a server that is slow and fails: none lost, and how near to ideal.

    .venv/bin/python benchmarks/simulate_speed.py

500 dialogues of 5 exchanges, 32 at once; both the user and the model are the offline server, which
takes 200 ms for every answer and fails one request in 20: 429, 500 and cut-off JSON, in turn.
Ideal is what the requests take that would be needed without a failure, 32 at a time.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow_scripts"))

from sluice.flywheel.exchange_log import ExchangeLog
from sluice.flywheel.offline_faults import Faults
from sluice.flywheel.offline_server import OfflineServer
from sluice.flywheel.server_commands import Asking
from sluice.flywheel.simulated_user import SimulatedUser
from sluice.flywheel.simulation import Dialogue, LocalModel, Plan, simulate
from sluice.llm.client import Access, ChatClient
from sluice.topics import Topic

LAW = ROOT / "resources/demo/cases.json"
QUESTION = "Law: arson 61, theft 18.\nCase: Bao, {}, set a barn on fire."
KINDS = ("too_many_requests", "server_error", "cut_off")


def make_topics(dialogues: int, exchanges: int) -> list[Topic]:
    """Topics with as many different questions as there are exchanges."""
    return [
        Topic(
            id=f"t{number}",
            topic="law",
            category=None,
            language="en",
            turns=tuple(QUESTION.format(number * exchanges + turn) for turn in range(exchanges)),
            references=("arson | 61",) * exchanges,
        )
        for number in range(dialogues)
    ]


async def talk(url: str, options: argparse.Namespace, log: ExchangeLog) -> list[Dialogue]:
    """All dialogues."""
    access = Access(url, concurrency=options.concurrency, max_retries=20)
    async with ChatClient(access) as user_client, ChatClient(access) as model_client:
        return await simulate(
            make_topics(options.dialogues, options.exchanges),
            plan=Plan(options.exchanges, (), ("en",), options.concurrency, 0.0, 42),
            user=SimulatedUser(
                user_client, "offline-user", "Play.", 0.7, 100, options.exchanges, 42
            ),
            model=LocalModel(
                model_client, Asking("vllm", "offline-model", 0.0, 100, {}), None, False, 42
            ),
            log=log,
        )


def main() -> None:
    """Talks, checks that every exchange is there once, prints the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialogues", type=int, default=500)
    parser.add_argument("--exchanges", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--delay_s", type=float, default=0.2)
    options = parser.parse_args()
    faults = Faults(KINDS, one_in=20, delay_s=options.delay_s)
    with tempfile.TemporaryDirectory() as folder, OfflineServer(LAW, faults=faults) as server:
        path = Path(folder) / "exchanges.jsonl"
        began = time.monotonic()
        dialogues = asyncio.run(talk(server.url, options, ExchangeLog(path)))
        seconds = time.monotonic() - began
        num_lines = sum(bool(line) for line in path.read_bytes().split(b"\n"))
    wanted = options.dialogues * options.exchanges
    asked = [each["user"] for dialogue in dialogues for each in dialogue.exchanges]
    ideal = 2 * wanted * options.delay_s / options.concurrency
    print(
        f"exchanges {len(asked):,} of {wanted:,}, different {len(set(asked)):,}, kept {num_lines:,}"
    )
    print(f"requests {server.num_requests:,}, {server.num_requests - 2 * wanted:,} of them again")
    print(f"wall {seconds:.1f} s, ideal {ideal:.1f} s, ratio {seconds / ideal:.2f}")


if __name__ == "__main__":
    main()
