#!/bin/sh
# After the package has gone. What the agent knows stays, so that it is itself when it comes back; `apt purge` removes that too.
# What was deployed is not the package's to remove.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
if [ "$1" = purge ]; then rm -rf /var/lib/hookline-agent /etc/default/hookline-agent; fi
