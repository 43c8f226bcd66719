#!/bin/sh
# Stands in for enroot: as far as we call it, it does to processes, descriptors and folders what enroot 4.1.2 does,
# without any namespace, and refuses what enroot refuses or what we do not use. It writes down how it was called.
set -eu

fail() {
    echo "[ERROR] stand-in: $*" >&2
    exit 64
}

place=$(dirname "$0")
command=$1
shift
{
    printf '%s\n' "enroot $command"
    for argument; do printf '  %s\n' "$argument"; done
} >>"$place/calls"
env | sed -n 's/^\(HOME\|PATH\)=.*/\1/p; /^ENROOT_/p; /^SECRET/p' >"$place/environment"
mkdir -p "$ENROOT_CACHE_PATH" "$ENROOT_DATA_PATH" "$ENROOT_RUNTIME_PATH"

case $command in
start)
    rc= variables= binds=
    while :; do
        case $1 in
        --rc=*) rc=${1#*=} ;;
        --env=*=*) variables="$variables ${1#*=}" ;;
        --mount=*[[:space:]]*) fail "Invalid argument: $1" ;;
        --mount=*:*:*:*) binds="$binds ${1#*=}" ;;
        -*) fail "start $1" ;;
        *) break ;;
        esac
        shift
    done
    root=$ENROOT_DATA_PATH/$1
    case $1 in */*) fail "Invalid argument: $1" ;; esac
    case $ENROOT_RUNTIME_PATH$root in *[[:space:]]*) fail "fstab(5) takes apart: $root" ;; esac
    [ -d "$root" ] || fail "No such file or directory: $root"
    : >"$root/.lock"
    for bind in $binds; do # what it would make in the image
        target=${bind#*:/} target=${target%%:*} target=${target%%/*}
        [ -d "$root/$target" ] || fail "not there to mount upon: $root/$target"
    done
    [ -f "$rc" ] || fail "No such file or directory: $rc"
    shift
    for bind in $binds; do # nothing is mounted: what is ours is called by its name outside
        case $bind in tmpfs:*) continue ;; esac
        target=${bind#*:} target=${target%%:*}
        case ${2-} in "$target"/*)
            program=$(printf '%b' "$(printf '%s' "${bind%%:*}" | sed 's/\\/\\0/g')")/${2#"$target"/}
            shift 2
            set -- python3 "$program" "$@"
            ;;
        esac
    done
    cd /
    # Descriptors beyond the first three do not go inside.
    for descriptor in /proc/self/fd/*; do
        descriptor=${descriptor##*/}
        [ "$descriptor" -gt 2 ] && [ "$descriptor" -lt 10 ] && eval "exec $descriptor<&-"
    done
    exec env -i $variables sh "$rc" "$@"
    ;;
*)
    fail "$command"
    ;;
esac
