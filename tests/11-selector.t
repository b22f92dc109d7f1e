#!/bin/sh
# The selector in the kernel: the same bucket as in user space, failover, refusal, overrides, counters.
. "${0%/*}/lib/tap.sh"
need_root
sandbox
# small enough that a datagram of 4,000 bytes travels in fragments
ip link set lo mtu 1500
program "agree" "$tools/selector" "$object" "$bpffs"
