#!/bin/sh
# Stops the application that the pid file names and waits until it is gone.
set -eu
pid_file="$HOOKLINE_ROOT_PREFIX/run/web.pid"
[ -f "$pid_file" ] || exit 0
pid=$(cat "$pid_file")
kill "$pid" 2> /dev/null || true
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    grep -qs '^State:[[:space:]]*[RSDTt]' "/proc/$pid/status" || break    # gone, or dead and waiting to be reaped
    sleep 0.05
done
rm -f "$pid_file"
echo "stopped web"
