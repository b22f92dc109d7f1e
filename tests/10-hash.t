#!/bin/sh
# How evenly the hash spreads exporters, and how many move when a group grows: reuseport_hash.h by itself.
. "${0%/*}/lib/tap.sh"
make_tmp
program "([0-9]" "$tools/hash"
