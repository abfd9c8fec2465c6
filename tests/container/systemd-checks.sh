#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs as a service inside the booted container, see systemd.sh. One line per check, a count at the end.
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
passphrase='four horses on a grey staple'
passed=0 failed=0

check() { # WHAT COMMAND…
        local out
        if out=$("${@:2}" 2>&1); then
                passed=$((passed + 1))
                echo "ok: $1"
        else
                failed=$((failed + 1))
                printf 'FAILED: %s\n%s\n' "$1" "$out"
        fi
}
finish() {
        [ $failed = 0 ] || journalctl --no-pager -o short -n 400 | grep -v -e runuser -e apt-daily
        printf '%d passed, %d failed\n' $passed $failed
}
trap finish EXIT

as_patient() {
        runuser -u patient -- env XDG_RUNTIME_DIR="/run/user/$uid" DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$uid/bus" \
                HOME=/home/patient PATH="$PATH" "$@"
}
is() { [ "$("${@:2}" 2>&1 | head -n 1)" = "$1" ] || { echo "not $1: $("${@:2}" 2>&1)"; return 1; }; }
has() { "${@:2}" 2>&1 | grep -qF -- "$1" || { echo "no $1 in: $("${@:2}" 2>&1)"; return 1; }; }
until_is() { # WORD COMMAND…: at most 10 s
        for _ in $(seq 100); do
                [ "$("${@:2}" 2>/dev/null | head -n 1)" != "$1" ] || return 0
                sleep 0.1
        done
        echo "not $1 after 10 s: $("${@:2}" 2>&1)"
        return 1
}
with_passphrase() { "$@" 3< <(printf '%s\n' "$passphrase"); }

# story SYSTEMCTL SERVICE RUN: one mode; RUN puts the patient's user and environment in front of a command
story() {
        local mode=$1 ctl=$2 unit=$3 as=$4
        check "$mode: the socket can be started" $ctl start "$unit.socket"
        check "$mode: nothing runs before the first caller" is inactive $ctl is-active "$unit.service"
        check "$mode: the first status starts the daemon" $as carewallet status
        check "$mode: the service is active: it said READY=1" is active $ctl is-active "$unit.service"
        check "$mode: the service is of type notify" is notify $ctl show -p Type --value "$unit.service"
        check "$mode: init" with_passphrase $as carewallet init --passphrase-fd 3 --timezone Europe/Berlin
        check "$mode: unlock" with_passphrase $as carewallet unlock --passphrase-fd 3
        check "$mode: unlocked" has '"locked": false' $as bash -c 'carewallet status --json | sed "s/\":\([^ ]\)/\": \1/g"'
        check "$mode: import" $as carewallet import /tmp/carelink.csv
        check "$mode: the gate" $as carewallet gate on --listen 127.0.0.1:8443
        check "$mode: lock" $as carewallet lock
        check "$mode: locked, and still there" has '"locked": true' $as bash -c 'carewallet status --json | sed "s/\":\([^ ]\)/\": \1/g"'
        check "$mode: still the same service" is active $ctl is-active "$unit.service"
        check "$mode: unlock again" with_passphrase $as carewallet unlock --passphrase-fd 3
        check "$mode: the machine goes to sleep" systemctl start suspend.target
        check "$mode: locked before that" has '"locked": true' $as bash -c 'carewallet status --json | sed "s/\":\([^ ]\)/\": \1/g"'
        check "$mode: no swap" is 0 $ctl show -p MemorySwapMax --value "$unit.service"
        check "$mode: stop" $ctl stop "$unit.service"
        check "$mode: it ended well" is success $ctl show -p Result --value "$unit.service"
        check "$mode: the next caller starts it again" $as carewallet status
        check "$mode: stop for good" $ctl stop "$unit.socket" "$unit.service"
        check "$mode: no process is left" bash -c '! pgrep -x carewalletd'
}

useradd --create-home --shell /bin/bash patient
uid=$(id -u patient)
python3 /root/carewallet/tests/data/generate-carelink.py --days 3 --end "$(date +%Y-%m-%dT%H:%M)" --out /tmp/carelink.csv
chmod 644 /tmp/carelink.csv

check "user: a user manager starts" systemctl start "user@$uid.service"
check "user: its bus answers" until_is running as_patient systemctl --user is-system-running
# sleeping is of this machine, which is not to sleep
mkdir -p /etc/systemd/system/systemd-suspend.service.d
printf '[Service]\nExecStart=\nExecStart=/bin/true\n' >/etc/systemd/system/systemd-suspend.service.d/not.conf
systemctl daemon-reload
check "locking before sleep can be enabled" systemctl enable carewallet-lock-on-sleep@patient.service

story user "as_patient systemctl --user" carewalletd as_patient
story system systemctl carewalletd@patient "runuser -u patient --"

# what udev itself makes of the rule, for a device that is described to it: no kernel with USB is needed for that
plugged_in() { # VENDOR PRODUCT: the properties that the device gets
        local swapped="${1:2:2}${1:0:2}${2:2:2}${2:0:2}" descriptors
        descriptors=$(tr a-f A-F <<<"1201000100000040${swapped}1001000000010902200001010080320904000002ffffff000705010240000007058202400000")
        printf '%s\n' 'P: /devices/usb1/1-1' "N: bus/usb/001/002=$descriptors" 'E: DEVNAME=/dev/bus/usb/001/002' 'E: DEVTYPE=usb_device' 'E: SUBSYSTEM=usb' \
                'E: BUSNUM=001' 'E: DEVNUM=002' 'A: busnum=1\n' 'A: devnum=2\n' 'A: speed=12\n' 'A: bConfigurationValue=1\n' "A: idVendor=$1\\n" "A: idProduct=$2\\n" \
                "H: descriptors=$descriptors" >/tmp/device.umockdev
        umockdev-run --device /tmp/device.umockdev -- udevadm test --action=add /sys/devices/usb1/1-1 2>&1
}
is_ours() { # VENDOR PRODUCT: open for who sits there, left alone by others, and read
        local properties word
        properties=$(plugged_in "$@")
        for word in CURRENT_TAGS=.*:uaccess: CURRENT_TAGS=.*:systemd: ID_MM_DEVICE_IGNORE=1$ ID_MTP_DEVICE_IGNORE=1$ SYSTEMD_USER_WANTS=carewallet-pull.service$; do
                grep -q "^$word" <<<"$properties" || { printf 'no %s in: %s\n' "$word" "$properties"; return 1; }
        done
        ! grep -q 70-carewallet.rules: <<<"$properties" # a complaint about a line
}
is_not_ours() {
        local properties
        properties=$(plugged_in "$@")
        grep -q ^ACTION=add$ <<<"$properties" && ! grep -q -e carewallet-pull -e ID_MM_DEVICE_IGNORE -e ^CURRENT_TAGS=.*uaccess <<<"$properties" || { echo "$properties"; return 1; }
}
check "udev: the CareLink USB stick" is_ours 0a21 8001
check "udev: a Contour Next Link, mg/dL" is_ours 1a79 6200
check "udev: a Contour Next Link, mmol/L" is_ours 1a79 6300
check "udev: another device of that maker is left as it was" is_not_ours 1a79 7350
check "udev: another stick is left as it was" is_not_ours 0a21 8002
check "user: the unit that it starts is there" has carewallet-pull.service as_patient systemctl --user list-unit-files carewallet-pull.service
check "user: it runs, with nothing to read" as_patient systemctl --user start carewallet-pull.service
check "user: and ends well" is success as_patient systemctl --user show -p Result --value carewallet-pull.service
check "user: what it started ends" as_patient systemctl --user stop carewalletd.socket carewalletd.service

# another wallet of the same patient, in both modes
check "user: a wallet with a name" as_patient systemctl --user start carewalletd@child.socket
check "user: its init" with_passphrase as_patient carewallet --wallet child init --passphrase-fd 3
check "user: its files are beside the other's" test -f /home/patient/.local/state/carewallet@child/slots
check "user: it is listed" has child as_patient carewallet wallets
check "user: its end" as_patient systemctl --user stop carewalletd@child.socket carewalletd@child.service

for unit in service socket; do mkdir -p "/etc/systemd/system/carewalletd@mother.$unit.d"; done
printf '[Socket]\nSocketUser=patient\n' >/etc/systemd/system/carewalletd@mother.socket.d/whose.conf
printf '[Service]\nEnvironment=CAREWALLET_PATIENT=patient\n' >/etc/systemd/system/carewalletd@mother.service.d/whose.conf
systemctl daemon-reload
check "system: a wallet with a name" systemctl start carewalletd@mother.socket
check "system: its init" with_passphrase runuser -u patient -- carewallet --wallet mother init --passphrase-fd 3
check "system: its files are its own user's" is carewallet-mother stat -c %U /var/lib/carewallet/mother
check "system: it is listed" has mother runuser -u patient -- carewallet wallets
check "system: its end" systemctl stop carewalletd@mother.socket carewalletd@mother.service
