#!/bin/sh
# The two public selectors that others run, as compiled from their sources: 3 nfacctd and 3 pmbmpd balance with each, and
# say in one line what it lacks. No source or object of theirs is in this repository; they come by variable, and one that is not
# given is skipped by name. With CHECK_STRICT that is a failure, unless the variable says "none".
#
#   STRANGER_FOLLOWED     reuseport.o, of the system this one follows: https://github.com/eduarrrd/reuseport
#   STRANGER_CONFIG_KEYS  unyte_reuseport_kern.o, of the one that pmacct's CONFIG-KEYS names:
#                         https://github.com/network-analytics/ebpf-loadbalancer, once insa-unyte/ebpf-loadbalancer
. "${0%/*}/lib/traffic.sh"
need_traffic
need clang jq
sandbox

# given NAME VARIABLE OBJECT: whether there is an object; says so if not
given() {
	case $3 in
	none)
		count=$((count + 1))
		echo "ok $count - $1 # SKIP $2 is none"
		return 1
		;;
	'')
		skip "the selector $1" "set $2 to its object, or to none"
		return 1
		;;
	esac
	[ -f "$3" ] || die "$2 is $3: no such file"
}

# start_group NAME OBJECT: 3 nfacctd, and 3 pmbmpd
start_group() {
	local i
	config "$1" 2100 3 "reuseport_bpf_prog: $2"
	start_all "$1" 3
	for i in 0 1 2; do
		{
			grep '^reuseport' "$tmp/$1.conf"
			printf '%s\n' "bmp_daemon_port: 1790" "bmp_daemon_max_peers: 200" "bmp_daemon_msglog_file: $tmp/$1-$i.json"
		} >"$tmp/$1-bmp-$i.conf"
		run_daemon "$1-bmp" $i "$pmbmpd" -f "$tmp/$1-bmp-$i.conf" -x $i
	done
	for i in 0 1 2; do await 20 has_line "$tmp/$1-bmp-$i.log" 'listener bmp joined' || die "pmbmpd $i does not start"; done
}

# check_start NAME OBJECT: what they say, and what is pinned
check_start() {
	local log keeps
	for log in "$tmp/$1"-[012].log "$tmp/$1"-bmp-[012].log; do
		case $log in
		*-bmp-*) keeps='' ;;
		*) keeps=', and keeps neither templates nor sampling rates' ;;
		esac
		is "$1: ${log##*/}: one WARN line, and what it lacks" "$(grep -E 'WARN|ERROR' "$log" | sed 's/.*: reuseport: //')" \
			"$2 lacks the maps policy, slots, weights, overrides, quarantine, exporter_state, state_changes, instances, owners, counters, and does no failover$keeps: use reuseport.o to have what they are for."
	done
	is "$1: pinned is what belongs to the group, where it belongs" "$(cd "$bpffs" && find . -type f ! -name '*.debug' | sort | tr '\n' ' ')" \
		"$(for pin in bmp/_selector bmp/tcp_balancing_targets nfacctd/_selector nfacctd/udp_balancing_targets nonce size; do
			printf './%s/%s ' "$1" $pin
		done)"
}

# sessions NAME: the routers whose BMP sessions each instance of pmbmpd has seen, lines "router index"
sessions() {
	local i
	for i in 0 1 2; do
		jq -r --arg i $i 'select(.bmp_msg_type == "init") | .bmp_router + " " + $i' "$tmp/$1-$i.json"
	done | sort
}

all_seen() {
	[ "$(cat "$tmp/$1"-?.json 2>/dev/null | grep -c '"init"')" -eq 100 ]
}

# send_and_stop NAME: 100 exporters, with flows and sessions; where they were is in $tmp/NAME.places and $tmp/NAME-bmp.places
send_and_stop() {
	local i
	start_routers "$1" bmp 1790 100 4
	sent=$("$tools/exporter" netflow5 4 2100 exporters=100 ports=3 datagrams=4 rate=4000)
	ok "$1: 100 BMP sessions are up" await 30 all_seen "$1"
	sessions "$1" >"$tmp/$1-bmp.places"
	stop_routers "$1"
	for i in 0 1 2; do ok "$1: pmbmpd $i exits with 0" stopped TERM "$(pid_of "$1-bmp" $i)"; done
	rm "$tmp/$1"-bmp-*.pid
	stop_all "$1"
	received "$1" >"$tmp/received"
	cut -d' ' -f1,2 "$tmp/received" >"$tmp/$1.places"
}

# check_places NAME: $tmp/NAME.places has 100 exporters, each at one instance, all three in use
check_places() {
	local places="$tmp/$1.places"
	is "$1: exporters, places where they were, instances in use" \
		"$(cut -d' ' -f1 "$places" | sort -u | wc -l) $(sort -u "$places" | wc -l) $(cut -d' ' -f2 "$places" | sort -u | wc -l)" "100 100 3"
	diag "$1: exporters by instance: $(cut -d' ' -f2 "$places" | sort | uniq -c | awk '{printf "%s:%s ", $2, $1}')"
}

# balance NAME VARIABLE OBJECT
balance() {
	given "$@" || return 0
	start_group "$1" "$3"
	check_start "$1" "$3"
	send_and_stop "$1"
	check_places "$1"
	is "$1: datagrams sent" "$sent" 1200
	is "$1: of $sent datagrams sent, lost" $((sent - $(awk '{sum += $3} END {print sum}' "$tmp/received"))) 0
	check_places "$1-bmp"
	ok "$1: flows and session of each at the same index" diff "$tmp/$1.places" "$tmp/$1-bmp.places"
	rm -rf "${bpffs:?}/$1"
}

# One of our own that lacks what they lack: what is expected here is tried in every run
variant=$(foreign_object)
balance variant "" "$variant"
balance followed STRANGER_FOLLOWED "${STRANGER_FOLLOWED:-}"
balance config-keys STRANGER_CONFIG_KEYS "${STRANGER_CONFIG_KEYS:-}"
done_testing
