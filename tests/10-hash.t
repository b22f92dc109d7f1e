#!/bin/sh
# How the hash spreads exporters, and what growth moves: figures of the header that selector and daemons share.
. "${0%/*}/lib.sh"
make_tmp
program "([0-9]" "$tools/hash"
