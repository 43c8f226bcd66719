#!/bin/sh
# Stands in for enroot: as far as we call it, it does to processes, descriptors and folders what enroot 4.1.2 does,
# without any namespace, and refuses what enroot refuses or what we do not use. It writes down how it was called.
set -eu

fail() {
    echo "[ERROR] stand-in: $*" >&2
    exit 64
}

command=$1
shift
{
    printf '%s\n' "enroot $command"
    for argument; do printf '  %s\n' "$argument"; done
} >>"$ENROOT_TEMP_PATH/calls"
env | sed -n 's/^\(HOME\|PATH\)=.*/\1/p; /^ENROOT_/p; /^SECRET/p' >"$ENROOT_TEMP_PATH/environment"
mkdir -p "$ENROOT_CACHE_PATH" "$ENROOT_DATA_PATH" "$ENROOT_RUNTIME_PATH"

case $command in
create)
    [ $# = 4 ] && [ "$1 $2" = "--force --name" ] || fail "create $*"
    case $3 in */*) fail "a name with a slash: $3" ;; esac
    [ "$(head -c 4 "$4")" = hsqs ] || fail "Invalid image format: $4"
    rm -rf "${ENROOT_DATA_PATH:?}/$3"
    mkdir "$ENROOT_DATA_PATH/$3"
    sleep 0.2 # in which others come
    ;;
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
    [ -d "$ENROOT_DATA_PATH/$1" ] || fail "No such file or directory: $ENROOT_DATA_PATH/$1"
    : >"$ENROOT_DATA_PATH/$1/.lock"
    [ -f "$rc" ] || fail "No such file or directory: $rc"
    shift
    for bind in $binds; do # nothing is mounted: what is ours is called by its name outside
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
