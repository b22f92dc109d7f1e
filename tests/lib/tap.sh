# Assertions in TAP on stdout, skipping, waiting, and where the built things are. Every other topic of the library stands on this.
# Besides the tests, the checks in scripts/ci that print TAP and the benchmark, by bench/lib.sh, source this library.
#
# Before it is sourced, $root may be set to the project's root; else it is the directory above the script's own.
# shellcheck shell=sh disable=SC2034
set -eu
: "${root:=$(cd "${0%/*}/.." && pwd)}"
# The only place where the tests source what the scripts share
. "$root/scripts/lib/common.sh"
. "$root/scripts/lib/releases.sh"
. "$root/scripts/lib/patches.sh"
. "$root/scripts/lib/sandbox.sh"
. "$root/scripts/lib/wait.sh"

tree=$root/build/pmacct-${RELEASE:-$base}
pristine=$root/build/pristine-${RELEASE:-$base}
nfacctd=$tree/src/nfacctd
pmbmpd=$tree/src/pmbmpd
object=$root/bpf/reuseport.o
# TOOLS: a directory with other builds of our programs
tools=${TOOLS:-$root/tests/bin}
reuseportctl=${TOOLS:-$root/reuseportctl}/reuseportctl
count=0
failed=0

# ---- assertions ----

# ok NAME COMMAND...: one assertion: the command succeeds
ok() {
	count=$((count + 1))
	# not local: the command may be a function that sees the caller's variables
	assertion=$1
	shift
	if "$@"; then
		echo "ok $count - $assertion"
	else
		failed=$((failed + 1))
		echo "not ok $count - $assertion"
		diag "failed: $*"
	fi
}

# not COMMAND...: for ok: the command fails
not() {
	if "$@"; then return 1; fi
}

# quietly COMMAND...: for ok: its output is shown only if it fails
quietly() {
	"$@" >"$tmp/quietly" 2>&1 || {
		diag "$(cat "$tmp/quietly")"
		return 1
	}
}

# is NAME GOT WANTED
is() {
	if [ "$2" = "$3" ]; then
		ok "$1" true
	else
		ok "$1" false
		diag "     got: $2"
		diag "  wanted: $3"
	fi
}

# like NAME TEXT REGEX: the text has a line that matches
like() {
	if printf '%s\n' "$2" | grep -qE -- "$3"; then
		ok "$1" true
	else
		ok "$1" false
		diag "     got: $2"
		diag "  wanted: /$3/"
	fi
}

# at_least NAME GOT LEAST: the number is not smaller
at_least() {
	if [ "$2" -ge "$3" ]; then
		ok "$1" true
	else
		ok "$1" false
		diag "     got: $2"
		diag "at least: $3"
	fi
}

# diag TEXT: shown whatever happens, for figures and for what went wrong
diag() {
	printf '%s\n' "$*" | sed 's/^/# /' >&2
}

# program REGEX COMMAND...: a test in C; those of its assertions that match are shown whatever happens, for their figures
program() {
	local shown="$1" status=0
	shift
	"$@" >"$tmp/program" || status=$?
	cat "$tmp/program"
	sed -n "s/^ok [0-9]* - \(.*$shown.*\)/# \1/p" "$tmp/program" >&2
	exit "$status"
}

# done_testing: the last line of every test
done_testing() {
	echo "1..$count"
	[ "$failed" -eq 0 ]
}

# ---- skipping ----

# skip_all REASON: skips the whole test; with CHECK_STRICT that is a failure
skip_all() {
	if [ -n "${CHECK_STRICT:-}" ]; then
		echo "1..1"
		echo "not ok 1 - needed, since CHECK_STRICT is set: $*"
		exit 1
	fi
	echo "1..0 # SKIP $*"
	exit 0
}

# skip NAME REASON: skips one assertion, or a part of the test; with CHECK_STRICT that is a failure
skip() {
	if [ -n "${CHECK_STRICT:-}" ]; then
		ok "$1: needed, since CHECK_STRICT is set: $2" false
	else
		count=$((count + 1))
		echo "ok $count - $1 # SKIP $2"
	fi
}

# need COMMAND...: skips the test if a command is missing
need() {
	local c
	for c in "$@"; do
		command -v "$c" >/dev/null || skip_all "no $c"
	done
}

# need_root: skips the test for an ordinary user
need_root() {
	[ "$(id -u)" -eq 0 ] || skip_all "must be run as root: network namespaces, BPF"
}

# ---- waiting ----

# await SECONDS COMMAND...: waits until the command succeeds. If it does not in time, says what it waited for, shows the ends of
# the logs in $tmp, and fails.
await() {
	wait_for "$@" && return
	diag "waited $1 s in vain until: $(shift && echo "$*")"
	show_logs
	return 1
}

# show_logs: the last lines of each log in $tmp, those that changed last at the end
show_logs() {
	local log
	# shellcheck disable=SC2012 # by time; the names are ours
	ls -tr "$tmp"/*.log "$tmp"/*.err 2>/dev/null | tail -n 8 | while read -r log; do
		[ ! -s "$log" ] || diag "the end of ${log##*/}:
$(tail -n 5 "$log")"
	done
}

# has_line FILE REGEX: whether the file has a line that matches
has_line() {
	grep -qsE -- "$2" "$1"
}

# gone PID: whether the process has ended
gone() {
	! grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"
}

# exits_with_0 PID: waits for a process of ours to end, half a minute at most
exits_with_0() {
	local status=0
	await "${2:-30}" gone "$1" || return
	wait "$1" || status=$?
	[ "$status" -eq 0 ] || diag "pid $1 exits with $status"
	return "$status"
}

# ms_since NANOSECONDS: how long ago that was
ms_since() {
	echo $((($(date +%s%N) - $1) / 1000000))
}
