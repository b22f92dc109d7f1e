#!/bin/sh
# How the hash spreads exporters, and what growth moves: figures of the header that selector and daemons share.
exec "$(dirname "$0")/bin/hash"
