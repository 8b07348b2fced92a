#!/bin/sh
# Before the package goes (dpkg says "remove", rpm that no version is left); an upgrade changes nothing here. A running hook ends under
# its supervisor, which has everything that it needs in memory; what hooks have started runs on.
set -e
case "$1" in remove | 0) ;; *) exit 0 ;; esac

if [ -d /run/systemd/system ]; then systemctl disable --now hookline-agent.service
elif command -v systemctl >/dev/null; then systemctl disable hookline-agent.service
fi
rm -rf /usr/libexec/hookline-agent/versions /usr/libexec/hookline-agent/current
