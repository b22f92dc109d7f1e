#!/bin/sh
# Parsing a config has no effect: a start that is refused before it binds, or that only checks the config, leaves the bpffs as it
# was, whether there is no group, a group without a live instance, or a live one.
. "${0%/*}/lib/daemons.sh"
need_daemons
need bpftool jq
sandbox

# contents: each file of the bpffs with inode number, owner and the time of each change; the ID of each map and program that is
# pinned; the values of each map. Without the two files that every bpffs has.
contents() {
	local kind pin
	find "$bpffs" ! -name '*.debug' -printf '%p %i %u %m %T@ %C@\n' | sort
	for kind in map prog; do
		bpftool -f -j $kind show | jq -c '.[] | select(.pinned // [] | length > 0) | [.id, .name, .pinned]'
	done
	# not instances: those that are live write there all the time
	find "$bpffs" -type f ! -name '*.debug' ! -name '_*' ! -name instances | sort | while read -r pin; do
		echo "$pin"
		bpftool map dump pinned "$pin"
	done
}

# state_is_known: what the bpffs has now is what the attempts that follow must leave
state_is_known() {
	contents >"$tmp/before"
}

# attempt STATE COUNT NONCE [LINE...]: the config of an instance of the group $bpffs/STATE
attempt() {
	local state="$1" buckets="$2" nonce="$3"
	shift 3
	config attempt 2100 "$buckets" "reuseport_pin_path: $bpffs/$state" "reuseport_nonce: $nonce" "nfacctd_ip: 127.0.0.1" \
		"bmp_daemon: true" "bmp_daemon_port: 1790" "$@"
}

# without_effect NAME STATUS REGEX ARGUMENT...: the attempt exits with this status, and says what matches; nothing changes
without_effect() {
	local name="$1" wanted="$2" regex="$3" status=0
	shift 3
	timeout 20 "$nfacctd" -f "$tmp/attempt.conf" -o "$tmp/attempt.csv" "$@" >"$tmp/attempt.log" 2>&1 || status=$?
	is "$name: exit status" "$status" "$wanted"
	like "$name: it says why it ends" "$(cat "$tmp/attempt.log")" "$regex"
	contents >"$tmp/after"
	ok "$name: no file, map or value of the bpffs has changed" quietly diff "$tmp/before" "$tmp/after"
}

# checked_only NAME: the same for -T config, which 1.7.9 and later have
checked_only() {
	if "$nfacctd" -h 2>&1 | grep -q '^  -T'; then
		without_effect "$1, -T config" 0 "Dry run 'config'" -x 1 -T config
	fi
}

# ends_before_bind STATE COUNT NONCE: with keys that fit the group, or could make it anew
ends_before_bind() {
	local keys="$1, $2 buckets, nonce $3"
	attempt "$@"
	checked_only "$keys"
	attempt "$@" "nfacctd_ip: nowhere"
	without_effect "$keys, an address that is none" 1 "'nfacctd_ip' value is not valid" -x 1
	attempt "$@" "reuseport_bpf_prog: $tmp/attempt.conf"
	without_effect "$keys, an object that is none" 1 "reuseport_bpf_prog $tmp/attempt.conf is not an ELF file" -x 1
}

no_group() {
	state_is_known
	ends_before_bind none 3 42
	ok "none: the pin path has not been made" [ ! -e "$bpffs/none" ]
}

group_without_live_instance() {
	config dead 2100 3 "reuseport_nonce: 42" "reuseport_failover: false" "nfacctd_ip: 127.0.0.1"
	start_and_wait dead 0
	stop_all dead
	is "dead: its count is still there" "$(bpftool -j map dump pinned "$bpffs/dead/size" | jq '.[0].formatted.value')" 3
	state_is_known
	ends_before_bind dead 3 42
	ends_before_bind dead 5 99
}

live_group() {
	config live 2100 3 "reuseport_nonce: 42" "nfacctd_ip: 127.0.0.1"
	start_and_wait live 0
	state_is_known
	ok "live: there are pins with IDs to be compared" [ "$(grep -c '^\[[0-9]*,.*live' "$tmp/before")" -ge 8 ]
	ok "live: there are values to be compared" [ "$(grep -c key "$tmp/before")" -ge 100 ]
	ends_before_bind live 3 42
	attempt live 5 42
	without_effect "live, another count" 1 "reuseport_hashbucket_count is 5 here, but 3 in the running group" -x 1
	attempt live 3 42
	without_effect "live, an index in use" 1 "reuseport_hashbucket_index 0 is in use in $bpffs/live" -x 0
	ok "the live instance runs on" kill -0 "$(pid_of live 0)"
	stop_all live
}

no_group
group_without_live_instance
live_group
done_testing
