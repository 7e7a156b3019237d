#!/bin/busybox sh
# The only program of an emulated machine: sets it up, runs the tests, turns it off.
/bin/busybox --install -s /bin 2>/dev/null || for name in $(/bin/busybox --list); do
    [ -e "/bin/$name" ] || /bin/busybox ln -s busybox "/bin/$name"
done
export PATH=/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts
ln -s /proc/self/fd /dev/fd
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
chmod 1777 /tmp # in memory, as all; the sources, which tests read, may be in it
mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null
ifconfig lo up
echo 'root:x:0:0:root:/:/bin/sh' >/etc/passwd
ulimit -n 4096
echo "KERNEL $(uname -r) $(uname -m)"
# Where each instruction is emulated, of the many files that are damaged in each way one in twenty is tried.
[ "$(uname -m)" = x86_64 ] || export ROBUST_SHM_HOSTILE_ONE_OF=20
cd /tmp
ROBUST_SHM_TEST_PREFIX=p1- RUST_TEST_THREADS=2 sh /tests/run-tests.sh /tests @SECONDS@
poweroff -f
