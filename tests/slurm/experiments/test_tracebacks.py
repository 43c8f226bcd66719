"""Which error has ended a job, in what all of its processes have really printed.

Made with Python 3.11, torch 2.13, accelerate and Slurm 22.05; folders and hosts have other names here, and frames of
torch's launcher are left out.
"""

# ruff: noqa: E501, W291

import pytest

from slurm.experiments.log_tail import cleaned
from slurm.experiments.tracebacks import PythonError, root_error

TORCHRUN = """\
[rank1]: Traceback (most recent call last):
[rank1]:   File "/home/ada/rank.py", line 8, in <module>
[rank1]:     step(dist.get_rank())
[rank1]:   File "/home/ada/rank.py", line 7, in step
[rank1]:     raise ValueError("loss is nan at step 3")
[rank1]: ValueError: loss is nan at step 3
[rank0]: Traceback (most recent call last):
[rank0]:   File "/home/ada/rank.py", line 9, in <module>
[rank0]:     x = torch.ones(1); dist.all_reduce(x)
[rank0]:                        ^^^^^^^^^^^^^^^^^^
[rank0]:   File "/home/ada/venv/lib/python3.11/site-packages/torch/distributed/c10d_logger.py", line 83, in wrapper
[rank0]:     return func(*args, **kwargs)
[rank0]:            ^^^^^^^^^^^^^^^^^^^^^
[rank0]:   File "/home/ada/venv/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py", line 3252, in all_reduce
[rank0]:     work.wait()
[rank0]: RuntimeError: [/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:12172. This is typically caused by a remote worker crashing. Check the logs of the remote worker before reporting an error. GLHF! 🏖️
W1129 10:55:32.028000 7309 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 7358 closing signal SIGTERM
E1129 10:55:32.143000 7309 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1) local_rank: 1 (pid: 7359) of binary: /home/ada/venv/bin/python
Traceback (most recent call last):
  File "/home/ada/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 194, in __call__
    return launch_agent(
           ^^^^^^^^^^^^^
  File "/home/ada/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError: 
============================================================
rank.py FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-01-31_10:55:32
  host      : node1
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 7358)  (SIGTERM)
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 7358
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-01-31_10:55:32
  host      : node1
  rank      : 1 (local_rank: 1)
  exitcode  : 1 (pid: 7359) 
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================
"""
"""`torchrun --nproc_per_node 2` of a script whose rank 1 raises while rank 0 waits in all_reduce."""
ACCELERATE = """\
The following values were not passed to `accelerate launch` and had defaults used instead:
	`--num_cpu_threads_per_process` was set to `2` to improve out-of-box performance when training on CPUs
To avoid this warning pass in values for each of the problematic parameters or run `accelerate config`.
\r 0/3 [00:00<00:03, 1.0it/s]\r 1/3 [00:01<00:03, 1.0it/s]\r 2/3 [00:02<00:03, 1.0it/s]Traceback (most recent call last):
  File "/home/ada/one.py", line 4, in <module>
    raise ValueError("loss is nan at step 3")
ValueError: loss is nan at step 3
Traceback (most recent call last):
  File "/home/ada/venv/bin/accelerate", line 8, in <module>
    sys.exit(main())
             ^^^^^^
  File "/home/ada/venv/lib/python3.11/site-packages/accelerate/commands/accelerate_cli.py", line 50, in main
    args.func(args)
  File "/home/ada/venv/lib/python3.11/site-packages/accelerate/commands/launch.py", line 1413, in launch_command
    simple_launcher(args)
  File "/home/ada/venv/lib/python3.11/site-packages/accelerate/commands/launch.py", line 999, in simple_launcher
    raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)
subprocess.CalledProcessError: Command '['/home/ada/venv/bin/python', 'one.py']' returned non-zero exit status 1.
"""
"""`accelerate launch --num_processes 1` of a script that raises with a progress bar on its last line."""
SYNTAX = """\
  File "/home/ada/syn.py", line 1
    def f(:
          ^
SyntaxError: invalid syntax
"""
"""`python syn.py`, a script that begins with `def f(:`."""
CHAINED = """\
Traceback (most recent call last):
  File "/home/ada/chain.py", line 4, in load
    json.loads("{")
  File "/usr/lib/python3.11/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/json/decoder.py", line 337, in decode
    obj, end = self.raw_decode(s, idx=_w(s, 0).end())
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/json/decoder.py", line 353, in raw_decode
    obj, end = self.scan_once(s, idx)
               ^^^^^^^^^^^^^^^^^^^^^^
json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/home/ada/chain.py", line 7, in <module>
    load()
  File "/home/ada/chain.py", line 6, in load
    raise RuntimeError("config.json: cannot be read") from error
RuntimeError: config.json: cannot be read
"""
"""An error raised from another."""
GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "<string>", line 2, in <module>
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: a
    +---------------- 2 ----------------
    | OSError: b
    +------------------------------------
"""
"""An ExceptionGroup that nobody catches."""


def found(log: str) -> PythonError:
    error = root_error(cleaned(log.encode()))
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (TORCHRUN, "ValueError: loss is nan at step 3"),
        (ACCELERATE, "ValueError: loss is nan at step 3"),
        (SYNTAX, "SyntaxError: invalid syntax"),
        (CHAINED, "RuntimeError: config.json: cannot be read"),
        (GROUP, "ExceptionGroup: two (2 sub-exceptions)"),
    ],
)
def test_the_root_error_is_found(log: str, line: str) -> None:
    assert found(log).line == line


def test_words_are_of_the_traceback_and_of_nothing_else() -> None:
    assert found(ACCELERATE).words == (
        "Traceback (most recent call last):\n"
        '  File "/home/ada/one.py", line 4, in <module>\n'
        '    raise ValueError("loss is nan at step 3")\n'
        "ValueError: loss is nan at step 3"
    )


def test_prefixes_of_ranks_are_not_among_the_words() -> None:
    error = found(TORCHRUN)
    assert error.rank == "1"
    assert error.words.splitlines()[0] == "Traceback (most recent call last):"


@pytest.mark.parametrize("prefix", ["[default1]:", "1: ", "(Worker pid=77) ", "ERROR 01-31 10:00:00 [core.py:700] "])
def test_other_prefixes_are_taken_off(prefix: str) -> None:
    log = "".join(f"{prefix}{line}\n" for line in CHAINED.splitlines())
    assert found(log).line == "RuntimeError: config.json: cannot be read"


def test_tracebacks_of_ranks_may_be_printed_into_each_other() -> None:
    one = [line for line in TORCHRUN.splitlines() if line.startswith("[rank1]")]
    two = [line.replace("[rank1]", "[rank2]").replace("loss is nan", "other") for line in one]
    mixed = "\n".join(line for pair in zip(one, two, strict=True) for line in pair)
    assert found(mixed).line == "ValueError: loss is nan at step 3"


def test_torchrun_names_the_rank_that_has_failed_first() -> None:
    one = "".join(f"{line}\n" for line in TORCHRUN.splitlines() if line.startswith("[rank1]"))
    late = one.replace("[rank1]", "[rank0]").replace("loss is nan", "other")
    assert found(late + TORCHRUN).line == "ValueError: loss is nan at step 3"


def test_an_error_that_was_survived_is_not_the_one() -> None:
    survived = CHAINED + "".join(f"step {number}\n" for number in range(100))
    assert found(survived + ACCELERATE).line == "ValueError: loss is nan at step 3"
    assert found(CHAINED + SYNTAX).line == "SyntaxError: invalid syntax"


def test_all_of_a_chain_is_known() -> None:
    assert "json.decoder.JSONDecodeError" in found(CHAINED).chain


def test_of_a_message_with_many_lines_the_first_is_named_and_some_are_shown() -> None:
    log = CHAINED.replace("cannot be read", "2 errors") + "  beta: not a number\n  loss: missing\n"
    error = found(log)
    assert error.line == "RuntimeError: config.json: 2 errors"
    assert error.words.endswith("  beta: not a number\n  loss: missing")


@pytest.mark.parametrize("log", ["", "step 1\nstep 2\n", "Traceback (most recent call last):\n  File"])
def test_where_there_is_no_error_none_is_found(log: str) -> None:
    assert root_error(log) is None
