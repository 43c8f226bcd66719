"""The guards by name: what each is for, and what to do where it is missing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guard:
    """One thing that stands between a program and what it must not do."""

    meaning: str
    remedy: str = ""
    """What to do or to ask an administrator for where it is missing; empty for what needs nothing of the machine."""


USERNS_REMEDY = (
    "user namespaces for ordinary users, with mounts in them (sysctl user.max_user_namespaces=15000; in a container, a "
    "seccomp profile that lets unshare(2), clone(2) and mount(2) through): every program runs in namespaces of its own"
)
_REPORT = "nothing of the machine is needed for it: report this with the output of this command"

MACHINE_GUARDS = {
    "user_namespace": Guard("its own user namespace, in which it is no root", USERNS_REMEDY),
    "pid_namespace": Guard("it sees and reaches no process but its own", USERNS_REMEDY),
    "mount_namespace": Guard("its own mounts, gone with it", USERNS_REMEDY),
    "ipc_namespace": Guard("its own System V and POSIX queues and semaphores", USERNS_REMEDY),
    "uts_namespace": Guard("the machine's name does not show", USERNS_REMEDY),
    "network_namespace": Guard("no address is reachable, loopback neither", USERNS_REMEDY),
    "private_root": Guard("a root of read-only binds of what an interpreter needs, nothing else", USERNS_REMEDY),
    "read_only_root": Guard("nothing outside its own folder can be written", USERNS_REMEDY),
    "hidden_files": Guard("home folders, secrets and system state are not there", _REPORT),
    "private_proc": Guard("/proc shows its own processes and nothing of the machine", "Linux 5.8 or newer"),
    "devices": Guard("no device but null, zero, full, random and urandom", _REPORT),
    "descriptors": Guard("no descriptor is inherited", _REPORT),
    "environment": Guard("the environment is an allow-list", _REPORT),
    "unprivileged": Guard("it runs as an ordinary user", "start it as an ordinary user"),
    "capabilities": Guard("it holds no capability, not even inside its namespace", _REPORT),
    "no_new_privileges": Guard("no program started can gain privileges", _REPORT),
    "seccomp": Guard("system calls by an allow-list", "a kernel with CONFIG_SECCOMP_FILTER"),
    "landlock": Guard(
        "a second fence around files, TCP, signals and abstract sockets",
        "Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK and `landlock` in the boot parameter lsm= "
        "(from Linux 6.12 on for all parts)",
    ),
    "rlimits": Guard("sizes, memory, CPU time and descriptors are bounded", _REPORT),
    "process_limit": Guard("a fork bomb is bounded", "Linux 5.14 or newer, or fewer processes of this user"),
    "pid_limit": Guard("a second bound on the number of processes", "Linux 6.14 or newer"),
    "oom_score": Guard("it goes first when the machine is out of memory", _REPORT),
    "supervisor_memory": Guard("who watches it can be neither read nor traced", _REPORT),
    "writable_memory": Guard("its writable folder is capped in bytes and files", _REPORT),
    "control_group": Guard(
        "memory, processes and CPU time are counted and capped by the kernel as well",
        "outside of jobs run it by `systemd-run --user --scope -p Delegate=yes COMMAND`; in jobs ask the administrator "
        "for a cgroup v2 folder of yours with the controllers memory and pids, and name an empty one in it by "
        "QRPO_SANDBOX_CGROUP",
    ),
    "single_process": Guard("it starts no process, signals nobody, opens no socket, changes no file", _REPORT),
    "interpreter": Guard("it can read its interpreter", "an interpreter that every user may read"),
}
"""Those that are tried when a slot starts, in the order in which `doctor` shows them."""

JUDGE_GUARDS = {
    "completeness": Guard("an end before all results are in is RE, whatever the exit status"),
    "comparison": Guard("values are compared in the judge; the program is never asked whether it is right"),
    "codec": Guard("values cross as bounded plain data that nothing executes"),
    "frames": Guard("messages are bounded and come in order"),
    "separation": Guard("tests and expected values are in another process"),
    "fresh_process": Guard("each run is a fresh clone of an interpreter that no program has touched"),
    "supervisor": Guard("CPU time, idle time and memory are measured from outside, and all is killed in the end"),
    "output_cap": Guard("output is drained and capped"),
    "compile_in_candidate": Guard("the source is compiled in the program's own process"),
}
"""Those that are in how programs are judged, on any machine."""

GUARDS = MACHINE_GUARDS | JUDGE_GUARDS
