#!/bin/sh
# Sessions that an instance has no room for: it closes them at once, goes on to read the others, and says so, in its log and in `status`.
# Room is what *_max_peers allow, and the descriptors that select(2) knows, or that the process may have.
. "${0%/*}/lib/traffic.sh"
need_traffic
need jq perl prlimit ss
sandbox

# configure NAME PORT COUNT [LINE...]: a config of pmbmpd: $tmp/NAME.conf
configure() {
	local name="$1"
	{
		echo "bmp_daemon_port: $2"
		echo "reuseport_hashbucket_count: $3"
		echo "reuseport_bpf_prog: $object"
		echo "reuseport_pin_path: $bpffs/$name"
		shift 3
		printf '%s\n' "$@"
	} >"$tmp/$name.conf"
}

# begin NAME INDEX [COMMAND...]: a pmbmpd that this command executes, until it has joined
begin() {
	local name="$1" index="$2"
	shift 2
	run_daemon "$name" "$index" "$@" "$pmbmpd" -f "$tmp/$name.conf" -x "$index"
	await 20 has_line "$tmp/$name-$index.log" 'listener bmp joined' || die "index $index of $name does not start"
}

# status NAME FILTER: of its only listener's buckets
status() {
	"$reuseportctl" --pin-path "$bpffs/$1" --json status | jq -c ".listeners[0].buckets | $2"
}

# sessions PORT: how many sessions are up
sessions() {
	ss -Htn state established sport = :"$1" | wc -l
}

# has_sessions PORT LEAST MOST
has_sessions() {
	[ "$(sessions "$1")" -ge "$2" ] && [ "$(sessions "$1")" -le "$3" ]
}

# refuses_more NAME N: whether index 0 has refused more than N sessions
refuses_more() {
	[ "$(status "$1" '.[0].sessions_refused')" -gt "$2" ]
}

# ---- max_peers is not set: 4, in the development branch 10 ----

unset_max_peers() {
	local most
	configure few 1790 2 "reuseport_nonce: 42"
	begin few 0 sh -c 'ulimit -Sn 256 && exec "$@"' sh
	begin few 1
	like "bmp_daemon_max_peers is not set: it says what that means" "$(cat "$tmp/few-0.log")" \
		'^WARN.* bmp_daemon_max_peers is not set: this instance takes (4|10) sessions'
	most=$(sed -n 's/.*this instance takes \([0-9]*\) sessions.*/\1/p' "$tmp/few-0.log")
	is "its limit of open files is raised as far as select() goes" "$(awk '/^Max open files/ {print $4}' "/proc/$(pid_of few 0)/limits")" 1024
	# more than can have a session belong to either
	start_routers few bmp 1790 $((5 * most / 2))
	ok "$((5 * most)) routers: $most of them have a session with each instance" await 20 has_sessions 1790 $((2 * most)) $((2 * most))
	ok "the others are refused, again and again, by both" await 20 both_refuse
	like "which their logs say" "$(cat "$tmp/few-0.log")" \
		'^WARN.*: listener bmp refuses sessions, [0-9]+ more by now, for bmp_daemon_max_peers is '"$most: set it"
	one_line_a_minute few
	ok "and that a failover brings more than there is room for" await 10 has_line "$tmp/few-0.log" \
		"^WARN.*: listener bmp has $most sessions with 2 instances live: if one of them ends, about $((2 * most)) come to each other one, but bmp_daemon_max_peers is $most"
	check_marks
	kill_routers few
}

# one_line_a_minute NAME: of hundreds of refusals, no more lines than there were minutes, and the first
one_line_a_minute() {
	local lines most=$((1 + $(ms_since "$began") / 60000))
	lines=$(grep -c ' refuses sessions, ' "$tmp/$1-0.log" || true)
	ok "in $lines lines, of which there is one a minute: at most $most" [ "$lines" -ge 1 -a "$lines" -le "$most" ]
}

both_refuse() {
	[ "$(status few 'all(.[]; .sessions_refused >= 8)')" = true ]
}

check_marks() {
	local out metrics
	out=$("$reuseportctl" --pin-path "$bpffs/few" status || true)
	like "so does status" "$out" '^! bucket 0 of bmp \(pid [0-9]+\) has refused [0-9]+ sessions for want of room: raise its \*_max_peers'
	metrics=$("$reuseportctl" --pin-path "$bpffs/few" --openmetrics status || true)
	is "and metrics, for each bucket" "$(echo "$metrics" | grep -c '^reuseport_sessions_refused_total{.*listener="bmp".*} [1-9]')" 2
}

# kill_routers NAME: those that are refused have no session that could end
kill_routers() {
	stop_routers "$1"
	at_least "$1: sessions that were closed" "$ended" 1
}

# ---- descriptors ----

# few_descriptors: an instance that has 960 files open from the start
few_descriptors() {
	local room
	configure narrow 1791 1 "bmp_daemon_max_peers: 100" "bmp_daemon_msglog_file: $tmp/narrow.json"
	# shellcheck disable=SC2016 # Perl's
	begin narrow 0 perl -e '$^F = 5000; open($files[$_], "<", "/dev/null") or die for 1 .. 960; exec @ARGV'
	like "when it begins to read, it says that there is no room for all that bmp_daemon_max_peers allows" "$(cat "$tmp/narrow-0.log")" \
		'^WARN.* \*_max_peers allow 100 sessions, which take 100 descriptors; 9[0-9]{2} are open, and below 1008 there is room for [0-9]+: '
	room=$(sed -n 's/.*below 1008 there is room for \([0-9]*\):.*/\1/p' "$tmp/narrow-0.log")
	start_routers narrow bmp 1791 30
	ok "60 routers: many are refused" await 20 refuses_more narrow 60
	ok "there are sessions up to descriptor 1007: $room, but for the log and one more" await 20 has_sessions 1791 $((room - 3)) "$room"
	like "which its log says" "$(cat "$tmp/narrow-0.log")" \
		'^WARN.*: listener bmp refuses sessions, [0-9]+ more by now, for it has no descriptor left for them below 1008: start more instances'
	is "those that it has are all read" "$(ss -Htn state established sport = :1791 | awk '$1 > 0' | wc -l)" 0
	one_line_a_minute narrow
	no_descriptors
}

# no_descriptors: all that the process may have are in use, so that accept() fails
no_descriptors() {
	local before
	prlimit --pid "$(pid_of narrow 0)" --nofile=1008:
	before=$(status narrow '.[0].sessions_refused')
	ok "accept() finds no descriptor: sessions are refused nevertheless" await 20 refuses_more narrow $((before + 60))
	prlimit --pid "$(pid_of narrow 0)" --nofile=1024:
	kill_routers narrow
	ok "when they have gone, there is room again" await 20 has_sessions 1791 0 0
	start_routers again bmp 1791 5
	ok "10 routers: all have sessions" await 20 routers_are_up again
	stop_routers again
	is "of which none was closed" "$ended" 0
}

began=$(date +%s%N)
unset_max_peers
few_descriptors
for instance in few-0 few-1 narrow-0; do
	ok "$instance exits with 0" stopped INT "$(pid_of "${instance%-*}" "${instance#*-}")"
done
done_testing
