"""Runs in vLLM's environment: completes what a JSON file asks for, through our engine.

python answer.py job.json answers.json
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow_scripts"))


def main() -> None:
    from sluice.engines.building import make_engine
    from sluice.engines.engine import Request, Sampling
    from sluice.records import Message
    from sluice.settings.engine import EngineSettings

    job = json.loads(Path(sys.argv[1]).read_text())
    settings = EngineSettings(engine="vllm", gpu_memory_utilization=0.2, max_model_len=256)
    engine = make_engine(settings, model=job["model"], adapter=job["adapter"])
    answers = []
    for call in job["calls"]:
        requests = [
            Request((Message(role="user", content=text),), seed) for text, seed in call["requests"]
        ]
        found = engine.generate(
            requests, sampling=Sampling(**call["sampling"]), skip=set(call["skip"])
        )
        answers.append({str(index): vars(completion) for index, completion in found})
    Path(sys.argv[2]).write_text(json.dumps(answers))


if __name__ == "__main__":  # vLLM starts processes that import this file
    main()
