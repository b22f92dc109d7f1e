#!/bin/sh
# What the way of a datagram through the selector takes: map look-ups, calls of helpers and BPF instructions, counted. No machine
# and no kernel changes these; times are for 'make bench'.
. "${0%/*}/lib/tap.sh"
need_root
[ -f "$object" ] || skip_all "not built: run make build"
make_tmp
program "BPF instructions" "$tools/cost" "$object"
