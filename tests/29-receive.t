#!/bin/sh
# Datagrams are read in batches: each comes as recvfrom() gives it, in its order, for less than a fifth of a system call; and no port has to
# wait for another that never falls silent.
. "${0%/*}/lib/traffic.sh"
need_daemons
need perl strace
sandbox

# More than a batch, of any length: what is no datagram for nfacctd, the shortest, the longest that it takes (PKT_MSG_SIZE, 10000 in
# network.h, 1.7.8), and longer ones, which are cut off
lengths="0 1 2 3 16 20 $(seq 24 60 4000 | tr '\n' ' ')9999 10000 10001 20000 65507 24 $(seq 4000 -60 24 | tr '\n' ' ')"

datagrams=$root/tests/tools/datagrams.pl

# start_forwarder NAME [LINE...]: an instance that forwards what it receives to port 2200 as it is
start_forwarder() {
	local name="$1"
	shift
	echo "id=1 ip=127.0.0.1:2200" >"$tmp/receivers"
	config "$name" 2100 1 "$@" "plugins: tee[t]" "tee_receivers[t]: $tmp/receivers"
	sed -i '/\[p\]/d' "$tmp/$name.conf"
}

# forwarded NAME FAMILY [ARGUMENT...]: what that instance forwards, lines "length digest" in $tmp/NAME.FAMILY
forwarded() {
	local name="$1" family="$2" recorder
	shift 2
	perl "$datagrams" record 4 2200 "$tmp/$name.$family" &
	recorder=$!
	run_daemon "$name" 0 "$nfacctd" -f "$tmp/$name.conf" "$@"
	await 20 forwards "$name" "$family" || die "$name forwards nothing"
	# so that all of it waits, and comes in batches
	kill -STOP "$(pid_of "$name" 0)"
	# shellcheck disable=SC2086 # words
	perl "$datagrams" send "$family" 2100 $lengths
	kill -CONT "$(pid_of "$name" 0)"
	await 20 queues_empty 2100
	stopped INT "$(pid_of "$name" 0)" || die "$name does not stop"
	await 20 queues_empty 2200
	kill $recorder
	wait $recorder || true
	# but for the datagrams that found out whether it forwards
	sed -i '/^28 /d' "$tmp/$name.$family"
}

# forwards NAME FAMILY: whether a datagram of 28 bytes gets through
forwards() {
	perl "$datagrams" send "$2" 2100 28
	grep -qs '^28 ' "$tmp/$1.$2"
}

# as_recvfrom: IPv4, IPv6 and both on one port, with the keys and without
as_recvfrom() {
	local kind address
	for kind in 4:0.0.0.0 6::: 4::: ; do
		address=${kind#*:}
		start_forwarder plain "nfacctd_ip: $address"
		sed -i '/^reuseport_/d' "$tmp/plain.conf"
		forwarded plain "${kind%%:*}"
		start_forwarder ours "nfacctd_ip: $address"
		forwarded ours "${kind%%:*}" -x 0
		ok "IPv${kind%%:*} on $address: most of $(echo "$lengths" | wc -w) datagrams are forwarded" \
			[ "$(wc -l <"$tmp/plain.${kind%%:*}")" -gt 130 ]
		ok "IPv${kind%%:*} on $address: the longest is cut off" grep -q '^10000 ' "$tmp/ours.${kind%%:*}"
		is "IPv${kind%%:*} on $address: the same ones in the same order, as without the keys" \
			"$(cat "$tmp/ours.${kind%%:*}")" "$(cat "$tmp/plain.${kind%%:*}")"
	done
}

# few_system_calls: 4,000 datagrams wait
few_system_calls() {
	local pid calls
	config queue 2100 1 "nfacctd_pipe_size: 8000000" "plugin_buffer_size[p]: 10240" "plugin_pipe_size[p]: 10240000"
	start_and_wait queue 0
	pid=$(pid_of queue 0)
	kill -STOP "$pid"
	"$tools/exporter" netflow5 4 2100 exporters=100 ports=2 datagrams=20 >/dev/null
	strace -q -o "$tmp/strace" -p "$pid" 2>"$tmp/strace.err" &
	await 20 grep -qs "^TracerPid:[[:space:]]*[1-9]" "/proc/$pid/status"
	kill -CONT "$pid"
	await 60 queues_empty 2100
	stop_all queue
	received queue >"$tmp/received"
	calls=$(awk '/recvmmsg.* = [1-9]/ {last = NR} END {print last + 0}' "$tmp/strace")
	is "of 4000 datagrams that wait, arrived" "$(total_received)" 4000
	at_least "they are read 64 at a time: reads" "$(grep -c 'recvmmsg.* = 64$' "$tmp/strace")" 60
	ok "system calls until the last one is read, less than a fifth of the datagrams: $calls" [ "$calls" -gt 60 -a "$calls" -lt 800 ]
}

# no_port_starves: what is no datagram for nfacctd comes to the port itself, as fast as it can be sent
no_port_starves() {
	local flood
	config busy 2100 1 "nfacctd_templates_port: 2101"
	start_and_wait busy 0
	perl "$datagrams" flood 4 2100 1 >"$tmp/flood" &
	flood=$!
	"$tools/exporter" netflow9 6 2101 exporters=100 ports=1 datagrams=20 rate=200 >"$tmp/few"
	await 20 queues_empty 2101
	kill $flood
	wait $flood
	stop_all busy
	received busy >"$tmp/received"
	ok "$(cat "$tmp/flood") datagrams of one byte were sent to one port" [ "$(cat "$tmp/flood")" -gt 10000 ]
	is "of $(cat "$tmp/few") sent to the other one, arrived" "$(total_received)" 2000
}

# refused_datagrams: pmtelemetryd looks at a datagram to know its sender, and does not read what it refuses
refused_datagrams() {
	local pid
	cat >"$tmp/telemetry.conf" <<-END
		telemetry_daemon_port_udp: 1620
		telemetry_daemon_decoder: json
		telemetry_daemon_max_peers: 1
		telemetry_daemon_msglog_file: $tmp/telemetry.json
		reuseport_hashbucket_count: 1
		reuseport_bpf_prog: $object
		reuseport_pin_path: $bpffs/telemetry
	END
	run_daemon telemetry 0 "$tree/src/pmtelemetryd" -f "$tmp/telemetry.conf" -x 0
	pid=$(pid_of telemetry 0)
	await 20 has_line "$tmp/telemetry-0.log" 'listener telemetry_udp joined' || die "pmtelemetryd does not start"
	perl "$datagrams" send 4 1620 0 0
	# the second exporter is one too many
	"$tools/exporter" telemetry 4 1620 exporters=2 ports=1 datagrams=10 rate=100 >/dev/null
	perl "$datagrams" send 4 1620 0
	await 20 queues_empty 1620
	ok "pmtelemetryd: it ends on SIGTERM, after datagrams that it refuses" stopped TERM "$pid"
	is "pmtelemetryd: and has read the 10 that it does not" "$(grep -c period "$tmp/telemetry.json")" 10
}

as_recvfrom
few_system_calls
no_port_starves
refused_datagrams
done_testing
