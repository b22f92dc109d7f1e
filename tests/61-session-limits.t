#!/bin/sh
# Sessions that an instance has no room for: it closes them at once, goes on to read the others, and says so, in its log and in `status`.
# Room is what *_max_peers allow, and the descriptors that select(2) knows, or that the process may have. So with BMP, BGP and telemetry.
. "${0%/*}/lib/traffic.sh"
need_traffic
need jq perl prlimit ss
sandbox

# choose bmp|bgp|telemetry_tcp: what the functions below are about
choose() {
	listener=$1
	case $1 in
	bmp) daemon=pmbmpd routers=bmp keys=bmp_daemon port_key=bmp_daemon_port ;;
	bgp) daemon=pmbgpd routers=bgp keys=bgp_daemon port_key=bgp_daemon_port ;;
	telemetry_tcp) daemon=pmtelemetryd routers=telemetry_tcp keys=telemetry_daemon port_key=telemetry_daemon_port_tcp ;;
	esac
}

# configure NAME PORT COUNT [LINE...]: a config of the daemon: $tmp/NAME.conf
configure() {
	local name="$1"
	{
		echo "$port_key: $2"
		[ "$listener" != telemetry_tcp ] || echo "telemetry_daemon_decoder: json"
		echo "reuseport_hashbucket_count: $3"
		echo "reuseport_bpf_prog: $object"
		echo "reuseport_pin_path: $bpffs/$name"
		shift 3
		printf '%s\n' "$@"
	} >"$tmp/$name.conf"
}

# begin NAME INDEX [COMMAND...]: a daemon that this command executes, until it has joined
begin() {
	local name="$1" index="$2"
	shift 2
	run_daemon "$name" "$index" "$@" "$tree/src/$daemon" -f "$tmp/$name.conf" -x "$index"
	await 20 has_line "$tmp/$name-$index.log" "listener $listener joined" || die "index $index of $name does not start"
	echo "$name $index" >>"$tmp/begun"
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
	choose bmp
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

# set_max_peers LISTENER PORT: three sessions
set_max_peers() {
	local name="three_$1"
	choose "$1"
	configure "$name" "$2" 1 "${keys}_max_peers: 3"
	begin "$name" 0
	start_routers "$name" "$routers" "$2" 5
	ok "$1: 10 routers, of which three may have sessions: the others are refused, again and again" await 20 refuses_more "$name" 20
	ok "three have sessions" await 10 has_sessions "$2" 3 3
	like "which its log says" "$(cat "$tmp/$name-0.log")" "^WARN.*: listener $1 refuses sessions, [0-9]+ more by now, for ${keys}_max_peers is 3: set it"
	one_line_a_minute "$name"
	like "so does status" "$("$reuseportctl" --pin-path "$bpffs/$name" status || true)" \
		"^! bucket 0 of $1 \(pid [0-9]+\) has refused [0-9]+ sessions for want of room: raise its \*_max_peers"
	kill_routers "$name"
}

both_refuse() {
	[ "$(status few 'all(.[]; .sessions_refused >= 8)')" = true ]
}

check_marks() {
	local out metrics
	out=$("$reuseportctl" --pin-path "$bpffs/few" status || true)
	like "so does status" "$out" '^! bucket 0 of bmp \(pid [0-9]+\) has refused [0-9]+ sessions for want of room: raise its \*_max_peers'
	metrics=$("$reuseportctl" --pin-path "$bpffs/few" --prometheus status || true)
	is "and metrics, for each bucket" "$(echo "$metrics" | grep -c '^reuseport_sessions_refused_total{.*listener="bmp".*} [1-9]')" 2
}

# kill_routers NAME: those that are refused have no session that could end
kill_routers() {
	stop_routers "$1"
	at_least "$1: sessions that were closed" "$ended" 1
}

# ---- descriptors ----

# few_descriptors LISTENER PORT: an instance that has 960 files open from the start
few_descriptors() {
	local name="narrow_$1" room
	choose "$1"
	configure "$name" "$2" 1 "${keys}_max_peers: 100" "${keys}_msglog_file: $tmp/$name.json"
	# shellcheck disable=SC2016 # Perl's
	begin "$name" 0 perl -e '$^F = 5000; open($files[$_], "<", "/dev/null") or die for 1 .. 960; exec @ARGV'
	ok "$1: when it begins to read, it says that there is no room for all that ${keys}_max_peers allows" await 10 has_line "$tmp/$name-0.log" \
		'^WARN.* \*_max_peers allow 100 sessions, which take 100 descriptors; 9[0-9]{2} are open, and below 1008 there is room for [0-9]+: '
	room=$(sed -n 's/.*below 1008 there is room for \([0-9]*\):.*/\1/p' "$tmp/$name-0.log")
	begin_without_any "$name" "$2"
	ok "60 routers: many are refused" await 20 refuses_more "$name" 60
	ok "there are sessions up to descriptor 1007: $room, but for the log and one more" await 20 has_sessions "$2" $((room - 3)) "$room"
	like "which its log says" "$(cat "$tmp/$name-0.log")" \
		"^WARN.*: listener $1 refuses sessions, [0-9]+ more by now, for it has no descriptor left for them below 1008: start more instances"
	is "those that it has are all read" "$(ss -Htn state established sport = :"$2" | awk '$1 > 0' | wc -l)" 0
	one_line_a_minute "$name"
	no_descriptors "$name" "$2"
}

# begin_without_any NAME PORT: more are open than the process may have, so that accept() fails, and there is none to refuse with
begin_without_any() {
	limit_files "$1" 500
	start_routers "$1" "$routers" "$2" 30
	ok "no descriptor for one session: its log says that they wait" await 20 has_line "$tmp/$1-0.log" \
		"^WARN.*: listener $listener can neither accept sessions nor refuse them, so that they wait, for it has no descriptor left for them below 484: raise LimitNOFILE="
	is "sessions that it has refused" "$(status "$1" '.[0].sessions_refused')" 0
	limit_files "$1" 1024
}

# no_descriptors NAME PORT: all that the process may have are in use, so that accept() fails
no_descriptors() {
	local before
	limit_files "$1" 1008
	before=$(status "$1" '.[0].sessions_refused')
	ok "accept() finds no descriptor: sessions are refused nevertheless" await 20 refuses_more "$1" $((before + 60))
	limit_files "$1" 1024
	kill_routers "$1"
	ok "when they have gone, there is room again" await 20 has_sessions "$2" 0 0
	start_routers again "$routers" "$2" 5
	ok "10 routers: all have sessions" await 20 routers_are_up again
	stop_routers again
	is "of which none was closed" "$ended" 0
}

# limit_files NAME N: how many descriptors index 0 may have
limit_files() {
	prlimit --pid "$(pid_of "$1" 0)" --nofile="$2:"
}

began=$(date +%s%N)
unset_max_peers
set_max_peers bgp 1179
set_max_peers telemetry_tcp 1620
few_descriptors bmp 1791
few_descriptors bgp 1180
few_descriptors telemetry_tcp 1621
while read -r name index; do
	ok "$name-$index exits with 0" stopped INT "$(pid_of "$name" "$index")"
done <"$tmp/begun"
done_testing
