#!/bin/sh
# Two groups on one host, with other ports and another pin path, never touch each other: whatever happens to the first,
# each exporter stays at one index of the second, nothing is lost there, and its settings are what they were. The first keeps what it was
# set to when all of its instances are restarted.
. "${0%/*}/lib/traffic.sh"
need_traffic
need bpftool jq
sandbox

set_up() {
	echo 10.0.0.0/27 >"$tmp/allow"
	config first 2100 3 "reuseport_takeover: true" "reuseport_nonce: 1" "nfacctd_allow_file: $tmp/allow"
	config second 2200 2 "$by_period" "reuseport_nonce: 2" "reuseport_failover: false"
	start_all first 3
	start_all second 2
	settings >"$tmp/before"
	start_sender first netflow5 4 2100 exporters=100 ports=1 rate=500
	start_traffic netflow5 2200 period=1000
}

# settings: the second group's
settings() {
	local map
	for map in size nonce policy; do bpftool map dump pinned "$bpffs/second/$map" | grep -v '^Found'; done
}

# disturb_first: all that can happen to a group, one after the other
disturb_first() {
	local old
	crash first 0
	ok "an instance of the first group stops" stopped INT "$(pid_of first 1)"
	start_and_wait first 0
	old=$(pid_of first 2)
	mv "$tmp/first-2.log" "$tmp/old.log"
	start_and_wait first 2
	ok "an instance is taken over" exits_with_0 "$old"
	ok "the group grows" quietly "$reuseportctl" --pin-path "$bpffs/first" resize 7
	start_and_wait first 1
	like "a config that has the old count still starts, and is told" "$(cat "$tmp/first-1.log")" \
		"WARN .* reuseport_hashbucket_count is 3 here, but the group $bpffs/first was resized to 7 buckets: this instance goes by 7"
	ok "the group shrinks" quietly "$reuseportctl" --pin-path "$bpffs/first" resize 3
}

# status_of_first FILTER
status_of_first() {
	"$reuseportctl" --pin-path "$bpffs/first" --json status | jq -c "$1"
}

# discard: what an allow file does not list
discard() {
	like "an allow file: said" "$(cat "$tmp/first-1.log")" "WARN: \[$tmp/first.conf\] nfacctd_allow_file is set: what failover brings"
	at_least "and counted" "$(status_of_first '[.listeners[0].buckets[].disallowed] | add')" 1
}

restart_first() {
	ok "failover off" quietly "$reuseportctl" --pin-path "$bpffs/first" failover off
	ok "an override" quietly "$reuseportctl" --pin-path "$bpffs/first" override add 10.9.0.0/16 2
	status_of_first '[.size, .nonce, .failover, .overrides]' >"$tmp/before-restart"
	stop_all first
	start_all first 3
	is "all of the first group are restarted: its settings stay" "$(status_of_first '[.size, .nonce, .failover, .overrides]')" \
		"$(cat "$tmp/before-restart")"
	is "as they were set" "$(cat "$tmp/before-restart")" "[3,1,false,1]"
}

check_second() {
	nothing_lost second
	one_index_each second 200
	settings >"$tmp/after"
	ok "the settings of the second group are what they were" diff "$tmp/before" "$tmp/after"
}

# check_first: 31 of its 100 exporters are in the allow file
check_first() {
	received first >"$tmp/received"
	is "the first group has what is in its allow file, and nothing else" \
		"$(cut -d' ' -f1 "$tmp/received" | sort -u | awk -F. '{n++; if ($4 > 31) others++} END {print n + 0, others + 0}')" "31 0"
}

set_up
disturb_first
discard
restart_first
stop_traffic
stop_all first second
check_first
check_second
done_testing
