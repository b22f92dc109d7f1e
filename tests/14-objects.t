#!/bin/sh
# The objects that compilers made load, for UDP and for TCP, as root and with CAP_BPF alone, which has the verifier look
# harder: ours, and those of scripts/ci/check-compilers, if it was run.
. "${0%/*}/lib/daemons.sh"
need_root
need setpriv
sandbox
[ -f "$object" ] || skip_all "not built: run make build"

groups=0

# joins NAME OBJECT PROTOCOL [WORD...]: a member, started by these words, joins a group of its own
joins() {
	local name="$1" file="$2" protocol="$3" pid said
	shift 3
	groups=$((groups + 1))
	said=$tmp/said$groups
	"$@" "$tools/member" "$file" "$bpffs/group$groups" 1 0 protocol="$protocol" >"$said" &
	pid=$!
	await 20 test -s "$said" || diag "member says nothing"
	like "$name: $protocol" "$(cat "$said")" "^joined index 0 of 1 nonce"
	kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
}

# loads OBJECT: for both transports
loads() {
	local protocol
	for protocol in udp tcp; do
		joins "${1##*/}, root" "$1" "$protocol"
		joins "${1##*/}, CAP_BPF alone" "$1" "$protocol" setpriv --bounding-set -all,+bpf
	done
}

for file in "$object" "$root"/build/objects/*.o; do
	[ ! -f "$file" ] || loads "$file"
done
done_testing
