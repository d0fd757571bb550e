"""fine_tune with FSDP where there is no GPU: `python fsdp_on_cpu.py` and fine_tune's own flags.

torch shares weights out over processes on CPUs, too. accelerate alone does not let it and trains as
DDP does, which is why our launcher refuses. Here accelerate takes the processes for ones with GPUs,
and the launcher lets them pass; all else is what runs on GPUs.
"""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "workflow_scripts"))

from accelerate.state import DistributedType, PartialState
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from sluice.training import launching
from sluice.training.trainer import WeightedTrainer

joined = PartialState.__init__


def join_as_if_on_gpus(self, *arguments, **options):
    joined(self, *arguments, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


take_step = WeightedTrainer.training_step


def check_and_take_step(self, model, inputs, *rest):
    """Each process holds half of every weight, or this is no FSDP."""
    assert isinstance(model, FSDPModule)
    for parameter in model.parameters():
        assert isinstance(parameter, DTensor)
        assert 2 * parameter.to_local().numel() == parameter.numel()
    return take_step(self, model, inputs, *rest)


PartialState.__init__ = join_as_if_on_gpus
WeightedTrainer.training_step = check_and_take_step
launching._check_devices = lambda settings: None
sys.argv[0] = str(Path(sys.path[0]) / "fine_tune.py")
runpy.run_path(sys.argv[0], run_name="__main__")
