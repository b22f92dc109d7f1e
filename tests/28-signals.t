#!/bin/sh
# An instance answers each signal that pmacct has, whether datagrams come or not: SIGHUP reopens the log, SIGUSR1 prints statistics,
# SIGUSR2 reloads maps, SIGCHLD tells it that its plugin is gone. SIGINT and SIGTERM are in 28-stop.t.
. "${0%/*}/lib/traffic.sh"
need_daemons
sandbox

# start_daemon DAEMON NAME [LINE...]: one instance, whose log is a file that it opens itself, and which has a pre_tag_map
start_daemon() {
	local daemon="$1" name="$2"
	shift 2
	echo "set_tag=1 ip=0.0.0.0/0" >"$tmp/map"
	config "$name" 2100 1 "pre_tag_map: $tmp/map" "logfile: $tmp/$name.file" "$@"
	[ "$daemon" = nfacctd ] || sed -i "s/^nfacctd_port/sfacctd_port/; s/^nfacctd_pipe_size/sfacctd_pipe_size/" "$tmp/$name.conf"
	run_daemon "$name" 0 "$tree/src/$daemon" -f "$tmp/$name.conf" -x 0 -o "$tmp/$name-0.csv"
	await 20 has_line "$tmp/$name.file" "listener $daemon joined" || die "$name does not join"
	await 20 has_line "$tmp/$name.file" "cache entries=" || die "the plugin of $name does not start"
	# it catches signals once its plugin reads
	await 20 plugin_sleeps "$(pid_of "$name" 0)" || die "the plugin of $name does not read"
}

# plugin_sleeps PID: whether the plugins of that daemon wait for something to read
plugin_sleeps() {
	local plugin
	for plugin in $(pgrep -P "$1"); do
		grep -qs '^State:.S' "/proc/$plugin/status" || return 1
	done
}

# answers NAME WORDS: SIGHUP, SIGUSR1 and SIGUSR2 are answered
answers() {
	local file="$tmp/$1.file" pid
	pid=$(pid_of "$1" 0)
	mv "$file" "$file.old"
	kill -HUP "$pid"
	ok "$2: SIGHUP reopens the log" await 5 [ -e "$file" ]
	kill -USR1 "$pid"
	ok "$2: SIGUSR1 prints statistics" await 5 has_line "$file" 'NOTICE .*: \+\+\+'
	kill -USR2 "$pid"
	ok "$2: SIGUSR2 reloads the maps" await 5 has_line "$file" "\[$tmp/map\] map successfully \(re\)loaded"
}

# notices_its_plugin NAME WORDS: the plugin dies
notices_its_plugin() {
	local pid
	pid=$(pid_of "$1" 0)
	kill -KILL "$(pgrep -P "$pid")"
	ok "$2: SIGCHLD, as the plugin is gone: it ends" await 20 gone "$pid"
	like "$2: and says why" "$(cat "$tmp/$1.file")" 'plugin .* has ended \(signal 9\)\. Draining, then exiting with status 1\.'
	wait "$pid" || true
	rm "$tmp/$1-0.pid"
}

# notices_both_plugins: two die at once, for which the kernel sends one SIGCHLD
notices_both_plugins() {
	local pid
	start_daemon nfacctd twice "plugins: print[p], print[q]" "aggregate[q]: peer_src_ip" "print_output_file[q]: $tmp/q.csv"
	pid=$(pid_of twice 0)
	kill -STOP "$pid"
	# shellcheck disable=SC2046 # two pids
	kill -KILL $(pgrep -P "$pid")
	kill -CONT "$pid"
	ok "two plugins die at once: the instance ends" await 20 gone "$pid"
	wait "$pid" || true
	rm "$tmp/twice-0.pid"
}

# idle_and_busy DAEMON NAME PROTOCOL WORDS [LINE...]
idle_and_busy() {
	local daemon="$1" name="$2" protocol="$3" words="$4" exporters
	shift 4
	start_daemon "$daemon" "$name" "$@"
	answers "$name" "$words, idle"
	"$tools/exporter" "$protocol" 4 2100 datagrams=0 rate=1000000 >"$tmp/$name.sent" &
	exporters=$!
	answers "$name" "$words, with as many datagrams as can be sent"
	kill $exporters
	wait $exporters
	ok "$words: there were datagrams" [ "$(cat "$tmp/$name.sent")" -gt 1000 ]
	notices_its_plugin "$name" "$words"
}

idle_and_busy nfacctd one netflow5 nfacctd
idle_and_busy nfacctd two netflow5 "nfacctd with a templates port" "nfacctd_templates_port: 2101"
idle_and_busy sfacctd sflow sflow sfacctd
notices_both_plugins
done_testing
