"""A guest: one process in the namespace of its host, which holds the exclusive lock
on a file that all hosts share, as a guest's disk on shared storage would be.

A guest that cannot have the lock runs somewhere else already. It runs all the same
(so would a real one, and ruin the disk), and a line goes to $LAB/violations:
    SECONDS UUID HOST OTHER_HOST
which fails every test.

guest.py start UUID HOST    run it, as its hypervisor would (the tests' second copy)
guest.py list               every guest process on this machine: UUID HOST PID
"""
import errno
import fcntl
import os
import subprocess
import sys
import time

LAB = os.environ.get("LAB", "/tmp/lifeboat-lab")


def name(uuid, host):
    return "guest-%s@%s" % (uuid, host)


def running(pid, uuid, host):
    """Whether PID is that guest still. A process that is dying has no command line."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return f.read().split(b"\0")[0].decode() == name(uuid, host)
    except (OSError, TypeError):
        return False


def start(uuid, host):
    """Start it; returns the Popen, whose pid is the guest's."""
    path = os.path.join(LAB, "instances", uuid + ".lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            if e.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            other = os.pread(fd, 100, 0).decode() or "?"
            with open(os.path.join(LAB, "violations"), "a") as f:
                f.write("%.3f %s %s %s\n" % (time.time(), uuid, host, other))
        else:
            os.ftruncate(fd, 0)
            os.pwrite(fd, host.encode(), 0)
        # the lock is the open file's, and the child inherits that
        guest = subprocess.Popen([name(uuid, host), "infinity"], executable="/usr/bin/sleep", pass_fds=(fd,),
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 start_new_session=True)
        # exec closes what Popen waits for a moment before the kernel shows the new name
        until = time.monotonic() + 2
        while not running(guest.pid, uuid, host) and time.monotonic() < until:
            time.sleep(0.001)
        return guest
    finally:
        os.close(fd)


def everywhere():
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % p, "rb") as f:
                first = f.read().split(b"\0")[0].decode(errors="replace")
        except OSError:
            continue
        if first.startswith("guest-") and "@" in first:
            uuid, host = first[len("guest-"):].split("@")
            yield uuid, host, int(p)


if __name__ == "__main__":
    if sys.argv[1] == "start":
        print(start(*sys.argv[2:4]).pid)
    else:
        for line in everywhere():
            print(*line)
