#!/bin/sh
# Stands in for sbatch, squeue, sacct and scontrol, by the name it is called by. Jobs lie in $STANDIN/queue as squeue's
# lines, with their names after them; every call in $STANDIN/calls. Files there make it fail:
#   room     so many jobs sbatch takes; more are beyond a limit
#   lost     sbatch submits, and fails as if its answer was lost; removed by that
#   refuse   what sbatch says, each time
#   away     what squeue says, each time
set -eu
name=${0##*/}
echo "$name $*" >>"$STANDIN/calls"
case $name in
scontrol) echo "MaxArraySize            = $(cat "$STANDIN/largest" 2>/dev/null || echo 1001)" ;;
sbatch)
    if [ -f "$STANDIN/refuse" ]; then cat "$STANDIN/refuse" >&2; exit 1; fi
    for script; do :; done
    indices=$(sed -n 's/^#SBATCH --array=\([0-9,-]*\).*/\1/p' "$script" | tr , '\n' | while IFS=- read -r a b; do seq "$a" "${b:-$a}"; done)
    count=$(echo "$indices" | wc -w)
    if [ -f "$STANDIN/room" ]; then
        room=$(($(cat "$STANDIN/room") - (count > 0 ? count : 1)))
        if [ "$room" -lt 0 ]; then
            echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
            echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)" >&2
            exit 1
        fi
        echo "$room" >"$STANDIN/room"
    fi
    id=$(($(cat "$STANDIN/last" 2>/dev/null || echo 6) + 1))
    echo "$id" >"$STANDIN/last"
    job=$(sed -n 's/^#SBATCH --job-name=//p' "$script")
    cp "$script" "$STANDIN/script-$id"
    for job_id in ${indices:-.}; do
        [ "$job_id" = . ] && job_id=$id || job_id=${id}_$job_id
        printf '%s\tPENDING\t\t0:00\t1:00:00\tPriority\t%s\n' "$job_id" "$job" >>"$STANDIN/queue"
    done
    if [ -f "$STANDIN/lost" ]; then
        rm "$STANDIN/lost"
        echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
        exit 1
    fi
    echo "$id"
    ;;
squeue)
    if [ -f "$STANDIN/away" ]; then cat "$STANDIN/away" >&2; exit 1; fi
    for argument; do
        case $argument in
        --name=*) grep "	${argument#--name=}\$" "$STANDIN/queue" | cut -f 1-6 || true ;;
        --jobs=*)
            for id in $(echo "${argument#--jobs=}" | tr , ' '); do
                grep "^${id}[_	]" "$STANDIN/queue" | cut -f 1-6 || true
            done
            ;;
        esac
    done
    ;;
sacct) cat "$STANDIN/accounts" 2>/dev/null || { echo "Slurm accounting storage is disabled" >&2; exit 1; } ;;
esac
