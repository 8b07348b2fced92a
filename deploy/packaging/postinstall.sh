#!/bin/sh
# After an installation or an upgrade: lays the new version beside those that are in use, and has the agent begin anew with it.
# dpkg says "configure", rpm how many versions there are now.
set -e
case "$1" in configure | 1 | 2) ;; *) exit 0 ;; esac

home=/usr/libexec/hookline-agent
build=$(cat "$home/package/BUILD")
new=$home/versions/$build
first=no
[ -e "$home/current" ] || first=yes

if [ ! -d "$new" ]; then
    mkdir -p "$home/versions"
    rm -rf "$home/versions/.new"
    cp -al "$home/package/$build" "$home/versions/.new"
    mv "$home/versions/.new" "$new"
fi
ln -sfn "versions/$build" "$home/current.new"
mv -T "$home/current.new" "$home/current"

knows_its_coordinator() {
    grep -Eqs '^[[:space:]]*coordinator[[:space:]]*=' /etc/hookline/agent.toml ||
        grep -Eqs '^HOOKLINE_AGENT_COORDINATOR=' /etc/default/hookline-agent
}
running() { [ -d /run/systemd/system ]; }
does() { systemctl "$1" hookline-agent.service || echo "hookline-agent: it has not started; systemctl status hookline-agent tells why"; }

if running; then systemctl daemon-reload; fi
if [ $first = no ]; then
    if running; then does try-restart; fi
elif ! knows_its_coordinator; then
    echo "hookline-agent: say in /etc/hookline/agent.toml where the coordinator is, then: systemctl enable --now hookline-agent"
elif command -v systemctl >/dev/null; then
    systemctl enable hookline-agent.service
    if running; then does start; fi
fi

# A hook that runs now ends under the supervisor that it began with: what a process runs from stays until the next upgrade.
for old in "$home/versions"/*; do
    [ "$old" != "$new" ] || continue
    ls -l /proc/[0-9]*/exe 2>/dev/null | grep -qF -e " -> $old/" || rm -rf "$old"
done
