#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Both kinds of unit under a booted systemd: socket activation, READY=1, lock, stop. Never on the machine's own tree.
. "$(dirname "$(readlink -f "$0")")/tree.sh"

make_tree
echo "== installing into a $suite that boots"
inside 'cd /root/carewallet && ./dev install && DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install \
        systemd systemd-sysv dbus dbus-user-session libpam-systemd udev umockdev >/tmp/apt.log 2>&1 || { tail /tmp/apt.log; exit 1; }'
install -m 0755 "$root/tests/container/systemd-checks.sh" "$tree/root/checks.sh"

cat >"$tree/etc/systemd/system/checks.service" <<'END'
[Unit]
Description=Checks of carewallet's units
After=dbus.socket systemd-user-sessions.service
[Service]
Type=oneshot
ExecStart=/root/checks.sh
StandardOutput=file:/root/checks.out
StandardError=file:/root/checks.out
ExecStopPost=/bin/systemctl --no-block exit
TimeoutStartSec=120
[Install]
WantedBy=default.target
END
ln -s /etc/systemd/system/checks.service "$tree/etc/systemd/system/multi-user.target.wants/checks.service"

echo "== booting"
timeout 240 systemd-nspawn --quiet --register=no --keep-unit --boot -D "$tree" --machine=carewallet-checks --console=pipe \
        --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
        </dev/null >"$tree.boot.log" 2>&1 || true
mv "$tree.boot.log" /tmp/carewallet-boot.log
cat "$tree/root/checks.out" 2>/dev/null || { tail -n 40 /tmp/carewallet-boot.log >&2; echo "the container did not boot" >&2; exit 1; }
tail -n 1 "$tree/root/checks.out" | grep -q ', 0 failed$'
