#!/bin/sh
# For how long exporters are in quarantine, and for how long that is remembered: the group library's faults.c by itself.
. "${0%/*}/lib/tap.sh"
need_root
sandbox
program "made room" "$tools/quarantine" "$object" "$bpffs"
