#!/bin/sh
# Connections that wait to be accepted when their listener ends are not reset: the kernel hands them to a live one.
. "${0%/*}/lib.sh"
need_daemons
need jq
# 5.10's later versions have the sysctl, and migrate nothing
[ "$(printf '5.14\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 5.14 ] || skip_all "Linux before 5.14 migrates no connections: they are reset"
sandbox

for i in 0 1; do
	printf '%s\n' "bmp_daemon_port: 1790" "bmp_daemon_max_peers: 100" "bmp_daemon_msglog_file: $tmp/bmp-$i.json" \
		"reuseport_hashbucket_count: 2" "reuseport_bpf_prog: $object" "reuseport_pin_path: $bpffs/bmp" >"$tmp/bmp-$i.conf"
	"$pmbmpd" -f "$tmp/bmp-$i.conf" -x $i >"$tmp/bmp-$i.log" 2>&1 &
	echo $! >"$tmp/bmp-$i.pid"
	wait_for 10 grep -q joined "$tmp/bmp-$i.log"
done

# begun INDEX: how many sessions that instance has seen
begun() {
	jq -r 'select(.bmp_msg_type == "init") | .bmp_router' "$tmp/bmp-$1.json" 2>/dev/null | wc -l
}

# have INDEX N
have() {
	[ "$(begun "$1")" -ge "$2" ]
}

# waiting: how many connections nobody has accepted yet
waiting() {
	ss -Hltn 'sport = 1790' | awk '{n += $2} END {print n}'
}

# Both are held, so that all of them wait
for i in 0 1; do kill -STOP "$(pid_of bmp $i)"; done
for family in 4 6; do
	"$tools/exporter" bmp $family 1790 exporters=20 ports=1 >"$tmp/routers$family" &
	echo $! >>"$tmp/routers"
done
wait_for 10 grep -q sessions "$tmp/routers4"
wait_for 10 grep -q sessions "$tmp/routers6"
is "40 connections wait, in two queues" "$(waiting)" 40
ok "each has some" [ "$(ss -Hltn 'sport = 1790' | awk '$2 > 0' | wc -l)" -eq 2 ]
kill -KILL "$(pid_of bmp 0)"
wait "$(pid_of bmp 0)" 2>/dev/null || true
is "one listener is killed: all wait at the other" "$(waiting)" 40
kill -CONT "$(pid_of bmp 1)"
ok "which accepts and reads them" wait_for 10 have 1 40
is "no more and no less" "$(begun 1)" 40

# The same when an instance stops: what it has not accepted goes to the other, what it has ends
"$pmbmpd" -f "$tmp/bmp-0.conf" -x 0 >"$tmp/bmp-0.log" 2>&1 &
echo $! >"$tmp/bmp-0.pid"
wait_for 10 grep -q joined "$tmp/bmp-0.log"
while read -r p; do kill "$p" && wait "$p"; done <"$tmp/routers"
is "of the routers' sessions ended meanwhile" "$(awk '/ended/ {n += $1} END {print n}' "$tmp"/routers?)" 0
rm "$tmp/routers"
kill -STOP "$(pid_of bmp 0)"
"$tools/exporter" bmp 6 1790 exporters=40 ports=1 >"$tmp/routers6" &
router=$!
wait_for 10 grep -q sessions "$tmp/routers6"
held=$(waiting)
before=$(begun 1)
kill -TERM "$(pid_of bmp 0)"
kill -CONT "$(pid_of bmp 0)"
ok "an instance stops with $held connections that it has not accepted" wait "$(pid_of bmp 0)"
ok "all of them go to the other" wait_for 5 have 1 $((before + held))
kill $router && wait $router
ended=$(awk '/ended/ {print $1}' "$tmp/routers6")
ok "$ended sessions ended: at most one, accepted at the last moment" [ "$ended" -le 1 ]
kill -INT "$(pid_of bmp 1)"
wait "$(pid_of bmp 1)"
done_testing
