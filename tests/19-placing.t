#!/bin/sh
# What the selector reads in datagrams, where it is asked to: sFlow's agent, and what an override spreads an exporter by.
. "${0%/*}/lib/tap.sh"
need_root
sandbox
program "placed" "$tools/placing" "$object" "$bpffs"
