#!/bin/sh
# 600 BMP sessions over 3 instances, in pmbmpd and in nfacctd: when one stops they go to the others, when it is back they
# come home, spread over some seconds, and nobody else's session is touched. Without failover nothing is ever closed.
. "${0%/*}/lib.sh"
need_daemons
need jq
sandbox

# configure NAME COUNT [LINE...]: a config for each of pmbmpd and nfacctd, and for each index: $tmp/NAME-INDEX.conf
configure() {
	config "$1" 2100 "$2" "bmp_daemon: true" "bmp_daemon_port: 1790" "bmp_daemon_max_peers: 700"
	mv "$tmp/$1.conf" "$tmp/all.conf"
	name=$1
	shift 2
	for i in 0 1 2; do
		{
			if [ "$daemon" = "$nfacctd" ]; then cat "$tmp/all.conf"; else grep -E '^(reuseport|bmp_daemon_)' "$tmp/all.conf"; fi
			echo "bmp_daemon_msglog_file: $tmp/$name-$i.json"
			printf '%b\n' "$@"
		} >"$tmp/$name-$i.conf"
	done
}

# up NAME INDEX...: starts them, and waits until they read
up() {
	name=$1
	shift
	for i in "$@"; do
		"$daemon" -f "$tmp/$name-$i.conf" -x "$i" >"$tmp/$name-$i.log" 2>&1 &
		echo $! >"$tmp/$name-$i.pid"
	done
	for i in "$@"; do
		wait_for 30 grep -q "$reads" "$tmp/$name-$i.log" || die "$name $i: $(cat "$tmp/$name-$i.log")"
	done
}

# connect ROUTERS: from IPv4 and IPv6, half of them each; and waits until all are up
connect() {
	for family in 4 6; do
		"$tools/exporter" bmp $family 1790 exporters=$(($1 / 2)) ports=1 >"$tmp/routers$family" &
		echo $! >>"$tmp/routers"
	done
	wait_for 60 connected
}

connected() {
	[ "$(grep -c sessions "$tmp/routers4" "$tmp/routers6" | grep -c ':1')" -eq 2 ]
}

# disconnect: how many sessions had ended before is in $ended
disconnect() {
	while read -r p; do kill "$p" && wait "$p"; done <"$tmp/routers"
	rm "$tmp/routers"
	ended=$(awk '/ended/ {n += $1} END {print n}' "$tmp/routers4" "$tmp/routers6")
}

# inits NAME: lines "router index", of those sessions that began since the last rewind
inits() {
	for i in 0 1 2; do
		[ ! -f "$tmp/$1-$i.json" ] ||
			jq -r --arg i $i 'select(.bmp_msg_type == "init") | .bmp_router + " " + $i' "$tmp/$1-$i.json"
	done | sort
}

have_begun() {
	[ "$(inits "$1" | wc -l)" -ge "$2" ]
}

rewind() {
	for i in 0 1 2; do : >"$tmp/$1-$i.json"; done
}

for daemon in "$pmbmpd" "$nfacctd"; do
	group=${daemon##*/}
	reads=$([ "$daemon" = "$nfacctd" ] && echo 'waiting for NetFlow' || echo 'listener bmp joined')
	configure "$group" 3
	up "$group" 0 1 2
	since=$(date +%s%N)
	ok "$group: 600 sessions come up" connect 600
	diag "$group: 600 sessions connect at once in $(ms_since "$since") ms"
	ok "$group: all have been read" wait_for 10 have_begun "$group" 600
	inits "$group" >"$tmp/first"
	is "$group: from 600 routers" "$(cut -d' ' -f1 "$tmp/first" | sort -u | wc -l)" 600
	away=$(grep -c ' 1$' "$tmp/first")

	rewind "$group"
	ok "$group: index 1 stops" stopped TERM "$(pid_of "$group" 1)"
	ok "$group: its $away sessions find the others" wait_for 20 have_begun "$group" "$away"
	grep ' 1$' "$tmp/first" >"$tmp/home"
	inits "$group" >"$tmp/moved"
	ok "$group: and nobody else's moves" [ "$(cut -d' ' -f1 "$tmp/moved")" = "$(cut -d' ' -f1 "$tmp/home")" ]

	rewind "$group"
	up "$group" 1
	since=$(date +%s%N)
	ok "$group: when it is back they come home" wait_for 30 have_begun "$group" "$away"
	took=$(ms_since "$since")
	ok "$group: within 15 s after the 5 s of grace: $took ms" [ "$took" -lt 20000 ]
	inits "$group" >"$tmp/back"
	ok "$group: all of them, to index 1, and no other" cmp "$tmp/back" "$tmp/home"
	jq -r 'select(.bmp_msg_type == "init") | .timestamp_arrival[:19]' "$tmp/$group-1.json" | sort | uniq -c |
		awk '{print $1}' | sort -n >"$tmp/by_second"
	most=$(tail -n 1 "$tmp/by_second")
	ok "$group: spread over $(wc -l <"$tmp/by_second") seconds, at most $most in one" [ "$most" -lt $((away / 4)) ]
	disconnect
	is "$group: sessions ended in all: those that left and came home" "$ended" $((away * 2))
	diag "$group: $away sessions of index 1 came home in $took ms, at most $most in a second; no other was touched"
	for i in 0 1 2; do kill -INT "$(pid_of "$group" $i)"; done
	for i in 0 1 2; do wait "$(pid_of "$group" $i)" || true; done
done

daemon=$pmbmpd reads='listener bmp joined'
configure off 2 "reuseport_failover: false"
up off 0 1
connect 60
wait_for 10 have_begun off 60
rewind off
"$reuseportctl" --pin-path "$bpffs/off" resize 3 >/dev/null
configure off 3 "reuseport_failover: false"
up off 2
sleep 17
disconnect
is "without failover, 17 s after a third of the sessions got another owner, ended" "$ended" 0
done_testing
