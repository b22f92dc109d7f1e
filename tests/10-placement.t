#!/bin/sh
# What the placement table promises, for all numbers of buckets: the group library's placement.c by itself.
. "${0%/*}/lib/tap.sh"
make_tmp
program "slot" "$tools/placement"
