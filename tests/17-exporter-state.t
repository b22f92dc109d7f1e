#!/bin/sh
# What is read of NetFlow v9 and IPFIX, whatever a message holds, and how it is kept in pages: flow_sets.c and state_pages.c by
# themselves.
. "${0%/*}/lib/tap.sh"
make_tmp
program "pages" "$tools/state"
