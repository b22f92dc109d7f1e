#!/bin/sh
# reuseport_takeover: an instance that starts with an index in use gets that bucket's exporters; nobody else notices.
. "${0%/*}/lib.sh"
need_daemons
sandbox

send() {
	"$tools/exporter" netflow5 6 2100 exporters=100 ports=2 datagrams=5 rate=4000 >/dev/null
}

config live 2100 2
start_all live 2
send
config new 2100 2 "reuseport_pin_path: $bpffs/live" "reuseport_takeover: true"
start new 1
wait_for 20 is_up new 1
like "it joins with the index of another" "$(cat "$tmp/new-1.log")" "joined $bpffs/live as index 1 of 2 \(2 live"
ok "whose process still runs" kill -0 "$(pid_of live 1)"
send
stop_all live new

received live >"$tmp/live"
received new >"$tmp/new"
is "bucket 0: the same exporters, all that they sent" "$(awk '$2 == 0 && $3 != 20' "$tmp/live")" ""
awk '$2 == 1 {print $1, $3}' "$tmp/live" >"$tmp/before"
awk '{print $1, $3}' "$tmp/new" >"$tmp/after"
ok "bucket 1: the same exporters before at the old process and after at the new one" diff "$tmp/before" "$tmp/after"
is "all 100 are accounted for" "$(cut -d' ' -f1 "$tmp/live" | sort -u | wc -l)" 100
ok "and the taken bucket has some of them" [ -s "$tmp/after" ]

done_testing
