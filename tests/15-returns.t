#!/bin/sh
# When sessions return to their owner, also to one that has crashed for a week, and how many at a time: returns.c by itself.
. "${0%/*}/lib/tap.sh"
make_tmp
program "a second$" "$tools/returns"
