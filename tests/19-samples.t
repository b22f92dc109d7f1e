#!/bin/sh
# Who sends what, as the selector samples it: the estimates are within 5 % of what was sent, also of exporters that send in turn.
. "${0%/*}/lib/tap.sh"
need_root
sandbox
program "each of them" "$tools/samples" "$object" "$bpffs"
