#!/bin/sh
# The objects that compilers made load, for UDP and for TCP, as root and with CAP_BPF alone, which has the verifier look
# harder: ours, and those of scripts/ci/check-compilers, if it was run.
. "${0%/*}/lib/daemons.sh"
need_root
need setpriv
sandbox
[ -f "$object" ] || skip_all "not built: run make build"

# loads NAME OBJECT PROTOCOL WORDS...: a member, started by these words, joins
groups=0
loads() {
	case=$1 file=$2 protocol=$3
	shift 3
	groups=$((groups + 1))
	"$@" "$tools/member" "$file" "$bpffs/group$groups" 1 0 protocol="$protocol" >"$tmp/said$groups" &
	pid=$!
	await 20 test -s "$tmp/said$groups" || diag "member says nothing"
	like "$case: $protocol" "$(cat "$tmp/said$groups")" "^joined index 0 of 1 nonce"
	kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
}

for file in "$object" "$root"/build/objects/*.o; do
	[ -f "$file" ] || continue
	for protocol in udp tcp; do
		loads "${file##*/}, root" "$file" "$protocol" env
		loads "${file##*/}, CAP_BPF alone" "$file" "$protocol" setpriv --bounding-set -all,+bpf
	done
done
done_testing
