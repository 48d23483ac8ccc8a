"""Run a command in a network namespace of its own and report what it tried to reach beyond this machine.

usage: python alone.py COMMAND…      (Linux; prints one line of JSON; exit code 77: not allowed here)

The namespace has a loopback device and nothing else. The kernel counts each packet that found no route,
whoever sent it, Python or native code; a socket on port 53 hears look-ups where the resolver is this machine.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000
SET_FLAGS, UP = 0x8914, 0x1
NOT_ALLOWED = 77


def leave_the_network() -> None:
    """Move this process into a namespace with a loopback device."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NETWORK) and libc.unshare(NEW_NETWORK | NEW_USER):
        raise PermissionError(os.strerror(ctypes.get_errno()))
    if os.getuid() != user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sH14x", b"lo", UP))


def listen_for_look_ups() -> socket.socket:
    """Return a socket on port 53 of every loopback address."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("0.0.0.0", 53))
    listening.setblocking(False)
    return listening


def without_route() -> int:
    """Return how many packets found no way out of this namespace, over IPv4 and IPv6."""
    names, values = [
        line.split()
        for line in Path("/proc/self/net/snmp").read_text().splitlines()
        if line.startswith("Ip:")
    ]
    found = int(values[names.index("OutNoRoutes")])
    six = Path("/proc/self/net/snmp6")
    lines = six.read_text().splitlines() if six.exists() else []
    return found + sum(int(line.split()[1]) for line in lines if line.startswith("Ip6OutNoRoutes"))


def main(command: list[str]) -> int:
    try:
        leave_the_network()
        listening = listen_for_look_ups()
    except OSError as error:
        print(f"no network namespace of one's own: {error}", file=sys.stderr)
        return NOT_ALLOWED
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    try:
        listening.recv(1)
        looked_up = True
    except BlockingIOError:
        looked_up = False
    print(json.dumps({"code": code, "without_route": without_route(), "looked_up": looked_up}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
