#!/bin/sh
# How long the daemons let datagrams gather before they read a batch: pace.c by itself.
. "${0%/*}/lib/tap.sh"
make_tmp
program "gather$" "$tools/pace"
