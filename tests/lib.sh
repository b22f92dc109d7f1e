# What the tests share; sourced first. TAP on stdout.
# shellcheck shell=sh
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"

tree=$root/build/pmacct-${RELEASE:-1.7.8}
nfacctd=$tree/src/nfacctd
pmbmpd=$tree/src/pmbmpd
object=$root/bpf/reuseport.o
tools=$root/tests/bin
count=0
failed=0

# ok NAME COMMAND...: one assertion: the command succeeds
ok() {
	count=$((count + 1))
	name=$1
	shift
	if "$@"; then
		echo "ok $count - $name"
	else
		failed=$((failed + 1))
		echo "not ok $count - $name"
		diag "failed: $*"
	fi
}

# not COMMAND...: for ok: the command fails
not() {
	if "$@"; then return 1; fi
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

# diag TEXT: shown whatever happens;  note TEXT: shown by prove -v; figures go to diag
diag() {
	printf '%s\n' "$*" | sed 's/^/# /' >&2
}

# skip_all REASON: the whole test, unless it is to be strict
skip_all() {
	if [ -n "${CHECK_STRICT:-}" ]; then
		echo "1..1"
		echo "not ok 1 - needed, since CHECK_STRICT is set: $*"
		exit 1
	fi
	echo "1..0 # SKIP $*"
	exit 0
}

# need COMMAND...: or skip
need() {
	for c in "$@"; do
		command -v "$c" >/dev/null || skip_all "no $c"
	done
}

# need_root: or skip
need_root() {
	[ "$(id -u)" -eq 0 ] || skip_all "must be run as root: network namespaces, BPF"
}

# done_testing: the last line of every test
done_testing() {
	echo "1..$count"
	[ "$failed" -eq 0 ]
}
