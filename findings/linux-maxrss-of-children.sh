#!/bin/sh
# The kernel counts a parent's memory as that of the program that the parent starts.
#
# Expected: ru_maxrss of a child that ran `true` is what `true` needs, a megabyte or two.
# Seen with Linux 6.18: what the process had before it executed the program counts as well. After posix_spawn, as after vfork, that is
# the parent's own memory, so a `true` started by a Python of 300 MB "had" more than 300 MB (wait4 and RUSAGE_CHILDREN). To
# measure peak memory, start programs from a small process.
# Needs python3.
set -eu
uname -sr
python3 - <<'EOF'
import os, resource
ballast = bytearray(300 << 20)
for i in range(0, len(ballast), 4096):
    ballast[i] = 1
child = os.posix_spawn("/bin/true", ["true"], {})
_, status, usage = os.wait4(child, 0)
megabytes = usage.ru_maxrss // 1024
print(f"true: {megabytes} MB")
assert status == 0 and megabytes > 300, megabytes
assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024 > 300
EOF
