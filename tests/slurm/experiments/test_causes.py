"""Why jobs have failed, from what they have really printed.

Made with Python 3.11, torch 2.13, accelerate and Slurm 22.05; folders and hosts have other names here, and frames of
torch's launcher are left out.
"""

# ruff: noqa: E501, W291

import pytest

from slurm.experiments.causes import Trace, cause_of, problem_in, was_cancelled
from slurm.experiments.state import Cause

TORCHRUN_KILLED = """\
[rank0]: Traceback (most recent call last):
[rank0]:   File "/home/ada/killed.py", line 6, in <module>
[rank0]:     dist.all_reduce(torch.ones(1))
[rank0]:   File "/home/ada/venv/lib/python3.11/site-packages/torch/distributed/c10d_logger.py", line 83, in wrapper
[rank0]:     return func(*args, **kwargs)
[rank0]:            ^^^^^^^^^^^^^^^^^^^^^
[rank0]:   File "/home/ada/venv/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py", line 3252, in all_reduce
[rank0]:     work.wait()
[rank0]: RuntimeError: [/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:2458: Connection reset by peer. This is typically caused by a remote worker hanging or bugs in the application. Check the logs of the remote worker before reporting an error. GLHF! 🏖️
W1129 11:09:19.209000 7994 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 8171 closing signal SIGTERM
E1129 11:09:19.331000 7994 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: -9) local_rank: 1 (pid: 8172) of binary: /home/ada/venv/bin/python
Traceback (most recent call last):
  File "/home/ada/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 194, in __call__
    return launch_agent(
           ^^^^^^^^^^^^^
  File "/home/ada/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError: 
======================================================
killed.py FAILED
------------------------------------------------------
Failures:
[1]:
  time      : 2026-01-31_11:09:19
  host      : node1
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 8171)  (SIGTERM)
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 8171
------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-01-31_11:09:19
  host      : node1
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 8172)  (SIGKILL)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 8172
======================================================
"""
"""`torchrun --nproc_per_node 2` of a script whose rank 1 sends itself SIGKILL, as the kernel does."""
CPU_ALLOCATION = """\
Traceback (most recent call last):
  File "<string>", line 3, in <module>
RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000000 bytes. Error code 12 (Cannot allocate memory)
"""
"""`torch.empty(10**15)`."""
ADVICE = """\
error: runs/a was made with a different configuration: beta is 0.1, was 0.01
Give another --output_dir, go back to the configuration, or delete the folder.
srun: error: node1: task 0: Exited with exit code 1
"""
"""A command that says what to do."""
USAGE = """\
usage: train.py [-h] [--beta BETA]
train.py: error: argument --beta: invalid float value: 'x'
"""
"""Of argparse."""
BASH_KILLED = """\
bash: line 2:  7508 Killed                  python3 -c "import os; os.kill(os.getpid(), 9)"
"""
"""`bash -c` with a command in it that sends itself SIGKILL; bash exits with 137."""
SLURM_LIMIT = """\
go
slurmstepd: error: *** JOB 35 ON node1 CANCELLED AT 2026-01-31T11:10:08 DUE TO TIME LIMIT ***
"""
"""`sbatch --time=1` of a command that sleeps."""
SLURM_NODE = """\
go
slurmstepd: error: *** JOB 36 ON node2 CANCELLED AT 2026-01-31T11:08:57 DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***
"""
"""`sbatch --no-requeue`; then `scontrol update nodename=node2 state=down`."""
SLURM_PREEMPTED = """\
go
slurmstepd: error: *** JOB 16 ON node1 CANCELLED AT 2026-01-31T10:55:54 DUE TO PREEMPTION ***
"""
"""`sbatch` into a partition with PreemptMode=CANCEL; then one into another of a higher PriorityTier."""
SLURM_CANCELLED = """\
go
slurmstepd: error: *** JOB 8 ON node2 CANCELLED AT 2026-01-31T10:55:49 ***
"""
"""`scancel` of a job that sleeps."""
SLURM_MEMORY = """\
go
slurmstepd: error: StepId=9.batch exceeded memory limit (224989184 > 52428800), being killed
slurmstepd: error: Exceeded job memory limit
slurmstepd: error: *** JOB 9 ON node2 CANCELLED AT 2026-01-31T10:55:19 ***
slurmstepd: error: StepId=9.batch exceeded memory limit (224989184 > 52428800), being killed
slurmstepd: error: Exceeded job memory limit
"""
"""`sbatch --mem=50`, with JobAcctGatherParams=OverMemoryKill, of a script that takes 200 MiB; squeue says FAILED."""
SRUN_MEMORY = """\
slurmstepd: error: StepId=38.0 exceeded memory limit (223580160 > 62914560), being killed
slurmstepd: error: Exceeded job memory limit
srun: Job step aborted: Waiting up to 5 seconds for job step to finish.
slurmstepd: error: *** STEP 38.0 ON node1 CANCELLED AT 2026-01-31T11:08:55 ***
slurmstepd: error: StepId=38.0 exceeded memory limit (223580160 > 62914560), being killed
slurmstepd: error: Exceeded job memory limit
srun: error: node1: task 0: Killed
"""
"""The same in a step: `srun python ...`."""
SRUN_KILLED = """\
0: go
srun: error: node1: task 0: Killed
srun: Force Terminated StepId=37.0
"""
"""`srun --label` of a command that sends itself SIGKILL."""
OOM_KILL = (
    "slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch. Some of the step tasks have been OOM Killed.\n"
)
"""As Slurm 22.05 and later write it where cgroups hold jobs to their memory; from its source."""
OOM_KILL_OLD = "slurmstepd: error: Detected 1 oom-kill event(s) in step 7.batch cgroup. Some of your processes may have been killed by the cgroup out-of-memory handler.\n"
"""As Slurm 20.11 writes it; from its source."""
SRUN_OUT_OF_MEMORY = "srun: error: node1: task 0: Out Of Memory\n"
"""Of a step that the kernel has killed for its cgroup; from srun's source."""
HEAD = 'Traceback (most recent call last):\n  File "t.py", line 1, in <module>\n'
CUDA = (
    HEAD
    + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.25 GiB\n"
)
"""The first line of torch's message; on a GPU."""
CUDA_OLD = HEAD + "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n"
"""Of torch before 2.5."""
WORKER_KILLED = HEAD + "RuntimeError: DataLoader worker (pid 77) is killed by signal: Killed. \n"
"""Of torch's data loader; from its source."""
POOL_KILLED = (
    HEAD
    + "concurrent.futures.process.BrokenProcessPool: A process in the process pool was terminated abruptly while the future was running or pending.\n"
)
"""A worker of a ProcessPoolExecutor that sends itself SIGKILL."""
NUMPY = HEAD + "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.11 PiB for an array with shape (10,)\n"
"""`np.ones(10**15)`."""


@pytest.mark.parametrize(
    ("trace", "cause", "detail"),
    [
        (Trace(log=SLURM_LIMIT), Cause.TIME_LIMIT, "time limit"),
        (Trace(slurm="TIMEOUT"), Cause.TIME_LIMIT, "time limit"),
        (Trace(slurm="DEADLINE"), Cause.TIME_LIMIT, "deadline"),
        (Trace(code=-15, stopped_by="limit", problem="time limit: reached 1 times"), Cause.TIME_LIMIT, "reached 1"),
        (Trace(log=SLURM_NODE), Cause.NODE_FAILURE, "node"),
        (Trace(slurm="BOOT_FAIL"), Cause.NODE_FAILURE, "booted"),
        (Trace(log=SLURM_PREEMPTED), Cause.PREEMPTED, "another job"),
        (Trace(code=-15, stopped_by="preempted"), Cause.PREEMPTED, "not queued again"),
        (Trace(slurm="FAILED", log=SLURM_MEMORY), Cause.OUT_OF_MEMORY, "host memory"),
        (Trace(code=137, log=SRUN_MEMORY), Cause.OUT_OF_MEMORY, "host memory"),
        (Trace(code=137, log=OOM_KILL), Cause.OUT_OF_MEMORY, "host memory"),
        (Trace(code=1, log=OOM_KILL_OLD), Cause.OUT_OF_MEMORY, "host memory"),
        (Trace(code=1, log=SRUN_OUT_OF_MEMORY), Cause.OUT_OF_MEMORY, "host memory"),
        (Trace(code=1, log=CPU_ALLOCATION), Cause.OUT_OF_MEMORY, "host memory: RuntimeError"),
        (Trace(code=1, log=HEAD + "MemoryError\n"), Cause.OUT_OF_MEMORY, "host memory: MemoryError"),
        (Trace(code=1, log=NUMPY), Cause.OUT_OF_MEMORY, "host memory: numpy"),
        (Trace(code=1, log=WORKER_KILLED), Cause.OUT_OF_MEMORY, "host memory"),
        (Trace(code=1, log=POOL_KILLED), Cause.OUT_OF_MEMORY, "host memory"),
        (Trace(code=1, log=CUDA), Cause.OUT_OF_MEMORY, "GPU memory: torch.OutOfMemoryError"),
        (Trace(code=1, log=CUDA_OLD), Cause.OUT_OF_MEMORY, "GPU memory"),
        (Trace(slurm="OUT_OF_MEMORY", code=1, log=CUDA), Cause.OUT_OF_MEMORY, "GPU memory"),
        (Trace(code=137, log=BASH_KILLED), Cause.OUT_OF_MEMORY, "SIGKILL"),
        (Trace(code=-9), Cause.OUT_OF_MEMORY, "SIGKILL"),
        (Trace(code=137, log=SRUN_KILLED), Cause.OUT_OF_MEMORY, "SIGKILL"),
        (Trace(code=1, log=TORCHRUN_KILLED), Cause.OUT_OF_MEMORY, "a worker was killed (SIGKILL)"),
        (Trace(code=-11), Cause.SIGNAL, "SIGSEGV"),
        (Trace(code=134), Cause.SIGNAL, "SIGABRT"),
        (Trace(slurm="FAILED", reason="RaisedSignal:11(Segmentation_fault)"), Cause.SIGNAL, "SIGSEGV"),
        (Trace(code=1, log=HEAD + "ValueError: x\n"), Cause.PYTHON_ERROR, "ValueError: x"),
        (Trace(slurm="FAILED", log=HEAD + "ValueError: x\n"), Cause.PYTHON_ERROR, "ValueError: x"),
        (
            Trace(code=127, log="bash: line 2: pyhton: command not found\n"),
            Cause.EXIT_CODE,
            "127: bash: line 2: pyhton",
        ),
        (Trace(code=3), Cause.EXIT_CODE, "exit code 3"),
        (Trace(code=1, log=ADVICE), Cause.EXIT_CODE, "exit code 1: error: runs/a was made with a different conf"),
        (Trace(code=2, log=f"{USAGE}\n\n"), Cause.EXIT_CODE, "exit code 2: train.py: error: argument --beta: invalid"),
        (Trace(code=2, log="error: x\n" + "go\n" * 20 + "ended"), Cause.EXIT_CODE, "exit code 2: ended"),
        (Trace(slurm="FAILED", reason="NonZeroExitCode"), Cause.EXIT_CODE, "NonZeroExitCode"),
        (Trace(code=0, problem="input i: it is not there"), Cause.INPUT, "input i"),
        (Trace(code=0, problem="output o: it is empty"), Cause.OUTPUT, "output o"),
        (Trace(code=0, problem="output o: it is empty", log=HEAD + "ValueError: x\n"), Cause.OUTPUT, "output o"),
        (Trace(code=0, problem="job: it was not queued again"), Cause.EXIT_CODE, "not queued again"),
        (Trace(log="step 3\n"), Cause.LOST, "nothing tells"),
    ],
)
def test_the_cause_is_named(trace: Trace, cause: Cause, detail: str) -> None:
    found = cause_of(trace)
    assert found.cause is cause
    assert detail in found.detail
    assert "\n" not in found.detail


def test_what_slurm_says_of_the_end_is_above_what_the_program_prints_at_it() -> None:
    interrupted = SLURM_LIMIT + HEAD + "KeyboardInterrupt\n"
    assert cause_of(Trace(code=1, log=interrupted)).cause is Cause.TIME_LIMIT


def test_a_traceback_far_from_the_end_of_a_log_is_not_the_cause_of_a_job_that_has_just_gone() -> None:
    log = HEAD + "ValueError: x\n" + "step\n" * 200
    assert cause_of(Trace(log=log)).cause is Cause.LOST
    assert cause_of(Trace(code=1, log=log)).cause is Cause.PYTHON_ERROR


def test_last_words_are_the_end_of_the_log() -> None:
    log = "".join(f"step {number}\n\n" for number in range(50))
    assert cause_of(Trace(code=3, log=log)).last_words == "\n".join(f"step {number}" for number in range(38, 50))


def test_that_somebody_has_cancelled_a_job_is_in_its_log() -> None:
    assert was_cancelled(SLURM_CANCELLED)
    for log in (SLURM_LIMIT, SLURM_NODE, SLURM_PREEMPTED, SLURM_MEMORY, SRUN_MEMORY, ""):
        assert not was_cancelled(log)


def test_what_the_job_says_of_its_task_is_in_its_log() -> None:
    log = "train/a.b=1: output o: it is empty\ntrain/aXb=1: input i: it is not there\nother: output p\n"
    assert problem_in(log, "train/a.b=1") == "output o: it is empty"
    assert problem_in(log, "eval") == ""


def test_an_exit_code_beyond_the_signals_is_none() -> None:
    assert cause_of(Trace(code=255)).cause is Cause.EXIT_CODE


def test_what_a_job_has_said_last_counts() -> None:
    assert problem_in("a: cancelled\na: output o: it is empty\n", "a") == "output o: it is empty"
