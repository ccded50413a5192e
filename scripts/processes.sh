# shellcheck shell=bash
# Starting, watching and ending the quickstart's processes. Sourced by quickstart; needs RUN (folder of the pid files), LOGS and
# the array RUN_AS.
#
# A pid file holds "PID STARTTIME": the kernel's start time of a process tells it from a later one that got the same number, so a
# stale file never ends a stranger. Each process leads its own session: Ctrl-C reaches only quickstart, which then ends them in
# order, and whatever a process has started can be ended with it.

start_time() { # PID
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    # The command's name, in parentheses, may hold anything; after it come fields 3, 4, …; 22 is the start time.
    read -ra stat <<<"${stat##*) }"
    [ "${stat[0]}" != Z ] || return 1
    printf '%s' "${stat[19]}"
}

# Sets the variable `pid`; fails where the process is not running.
find_process() { # NAME
    local started
    pid=
    { read -r pid started <"$RUN/$1.pid"; } 2>/dev/null || return 1
    [ "$(start_time "$pid")" = "$started" ]
}

record_process() { # NAME PID
    printf '%s %s\n' "$2" "$(start_time "$2" || echo 0)" >"$RUN/$1.pid"
}

# Standard output and errors go to the log; descriptor 9 is quickstart's lock and not for the children.
start_process() { # NAME COMMAND…
    local name=$1
    shift
    setsid "${RUN_AS[@]}" "$@" </dev/null >>"$LOGS/$name.log" 2>&1 9>&- &
    record_process "$name" $!
    # One that has already ended is no job any more.
    disown $! 2>/dev/null || true
}

stop_process() { # NAME SIGNAL SECONDS
    local name=$1 signal=$2 deadline=$((SECONDS + $3)) pid
    if find_process "$name"; then
        kill "-$signal" "$pid" 2>/dev/null || true
        while find_process "$name"; do
            if [ "$SECONDS" -ge "$deadline" ]; then
                say "$name did not stop within $3 s and is killed"
                kill -KILL "$pid" 2>/dev/null || true
                deadline=$((SECONDS + 10))
            fi
            sleep 0.05
        done
    fi
    # What it had started and left behind, unless its number belongs to someone else by now.
    if [ -n "$pid" ] && ! [ -e "/proc/$pid" ]; then
        kill -KILL -- "-$pid" 2>/dev/null || true
    fi
    rm -f "$RUN/$name.pid"
}

# Waits until COMMAND succeeds; gives up when the process has ended or the time is over.
wait_ready() { # NAME SECONDS COMMAND…
    local name=$1 deadline=$((SECONDS + $2)) seconds=$2 pid
    shift 2
    until "$@" >/dev/null 2>&1; do
        find_process "$name" || { ! declare -F "${name}_ended" >/dev/null || "${name}_ended"; fail "$name ended while it was starting: $(last_words "$name")" "see $LOGS/$name.log"; }
        [ "$SECONDS" -lt "$deadline" ] || fail "$name was not ready within $seconds s: $(last_words "$name")" "see $LOGS/$name.log"
        sleep 0.1
    done
}

last_words() { # NAME
    local line
    line=$(grep -v '^[[:space:]]*$' "$LOGS/$1.log" 2>/dev/null | tail -n 1) || true
    printf '%s' "${line:-its log is empty}"
}
