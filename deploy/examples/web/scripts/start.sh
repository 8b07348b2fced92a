#!/bin/sh
# Starts the application, after WARM_UP seconds if there are any, with its output redirected, and leaves a pid file.
set -eu
cd "$HOOKLINE_ROOT_PREFIX/srv/web"
mkdir -p "$HOOKLINE_ROOT_PREFIX/var/log" "$HOOKLINE_ROOT_PREFIX/run"
sleep "${WARM_UP:-0}"
python3 server.py > "$HOOKLINE_ROOT_PREFIX/var/log/web.log" 2>&1 < /dev/null &
echo $! > "$HOOKLINE_ROOT_PREFIX/run/web.pid"
echo "started web $(cat VERSION) on port ${PORT:-8000}"
