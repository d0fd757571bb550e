"""A real Slurm on this machine: Debian's daemons, two nodes with two pretended GPUs each.

The daemons are children of the process that starts them and get SIGTERM when it dies, however it
dies. Configuration that Slurm reads from nowhere but /etc/slurm is ours alone and is removed; a
machine with a configuration of its own is left as it is.
"""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

CONFIGURATION = Path("/etc/slurm")
MARK = "# Written by Sluice's tests, which also remove it."
PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol"]
PACKAGES = "slurmctld slurmd slurm-client munge"
NODES = ["gpu1", "gpu2"]
GPUS_PER_NODE = 2
_PR_SET_PDEATHSIG = 1

_SLURM_CONF = """{mark}
ClusterName=sluice
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MinJobAge=3600
KillWait=2
InactiveLimit=0
SlurmctldTimeout=30
SlurmdTimeout=60
{nodes}
PartitionName=gpu Nodes=ALL Default=YES MaxTime=2-0 DefaultTime=10 State=UP
"""


def why_not() -> str | None:
    """Why no Slurm can be started here; None where it can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root here"
    if not Path("/etc/debian_version").is_file():
        return "written for Debian's Slurm packages; this is no Debian"
    missing = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (apt-get install {PACKAGES})"
    file = CONFIGURATION / "slurm.conf"
    if file.exists() and MARK not in file.read_text():
        return f"{file} is another cluster's: left as it is"
    return None


_PATH = os.pathsep.join([*os.get_exec_path(), "/usr/sbin", "/sbin"])


class Slurm:
    """The cluster; a context manager."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-slurm-", dir="/tmp"))
        self._daemons: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._devices: list[Path] = []

    def __enter__(self) -> "Slurm":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _start(self) -> None:
        self._start_munge()
        self._write_configuration()
        self._daemon("slurmctld", "-D", "-c")
        _wait_until(lambda: _quietly("scontrol", "ping") == 0, what="slurmctld answers")
        for node in NODES:
            self._daemon("slurmd", "-D", "-N", node)
        _wait_until(lambda: self._num_idle() == len(NODES), what="both nodes are idle")

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        names = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        words = [f"--{flag}={self.folder}/munge.{end}" for flag, end in names.items()]
        self._daemon("munged", "--foreground", "--force", f"--key-file={key}", *words)
        _wait_until((self.folder / "munge.socket").exists, what="munged listens")

    def _write_configuration(self) -> None:
        CONFIGURATION.mkdir(exist_ok=True)
        (self.folder / "state").mkdir()
        ports = _free_ports(1 + len(NODES))
        host = socket.gethostname().split(".")[0]
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=16 "
            f"RealMemory=256000 Gres=gpu:a100:{GPUS_PER_NODE} Feature=a100 State=UNKNOWN"
            for node, port in zip(NODES, ports[1:], strict=True)
        )
        text = _SLURM_CONF.format(
            mark=MARK, host=host, folder=self.folder, port=ports[0], nodes=nodes
        )
        (CONFIGURATION / "slurm.conf").write_text(text)
        (CONFIGURATION / "gres.conf").write_text(f"{MARK}\n{self._gpus()}\n")

    def _gpus(self) -> str:
        """Device files that slurmd looks for and nobody opens: character devices without driver."""
        lines = []
        for node in NODES:
            for number in range(GPUS_PER_NODE):
                file = Path(f"/dev/sluice-gpu{number}")
                if not file.exists():
                    os.mknod(file, 0o20600, os.makedev(195, number))
                    self._devices.append(file)
            last = GPUS_PER_NODE - 1
            lines.append(f"NodeName={node} Name=gpu Type=a100 File=/dev/sluice-gpu[0-{last}]")
        return "\n".join(lines)

    def _daemon(self, *words: str) -> None:
        with open(self.folder / f"{len(self._daemons)}.{words[0]}.out", "wb") as log:
            started = subprocess.Popen(
                [shutil.which(words[0], path=_PATH) or words[0], *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )
        self._daemons.append((words[0], started))

    def _num_idle(self) -> int:
        states = ask("sinfo", "-h", "-N", "-o", "%N %t").split("\n")
        return len({line for line in states if line.endswith(" idle")})

    def stop(self) -> None:
        """Cancels all jobs, ends all daemons, removes all that was made; safe to call twice."""
        if any(name == "slurmctld" for name, _ in self._daemons):
            _quietly("scancel", "--user=root")
            self._wait_for_empty_queue()
        for _, daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()
        for name in ("slurm.conf", "gres.conf"):
            file = CONFIGURATION / name
            if file.exists() and MARK in file.read_text():
                file.unlink()
        for device in self._devices:
            device.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait_for_empty_queue(self) -> None:
        for _ in range(50):
            if not ask("squeue", "-h"):
                return
            time.sleep(0.2)


def ask(*words: str) -> str:
    """What a Slurm command prints."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def _quietly(*words: str) -> int:
    return subprocess.run(words, capture_output=True, check=False).returncode


def _die_with_parent() -> None:
    ctypes.CDLL("libc.so.6").prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _wait_until(is_so, *, what: str, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"not after {timeout_s:.0f} s: {what}")
        time.sleep(0.2)
