#!/bin/sh
# A plugin that does not read what its core has for it takes away its instance's share only, for seconds: the instance says so, and leaves its
# bucket before anything is overwritten. When the plugin goes on, it reads and writes what there was, and the instance ends.
. "${0%/*}/lib/traffic.sh"
need_traffic
need jq
sandbox

# Small, so that it is full in a second
small_ring="plugin_pipe_size: 200000\nplugin_buffer_size: 2000\nreuseport_nonce: 42"
zmq="plugin_pipe_zmq: true"

# ---- steps ----

# send PORT FLOWS RATE: 60 exporters; adds the number of flows to $sent
send() {
	local flows
	flows=$("$tools/exporter" netflow5 4 "$1" exporters=60 ports=1 datagrams=$(($2 / 60)) rate="$3")
	sent=$((sent + flows))
}

# served_by NAME INDEX: all exporters are at that instance
served_by() {
	[ "$(seq -f 10.0.0.%.0f 60 | xargs "$reuseportctl" --pin-path "$bpffs/$1" where --json | jq "[.[] | select(.served_by == $2)] | length")" -eq 60 ]
}

# plugins_of NAME INDEX
plugins_of() {
	pgrep -P "$(pid_of "$1" "$2")"
}

# leaves NAME: the assertions: index 0 does, and index 1 has all exporters
leaves() {
	ok "$1: its instance says so" await 60 has_line "$tmp/$1-0.log" '^WARN .*: plugin p-print, pid [0-9]+, has not read for more than 5 s what this instance has for it\. Its exporters go'
	ok "$1: and its exporters are with the other one" await 10 served_by "$1" 1
	like "$1: status says why" "$("$reuseportctl" --pin-path "$bpffs/$1" status)" "^! pid $(pid_of "$1" 0) at bucket 0 of nfacctd did not read for seconds"
}

# ends NAME: the assertions: index 0 does when its plugin goes on, and nothing is lost
ends() {
	local written full
	ok "$1: when the plugin goes on, the instance leaves" await 60 gone "$(pid_of "$1" 0)"
	is "$1: it has said once that the plugin does not read" "$(grep -c 'what this instance has for it' "$tmp/$1-0.log")" 1
	stop_all "$1"
	received "$1" >"$tmp/received"
	written=$(total_received)
	full=$(($(full_buffers) - full_before))
	at_least "$1: flows sent" "$sent" 600
	is "$1: of $sent flows, written or dropped at full buffers ($full)" $((written + full)) "$sent"
}

# configure NAME PORT [LINE...]: a group of two, which has been sent nothing yet
configure() {
	local name="$1" port="$2"
	shift 2
	sent=0 full_before=$(full_buffers)
	config "$name" "$port" 2 "$small_ring" "$@"
}

# ---- what hangs ----

# stop_plugin NAME PORT FIRST RATE [LINE...]: of two instances, the plugin of index 0 is stopped when it has read its share of the FIRST flows
stop_plugin() {
	local name="$1" port="$2" first="$3" rate="$4" plugin
	shift 4
	configure "$name" "$port" "$@"
	start_all "$name" 2
	plugin=$(plugins_of "$name" 0)
	if [ "$first" -gt 0 ]; then
		send "$port" "$first" 1000
		await 20 queues_empty "$port"
		await 20 reads "$name" 0
	fi
	kill -STOP "$plugin"
	send "$port" 6000 "$rate"
	leaves "$name"
	kill -CONT "$plugin"
	ends "$name"
}

# hold_networks NAME, release_networks NAME: the plugin of an instance that starts in between waits, before it looks for flows, for its networks_file
hold_networks() {
	mkfifo "$tmp/$1.fifo"
	ln -f "$tmp/$1.fifo" "$tmp/$1.networks"
}

release_networks() {
	write_networks "$1"
	# not >: that would wait for a reader
	: <>"$tmp/$1.fifo"
}

# write_networks NAME: who reads it from now on does not wait
write_networks() {
	echo 192.0.2.0/24 >"$tmp/$1.networks.new"
	mv "$tmp/$1.networks.new" "$tmp/$1.networks"
}

# start_held NAME: index 0
start_held() {
	run_daemon "$1" 0 "$nfacctd" -f "$tmp/$1.conf" -x 0 -o "$tmp/$1-0.csv"
	await 20 has_line "$tmp/$1-0.log" 'cache entries=' || die "the plugin of index 0 of $1 does not start"
	await 20 reads "$1" 0
}

# begin_late NAME PORT [LINE...]: the plugin of index 0 takes long to begin, while index 1 reads: it does not join before that
begin_late() {
	local name="$1" port="$2"
	configure "$@" "networks_file[p]: $tmp/$1.networks"
	write_networks "$name"
	start_and_wait "$name" 1
	rm "$tmp/$name.networks"
	hold_networks "$name"
	start_held "$name"
	ok "$name: its instance says that its plugin does not read" await 60 has_line "$tmp/$name-0.log" '^WARN .*: a plugin does not read yet, after [0-9]+ s: this instance joins when it does'
	send "$port" 6000 5000
	ok "$name: and its exporters are with the other one" served_by "$name" 1
	release_networks "$name"
	ok "$name: when the plugin reads, the instance joins" await 60 has_line "$tmp/$name-0.log" 'listener nfacctd joined'
	send "$port" 6000 5000
	stop_all "$name"
	received "$name" >"$tmp/received"
	is "$name: of $sent flows, written or dropped at full buffers" $(($(total_received) + $(full_buffers) - full_before)) "$sent"
	at_least "$name: flows that index 0 has written" "$(awk '$2 == 0 {n += $3} END {print n + 0}' "$tmp/received")" 600
}

# never_begin NAME PORT [LINE...]: the plugin of index 0 does not begin. It reads nevertheless, as it is alone; until another one starts
never_begin() {
	local name="$1" port="$2"
	configure "$@" "networks_file[p]: $tmp/$1.networks"
	hold_networks "$name"
	start_held "$name"
	write_networks "$name"
	send "$port" 60 1000
	ok "$name: it reads" await 30 queues_empty "$port"
	is "$name: and does not say that it is ready" \
		"$("$reuseportctl" --pin-path "$bpffs/$name" status --json | jq -r '.listeners[0].buckets[0].state')" starting
	start_and_wait "$name" 1
	send "$port" 6000 5000
	leaves "$name"
	: <>"$tmp/$name.fifo"
	ends "$name"
}

# hang_alone: no other instance can serve; its other plugin gets everything
hang_alone() {
	local plugin
	sent=0 full_before=$(full_buffers)
	config alone 2106 1 "$small_ring" "plugins: print[p], print[q]" "aggregate[q]: peer_src_ip" "print_output[q]: csv" \
		"print_output_file[p]: $tmp/p.csv" "print_output_file[q]: $tmp/alone-0.csv" "print_refresh_time[q]: 600" "plugin_pipe_size[q]: 4000000"
	run_daemon alone 0 "$nfacctd" -f "$tmp/alone.conf" -x 0
	await 20 is_up alone 0 || die "it does not start"
	plugin=$(pgrep -P "$(pid_of alone 0)" -f 'Print Plugin \[p\]')
	send 2106 600 1000
	await 20 queues_empty 2106
	kill -STOP "$plugin"
	send 2106 60000 5000
	ok "alone: it says so" await 60 has_line "$tmp/alone-0.log" '^WARN .*: plugin p-print, pid [0-9]+, has not read for more than 5 s what this instance has for it\. No other instance can serve its exporters'
	ok "alone: it is in its bucket" await 10 [ "$("$reuseportctl" --pin-path "$bpffs/alone" status --json | jq '.listeners[0].buckets[0].live')" = true ]
	await 60 queues_empty 2106
	kill -CONT "$plugin"
	stop_all alone
	received alone >"$tmp/received"
	is "alone: of $sent flows, its other plugin has written, or dropped were at full buffers" \
		$(($(total_received) + $(full_buffers) - full_before)) "$sent"
}

stop_plugin slow 2101 600 1000
stop_plugin fast 2102 600 5000
stop_plugin unread 2103 0 5000
never_begin begins 2104
begin_late late 2109
hang_alone
"$nfacctd" -V 2>/dev/null | grep -q '^ZeroMQ' || {
	skip "plugin_pipe_zmq" "nfacctd was built without --enable-zmq"
	done_testing
	exit
}
stop_plugin zmq 2107 600 5000 "$zmq"
begin_late late_zmq 2110 "$zmq"
done_testing
