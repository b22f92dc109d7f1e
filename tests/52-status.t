#!/bin/sh
# What reuseportctl shows of real daemons, against what they did: owners, shares, drops, full queues, heavy buckets, foreign
# sockets at the port; overrides that move flows and sessions; metrics, as promtool, node_exporter and a strict parser of OpenMetrics read them.
. "${0%/*}/lib/daemons.sh"
need_daemons
need jq promtool prometheus-node-exporter curl ss
/usr/bin/python3 -c "import prometheus_client" 2>/dev/null || skip_all "no python3-prometheus-client"
sandbox

# ctl ARGUMENT...: on the group that all daemons here share
ctl() {
	"$reuseportctl" --pin-path "$bpffs/live" "$@"
}

# status FILTER [OPTION...]: of the first listener, or of that by the options; its exit status is in $said
status() {
	local filter="$1"
	shift
	ctl --json "$@" status >"$tmp/json" && said=0 || said=$?
	jq -rc "$filter" "$tmp/json"
}

# of_bucket INDEX FIELD: of the listener nfacctd
of_bucket() {
	status ".listeners[0].buckets[$1].$2" -l nfacctd
}

# marked REGEX: a line of its table with a mark, of exit status 3
marked() {
	ctl status >"$tmp/table" && said=0 || said=$?
	like "marked: $1" "$said $(grep '^!' "$tmp/table" || cat "$tmp/table")" "^(3 )?! $1"
}

# send COUNT PORTS EXPORTERS [KEY=VALUE...]: so many datagrams from each port; how many that were is in $n, and is added to $sent
send() {
	local count="$1" ports="$2" exporters="$3"
	shift 3
	n=$("$tools/exporter" netflow5 4 2100 exporters="$exporters" ports="$ports" datagrams="$count" rate=5000 "$@")
	sent=$((sent + n))
}

# ---- a group that is well ----

all_ready() {
	[ "$(status '[.listeners[] | .buckets[] | select(.state == "ready")] | length')" = 6 ]
}

show_a_group_that_is_well() {
	config live 2100 3 "bmp_daemon: true" "bmp_daemon_port: 1790" "bmp_daemon_max_peers: 100"
	start_all live 3
	await 30 all_ready || diag "$(cat "$tmp/json")"
	is "all is well: exit status" "$(status . >/dev/null; echo "$said")" 0
	is "two listeners" "$(status '[.listeners[] | .name, .protocol, .address] | join(" ")')" "bmp tcp [::]:1790 nfacctd udp [::]:2100"
	is "each bucket has its instance" "$(status '[.listeners[1].buckets[] | .process, .pid] | join(" ")')" \
		"nfacctd $(pid_of live 0) nfacctd $(pid_of live 1) nfacctd $(pid_of live 2)"
	is "the group's nonce and count" "$(status '.size, .nonce > 0, .failover, .overrides' | tr '\n' ' ')" "3 true true 0 "
}

count_what_was_received() {
	local i
	sent=0
	send 5 4 200
	"$tools/exporter" bmp 4 1790 exporters=50 ports=1 >"$tmp/routers" &
	routers=$!
	await 20 grep -q 'sessions' "$tmp/routers" || diag "no sessions: $(cat "$tmp/routers")"
	is "$sent datagrams are counted" "$(status '[.listeners[0].buckets[].received] | add' -l nfacctd)" "$sent"
	is "and 50 connections" "$(status '[.listeners[0].buckets[].received] | add' -l bmp)" 50
	is "shares add up to 1" "$(status '[.listeners[0].buckets[].share] | add * 1000 | round' -l nfacctd)" 1000
	for i in 0 1 2; do
		is "index $i has the sessions that were counted" "$(peers 1790 "$(pid_of live $i)" | wc -l)" "$(status ".listeners[0].buckets[$i].received" -l bmp)"
	done
}

say_where_exporters_are() {
	seq -f 10.0.0.%g 200 >"$tmp/exporters"
	ctl --json --load "$tmp/exporters" -l nfacctd where >"$tmp/where"
	is "where: all by the hash, none by failover" "$(jq -c '[.[] | .by, .failover] | unique' "$tmp/where")" '[false,"hash"]'
}

# takes_more_samples: as a tool that looks asks for
takes_more_samples() {
	ctl status | head -n 1 | grep -q ', samples of 1 in 16$'
}

# The killed one has asked for three seconds, and cannot take that back
look_and_be_killed() {
	local looker
	"$reuseportctl" --pin-path "$bpffs/live" --watch=1 exporters >/dev/null &
	looker=$!
	ok "while a tool looks, there are more samples" await 10 takes_more_samples
	kill -KILL $looker
	ok "it is killed, and an instance ends that" await 10 not takes_more_samples
	ctl --seconds 1 exporters >/dev/null
	ok "one that is not killed ends that itself" not takes_more_samples
}

# ---- metrics ----

export_metrics() {
	ctl --prometheus status >"$tmp/reuseport.prom"
	ok "promtool finds nothing wrong" quietly sh -c "promtool check metrics <'$tmp/reuseport.prom' 2>&1 | tee '$tmp/promtool' && [ ! -s '$tmp/promtool' ]"
	is "sessions that the instances have" "$(awk '/^reuseport_sessions{.*listener="bmp"/ {n += $2} END {print n}' "$tmp/reuseport.prom")" 50
}

# strict_samples TYPE FILE: how many samples of that type a strict parser of OpenMetrics finds, or why it refuses the file
strict_samples() {
	/usr/bin/python3 -c 'if 1:
		import sys
		from prometheus_client.openmetrics.parser import text_fd_to_metric_families as parse
		try:
			print(sum(len(family.samples) for family in parse(open(sys.argv[2])) if family.type == sys.argv[1]))
		except ValueError as error:
			print(error)' "$@"
}

export_openmetrics() {
	local of
	for of in status exporters; do
		ctl --openmetrics $of >"$tmp/openmetrics"
		ctl --prometheus $of >"$tmp/classic"
		at_least "$of has counters" "$(grep -cE '^[a-z_]+_total[{]' "$tmp/openmetrics")" 2
		is "a strict parser of OpenMetrics reads the counters of $of" "$(strict_samples counter "$tmp/openmetrics")" "$(grep -cE '^[a-z_]+_total[{]' "$tmp/openmetrics")"
		is "all else of $of are gauges" "$(strict_samples gauge "$tmp/openmetrics")" "$(grep -cvE '^([a-z_]+_total[{]|#)' "$tmp/openmetrics")"
		is "$of for Prometheus has the same samples" "$(grep -o '^[^#].* ' "$tmp/classic")" "$(grep -o '^[^#].* ' "$tmp/openmetrics")"
	done
}

read_metrics_by_node_exporter() {
	local node_exporter
	prometheus-node-exporter --collector.disable-defaults --collector.textfile --collector.textfile.directory="$tmp" \
		--web.listen-address=127.0.0.1:9100 >"$tmp/node_exporter" 2>&1 &
	node_exporter=$!
	await 20 curl -sf -o "$tmp/scraped" http://127.0.0.1:9100/metrics || diag "$(cat "$tmp/node_exporter")"
	kill $node_exporter
	is "node_exporter reads it" "$(awk '/^node_textfile_scrape_error/ {print $2}' "$tmp/scraped")" 0
	is "and exports it: all datagrams" "$(awk '/^reuseport_received_own_total.*listener="nfacctd"/ {n += $2} END {print n}' "$tmp/scraped")" "$sent"
}

# ---- one exporter has too much ----

# has_session INDEX EXPORTER: whether it is there
has_session() {
	peers 1790 "$(pid_of live "$1")" | grep -qx "$2"
}

# has_session_alone INDEX EXPORTER: whether it is there, and no other is
has_session_alone() {
	[ "$(peers 1790 "$(pid_of live "$1")")" = "$2" ]
}

# move_the_heaviest: the exporter $heavy, from the bucket $at to the bucket $to
move_the_heaviest() {
	local before there
	heavy=$(jq -r '.[0].exporter' "$tmp/where") at=$(jq -r '.[0].bucket' "$tmp/where")
	to=$(((at + 1) % 3))
	send 2000 10 1
	marked "bucket $at of nfacctd \(pid $(pid_of live "$at")\) gets 2\.[0-9] times its share: 'reuseportctl exporters' shows its heaviest exporters, 'reuseportctl rebalance' what to move"
	ok "its bucket by override" ctl override add "$heavy" $to
	before=$(of_bucket $to received)
	send 10 10 1
	is "effective at once" "$(of_bucket $to received)" $((before + n))
	ok "its BMP session follows" await 25 has_session $to "$heavy"
	there=$(peers 1790 "$(pid_of live $to)" | wc -l)
	ok "a bucket is drained" quietly ctl drain $to
	ok "its other sessions go, to the others, and that of the override stays" await 25 has_session_alone $to "$heavy"
	ok "it is undrained" quietly ctl undrain $to
	kill $routers
	wait $routers || true
	is "no session ended but that one and the $((there - 1)) others" "$(awk '/ended/ {print $1}' "$tmp/routers")" "$there"
	ok "override delete" ctl override delete "$heavy"
}

compare_with_what_arrived() {
	local exporters lost twice
	stop_all live
	received live | awk '{print $1, $2}' >"$tmp/received"
	is "each exporter was where 'where' said, but for the one that was moved" \
		"$(jq -r '.[] | "\(.exporter) \(.bucket)"' "$tmp/where" | sort | diff - "$tmp/received" | grep '^[<>]')" "> $heavy $to"
	received live | awk -v heavy="$heavy" '{got[$1] += $3}
		END {for (e in got) {d = got[e] - (e == heavy ? 20 + 20000 + 100 : 20); if (d < 0) lost -= d; else twice += d}; print length(got), lost + 0, twice + 0}' \
		>"$tmp/arrived"
	read -r exporters lost twice <"$tmp/arrived"
	is "of $sent datagrams of 200 exporters that were sent and counted, lost" "$exporters $lost" "200 0"
	is "of these, written twice" "$twice" 0
	rm "$tmp"/live-*.csv
}

# ---- one that does not read: its queue fills, then it drops ----

show_drops() {
	local full kernels
	sed -i 's/^nfacctd_pipe_size.*/nfacctd_pipe_size: 20000/' "$tmp/live.conf"
	start_all live 3
	is "a group that starts anew counts from zero" "$(status '.listeners[0].received' -l nfacctd)" 0
	kill -STOP "$(pid_of live 1)"
	sent=0
	send 20 5 100
	full=$(status '.listeners[0].buckets[1] | [.queue > 0.5 * .queue_max, .drops > 0]' -l nfacctd)
	kernels=$(ss -HuanmpO "sport = :2100" | sed -n "/pid=$(pid_of live 1),/s/.*,d\([0-9]*\)).*/\1/p")
	is "its queue is full, and it drops" "$full" "[true,true]"
	is "as many as ss says" "$(of_bucket 1 drops)" "$kernels"
	diag "of $sent datagrams, $kernels were dropped at the socket of the one that was stopped"
	marked "bucket 1 of nfacctd \(pid $(pid_of live 1)\) has dropped $kernels datagrams at its socket: raise nfacctd_pipe_size and net.core.rmem_max"
	like "the table has a full queue" "$(cat "$tmp/table")" "^     1  nfacctd $(pid_of live 1) .* ([6-9][0-9]|1[0-9][0-9])% +$kernels$"
	kill -CONT "$(pid_of live 1)"
}

# ---- foreign sockets at the port ----

# foreign ADDRESS: starts a socket of the same user that is not in the group; its pid is in $foreign
foreign() {
	"$reuseportctl" --plain --count 1 --udp listen "$1" 2100 >"$tmp/foreign" 2>&1 &
	foreign=$!
	await 10 grep -q 'Ctrl-C' "$tmp/foreign" || diag "foreign socket at $1: $(cat "$tmp/foreign")"
}

# arrives ADDRESS: sends there, and prints how much of it the foreign socket received
arrives() {
	: >"$tmp/foreign"
	"$reuseportctl" --udp --exporters 20 connect "$1" 2100 >"$tmp/connect" || true
	grep -c '^udp' "$tmp/foreign" || true
}

show_foreign_sockets() {
	local address
	for address in 0.0.0.0 127.0.0.1; do
		foreign $address
		is "a foreign socket at $address takes what is for the group" "$(arrives 127.0.0.1)" 60
		marked "a socket outside the group takes traffic of nfacctd: reuseportctl pid $foreign, user id 0, at $address:2100: stop it"
		is "the foreign socket at $address in JSON" "$(status '.listeners[0].foreign_sockets[0] | [.address, .pid, .takes_traffic]' -l nfacctd)" "[\"$address:2100\",$foreign,true]"
		like "the foreign socket at $address in the metrics" "$(ctl --prometheus status || true)" '^reuseport_group_foreign_sockets.* 1$'
		kill $foreign
		wait $foreign
	done
}

show_foreign_socket_at_own_address() {
	local arrived
	foreign ::
	arrived=$(arrives 127.0.0.1)
	like "60 datagrams are sent to the group" "$(tail -n 1 "$tmp/connect")" "^20 exporters: no answer: 60; split"
	is "of them, those that a foreign socket at the group's own address gets" "$arrived" 0
	is "the socket at the group's own address is shown, but not marked" "$(status '.listeners[0].foreign_sockets[0].takes_traffic, [.warnings[] | select(test("outside"))]' -l nfacctd | tr '\n' ' ')" "false [] "
	like "the socket at the group's own address in the table" "$(ctl status || true)" "reuseportctl $foreign: at this port, in no bucket, gets nothing"
	kill $foreign
	wait $foreign
}

# ---- from elsewhere; and an object that does not count ----

look_from_elsewhere() {
	like "from another network namespace" "$(unshare -n "$reuseportctl" --pin-path "$bpffs/live" status || true)" \
		"^! queues and drops are unknown here: .*nsenter"
	stop_all live
}

show_an_object_without_counters() {
	config bare 2100 2 "reuseport_bpf_prog: $(foreign_object)"
	start_all bare 2
	like "an object that keeps nothing" "$("$reuseportctl" --pin-path "$bpffs/bare" status)" "^     1  live +- +- +- +- +0% +0$"
	like "nor can be given overrides" "$("$reuseportctl" --pin-path "$bpffs/bare" override add 10.0.0.0/8 1 2>&1 || true)" "no map 'overrides' is pinned in $bpffs/bare"
	like "nor tell who sends what" "$("$reuseportctl" --pin-path "$bpffs/bare" exporters 2>&1 || true)" "no map 'talkers' is pinned in $bpffs/bare"
	like "nor rebalance" "$("$reuseportctl" --pin-path "$bpffs/bare" rebalance 2>&1 || true)" "no map 'talkers' is pinned in $bpffs/bare"
	stop_all bare
}

show_a_group_that_is_well
count_what_was_received
say_where_exporters_are
look_and_be_killed
export_metrics
export_openmetrics
read_metrics_by_node_exporter
move_the_heaviest
compare_with_what_arrived
show_drops
show_foreign_sockets
show_foreign_socket_at_own_address
look_from_elsewhere
show_an_object_without_counters
done_testing
