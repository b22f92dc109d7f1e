# For tests that do not name their topic of tests/lib/ yet: all of them.
# shellcheck shell=sh
: "${root:=$(cd "${0%/*}/.." && pwd)}"
. "$root/tests/lib/traffic.sh"
. "$root/tests/lib/trace.sh"
