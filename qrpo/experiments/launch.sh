#!/usr/bin/env bash
# Training in several processes, on one node or on many; read it, edit it. Once for each node:
#
#     srun --ntasks-per-node=1 bash launch.sh fsdp2.yaml -m qrpo.train_code --stage train ...
#
# and without srun on one node. fsdp2.yaml is a file of `accelerate config`: how the model is shared out; numbers of
# processes and machines are found here. What follows is a module or a program with its arguments.
#
# PROCESSES_PER_NODE   instead of one for each GPU that is seen, or one where there is none
# MAIN_ADDRESS         of the first node, if not by its name
# MAIN_PORT            on it, if not one that is made of the job's id
# PYTHON               that has accelerate, if not `python`
set -euo pipefail

fail() { printf 'launch.sh: %s\n' "$*" >&2; exit 2; }

[ "$#" -ge 2 ] || fail "usage: launch.sh ACCELERATE_CONFIG (-m MODULE | PROGRAM) [ARGUMENT...]"
config=$1
shift
[ -f "$config" ] || fail "$config: there is no such file; qrpo/configs/accelerate has some"

nodes=1 rank=0 address=127.0.0.1
if [ -n "${SLURM_STEP_NODELIST:-}" ]; then # started by srun
    nodes=$SLURM_STEP_NUM_NODES rank=$SLURM_NODEID
    [ "$SLURM_STEP_NUM_TASKS" = "$nodes" ] ||
        fail "srun starts it $SLURM_STEP_NUM_TASKS times on $nodes nodes: give --ntasks-per-node=1"
elif [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ]; then
    fail "the job has $SLURM_JOB_NUM_NODES nodes, and this would use one: start it by srun --ntasks-per-node=1"
fi
if [ "$nodes" -gt 1 ]; then
    names=$(scontrol show hostnames "$SLURM_STEP_NODELIST")
    first=${names%%$'\n'*}
    if getent hosts "$first" >/dev/null; then
        address=$first
    else # where names of nodes are Slurm's alone
        address=$(scontrol --oneliner show node "$first" | sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p')
    fi
fi
address=${MAIN_ADDRESS:-$address}

# Below the ports that systems give away by themselves; jobs of nearby ids do not meet.
port=${MAIN_PORT:-$((20000 + ${SLURM_JOB_ID:-$$} % 10000))}
if [ "$rank" = 0 ] && (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null; then
    fail "port $port of $address is in use: set MAIN_PORT to one that is free"
fi

if [ -n "${PROCESSES_PER_NODE:-}" ]; then
    processes=$PROCESSES_PER_NODE
elif [ -n "${CUDA_VISIBLE_DEVICES:-}" ]; then
    processes=$(tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -c .)
else
    processes=$({ nvidia-smi --list-gpus 2>/dev/null || true; } | grep -c '^GPU ' || true)
    [ "$processes" -gt 0 ] || processes=1
fi

# Ahead of a time limit every process is told; each then ends its step and saves a checkpoint, as long as that takes.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT="${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-3600}"
printf 'launch.sh: node %s of %s, %s processes on each; the first is %s:%s\n' \
    "$rank" "$nodes" "$processes" "$address" "$port"
exec "${PYTHON:-python}" -m accelerate.commands.launch --config_file "$config" \
    --num_machines "$nodes" --machine_rank "$rank" --num_processes "$((nodes * processes))" \
    --main_process_ip "$address" --main_process_port "$port" "$@"
