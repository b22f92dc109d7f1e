#!/bin/sh
# One of two plugins dies: the instance leaves as if it was stopped, so that its exporters are with others at once, and nothing is lost but
# what only that plugin was to write. With plugin_exit_any: false it runs on with the other one.
. "${0%/*}/lib/traffic.sh"
need_traffic
sandbox

# of one period, in which a flow was sent
ms=50

# A config for each index, whose plugin q writes to a file of its own
set_up() {
	local i
	config "$1" 2100 3 "$by_period" "plugins: print[p], print[q]" "aggregate[q]: peer_src_ip, dst_port" "print_output[q]: csv" \
		"print_output_file_append[q]: true" "print_refresh_time[q]: 600" "print_output_file[p]: $tmp/$1-INDEX.csv" \
		"print_output_file[q]: $tmp/q$1-INDEX.csv" "$2"
	for i in 0 1 2; do sed "s/INDEX/$i/" "$tmp/$1.conf" >"$tmp/$1.$i"; done
}

# begin NAME INDEX...: starts them, and waits until they read
begin() {
	local name="$1" i
	shift
	for i in "$@"; do run_daemon "$name" "$i" "$nfacctd" -f "$tmp/$name.$i" -x "$i"; done
	for i in "$@"; do await 20 is_up "$name" "$i" || die "index $i of $name does not start"; done
}

# plugin NAME INDEX WHICH: its pid
plugin() {
	pgrep -P "$(pid_of "$1" "$2")" -f "Print Plugin \[$3\]"
}

# exits_with_1 PID
exits_with_1() {
	local status=0
	await 30 gone "$1" || return
	wait "$1" || status=$?
	[ "$status" -eq 1 ] || diag "pid $1 exits with $status"
	[ "$status" -eq 1 ]
}

# ---- one of two ----

kill_one_plugin() {
	local pid
	set_up live ''
	begin live 0 1 2
	began=$(date +%s%N)
	start_traffic mixed 2100 period=$ms
	sleep 2
	pid=$(pid_of live 1)
	kill -KILL "$(plugin live 1 q)"
	killed=$(($(ms_since "$began") / ms))
	ok "one of its two plugins is killed: the instance exits with 1" exits_with_1 "$pid"
	like "it says why" "$(cat "$tmp/live-1.log")" "WARN .* plugin q-print has ended \(signal 9\)\. Draining, then exiting with status 1\."
	like "it has read what was queued" "$(cat "$tmp/live-1.log")" "reuseport: drained: handled"
	sleep 1
	mv "$tmp/live-1.log" "$tmp/before.log"
	begin live 1
	sleep 1
}

# lost_of_q FROM: flows sent from that period on that no q has written
lost_of_q() {
	missing qlive >"$tmp/missing"
	total_lost "$1"
}

check_one_plugin() {
	local lost from=$((killed + 1000 / ms))
	stop_traffic
	stop_all live
	nothing_lost live
	at_least "flows sent from a second after the kill on" "$(total_sent $from)" 20000
	lost=$(lost_of_q 0)
	ok "the dead plugin has lost something: $lost of $(total_sent) flows" [ "$lost" -gt 0 ]
	is "of $(total_sent $from) flows sent from a second after the kill on, its like have lost" "$(lost_of_q $from)" 0
	received_by_period live >"$tmp/received"
	awk -v from="$killed" '$2 < from && $4 == 1 {print $1}' "$tmp/received" | sort -u >"$tmp/own"
	ok "it had exporters" [ -s "$tmp/own" ]
	is "flows that the dead plugin has lost of other instances' exporters" \
		"$(awk 'own == 1 {mine[$1]; next} $3 > 0 && !($1 in mine) {n += $3} END {print n + 0}' own=1 "$tmp/own" own=0 "$tmp/missing")" 0
}

# ---- plugin_exit_any: false ----

# in_bucket NAME INDEX: whether the group knows it as the owner
in_bucket() {
	"$reuseportctl" --pin-path "$bpffs/$1" status | grep -q " $(pid_of "$1" "$2") "
}

zombies() {
	pgrep -P "$1" -r Z | wc -l
}

keep_the_other() {
	local pid
	set_up stays "plugin_exit_any: false"
	begin stays 0
	pid=$(pid_of stays 0)
	kill -KILL "$(plugin stays 0 q)"
	ok "plugin_exit_any: false: it says that it runs on" await 10 has_line "$tmp/stays-0.log" \
		'plugin q-print has ended \(signal 9\)\. The instance runs on without it, as plugin_exit_any is false'
	is "plugin_exit_any: false: zombies" "$(zombies "$pid")" 0
	ok "plugin_exit_any: false: it is in its bucket" in_bucket stays 0
	"$tools/exporter" netflow5 4 2100 exporters=10 ports=1 datagrams=100 rate=2000 >"$tmp/sent"
	await 20 queues_empty 2100 || true
	ok "plugin_exit_any: false: stopped, it exits with 0" stopped INT "$pid"
	is "plugin_exit_any: false: of $(cat "$tmp/sent") flows, the other plugin has written" \
		"$(received_by_period stays | awk '{n += $3} END {print n + 0}')" 1000
	begin stays 0
	pid=$(pid_of stays 0)
	kill -STOP "$pid"
	kill -KILL "$(plugin stays 0 p)" "$(plugin stays 0 q)"
	kill -CONT "$pid"
	ok "plugin_exit_any: false: both are killed at once, and it exits with 1" exits_with_1 "$pid"
	rm "$tmp/stays-0.pid"
}

# ---- one that ends while the instance starts ----

# A label is what the formatted output cannot have
fail_to_start() {
	set_up fails "aggregate[q]: label\nprint_output[q]: formatted"
	run_daemon fails 0 "$nfacctd" -f "$tmp/fails.0" -x 0
	ok "a plugin that ends while the instance starts: that one exits with 1" exits_with_1 "$(pid_of fails 0)"
	like "it says why" "$(cat "$tmp/fails-0.log")" 'plugin q-print has ended \((while the instance started|exit status 1)\)\. Draining'
	rm "$tmp/fails-0.pid"
}

kill_one_plugin
check_one_plugin
keep_the_other
fail_to_start
done_testing
