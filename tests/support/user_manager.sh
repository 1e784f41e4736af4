#!/usr/bin/env bash
# The service manager of a user, a real `systemd --user`, with a journal and a session bus beside it,
# in namespaces and a control group of its own. Nothing of it is left once standard input ends.
#
#   user_manager.sh FOLDER UID PROGRAM
#
# FOLDER/home becomes /home/ada, PROGRAM stands at /home/ada/.cargo/bin/holdline. FOLDER/before.sh, where
# there is one, is run as root inside before the manager starts. The process id of its init, as the
# outside sees it, is written to FOLDER/pid; its control group to FOLDER/cgroup.
set -euo pipefail
umask 022

if [ "$1" != inside ]; then
    folder=$1
    root=/sys/fs/cgroup
    [ "$(stat -f -c %T $root)" = cgroup2fs ] || root=$root/unified
    group=$root/holdline-test-$$
    mkdir "$group"
    echo "$group" >"$folder/cgroup"
    (
        echo "$BASHPID" >"$group/cgroup.procs"
        exec unshare --mount --propagation slave --pid --cgroup --fork --kill-child bash "$0" inside "$@"
    ) || true
    # The last of them may be ending yet.
    for _ in $(seq 500); do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
        [ -d "$group" ] || exit 0
        sleep 0.01
    done
    echo "$group could not be removed" >&2
    exit 1
fi
shift

folder=$1 uid=$2 program=$3
home=/home/ada
runtime=/run/user/$uid
# As the outside counts: this is its /proc yet.
read -r pid _ </proc/self/stat

mount --make-rslave /
mount -t proc proc /proc
for place in /run /home /var/log; do
    mount -t tmpfs -o mode=755 tmpfs $place
done
# What a booted system has. (The first says that it is one, the second is where services with a file
# system of their own are put together.)
mkdir -p /run/systemd/{system,unit-root,journal,journald.conf.d} /var/log/journal $home
install -d -o "$uid" -g "$uid" -m 700 "$runtime"
mount --bind "$folder/home" $home
mount --bind "$program" $home/.cargo/bin/holdline
for file in passwd group; do
    cp /etc/$file /run/$file
done
echo "ada:x:$uid:$uid::$home:/bin/sh" >>/run/passwd
echo "ada:x:$uid:" >>/run/group
for file in passwd group; do
    mount --bind /run/$file /etc/$file
done

umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# As logind names it: the journal tells a user's units by it.
slice=/sys/fs/cgroup/user.slice/user-$uid.slice/user@$uid.service
mkdir -p "$slice"
chown -R "$uid:$uid" "$slice"

printf '[Journal]\nStorage=persistent\nReadKMsg=no\nRateLimitIntervalSec=0\n' >/run/systemd/journald.conf.d/test.conf
touch /run/systemd/journal/flushed
/lib/systemd/systemd-journald &
until [ -S /run/systemd/journal/stdout ] && [ -S /run/systemd/journal/socket ]; do sleep 0.01; done

if [ -f "$folder/before.sh" ]; then
    . "$folder/before.sh"
fi

(
    echo "$BASHPID" >"$slice/cgroup.procs"
    exec setpriv --reuid "$uid" --regid "$uid" --init-groups env -i PATH="$PATH" HOME=$home USER=ada LOGNAME=ada \
        SHELL=/bin/sh XDG_RUNTIME_DIR="$runtime" DBUS_SESSION_BUS_ADDRESS="unix:path=$runtime/bus" \
        /lib/systemd/systemd --user --log-target=journal
) >"$folder/manager.log" 2>&1 &

echo "$pid" >"$folder/pid.new"
mv "$folder/pid.new" "$folder/pid"
# Until whoever started this lets go, or is gone.
read -r _ || true
