#!/bin/sh
# The companion without a daemon: its own pair, listen and connect, is the group and the exporters.
. "${0%/*}/lib.sh"
need_root
need jq strace flock script mandoc bash
[ -x "$reuseportctl" ] && [ -f "$object" ] || skip_all "not built: run make bpf"
sandbox
sysctl -qw net.ipv6.ip_nonlocal_bind=1
pins=$bpffs/pmacct

ctl() {
	"$reuseportctl" "$@" 2>&1
}

# says NAME STATUS REGEX ARGUMENT...: its one line, and its exit status
says() {
	assertion=$1 wanted=$2 regex=$3
	shift 3
	out=$(ctl "$@") && status=0 || status=$?
	like "$assertion" "$status, $(printf '%s\n' "$out" | wc -l) line: $out" "^$wanted, 1 line: (reuseportctl: )?$regex"
}

# listens ARGUMENT...: in the background, until it does; its pid in $pid, its output in $tmp/listen
listens() {
	"$reuseportctl" "$@" >"$tmp/listen" 2>&1 &
	pid=$!
	wait_for 10 grep -q 'Ctrl-C ends it' "$tmp/listen" || die "listen does not: $(cat "$tmp/listen")"
}

ends() {
	kill "$1"
	wait "$1" || die "listen ends with $?"
}

# live_at BUCKET...: the others' instances have ended
live_at() {
	[ "$(ctl --json status | jq -r '[.listeners[0].buckets[] | select(.live).bucket] | join(" ")')" = "$*" ]
}

# received LISTENER: its counts by bucket
received() {
	ctl --json --listener "$1" status | jq -r '[.listeners[0].buckets[].received] | join(" ")'
}

# ---- the pair ----

says "no selector" 2 "listen needs the selector" listen 5000
listens --prog "$object" --count 3 listen 5000
out=$(ctl --exporters 50 connect 127.0.0.1 5000) && status=0 || status=$?
is "50 exporters, 3 ports, UDP and TCP: exit status" "$status" 0
like "none is split" "$out" "^50 exporters: bucket 0: [1-9][0-9]*; bucket 1: [1-9][0-9]*; bucket 2: [1-9][0-9]*; split over buckets: 0$"
is "each is where it is by the other transport" "$(printf '%s\n' "$out" | awk '/^(udp|tcp)/ {print $2, $3, $4}' | sort | uniq -c | awk '$1 != 2')" ""
printf '%s\n' "$out" | awk '/^udp/ {print $2, $4}' | sort >"$tmp/arrived"
cut -d' ' -f1 "$tmp/arrived" | ctl --listener listen_udp where - | awk 'NR > 1 {print $1, $2}' | sort >"$tmp/where"
ok "and where 'where' says" diff "$tmp/arrived" "$tmp/where"
is "listen printed all 300" "$(grep -cE '^(tcp|udp)  127\.' "$tmp/listen")" 300
is "status counted 150 of each" "$(received listen_udp | tr ' ' '+' | jq -nR 'input | split("+") | map(tonumber) | add') $(received listen_tcp | tr ' ' '+' | jq -nR 'input | split("+") | map(tonumber) | add')" "150 150"
out=$(ctl --exporters 300 --from 2001:db8::/64 connect ::1 5000)
like "300 exporters, IPv6: none is split" "$out" "^300 exporters: .*split over buckets: 0$"
out=$(ctl --exporters 50 --tcp connect 127.0.0.1 5001) && status=0 || status=$?
like "nobody there: all are refused, exit status $status" "$status $out" "50 exporters: refused or failed: 150; split over buckets: 0$"
is "and 3" "$status" 3
says "a second one of the same index" 1 "reuseport_hashbucket_index 1 is in use .* by reuseportctl pid $pid" --prog "$object" --index 1 listen 5000
says "another count" 1 "reuseport_hashbucket_count is 4 here, but 3 in the running group" --prog "$object" --count 4 --index 3 listen 5000

# ---- reading leaves no trace ----

flock -o "$pins" sleep 60 &
locker=$!
wait_for 5 not flock -n "$pins" true
ok "status does not wait for the lock" sh -c "timeout 5 '$reuseportctl' status >'$tmp/status'"
ok "nor does where" quietly timeout 5 "$reuseportctl" where 192.0.2.1
kill $locker
strace -f -e trace=bpf,flock -o "$tmp/strace" "$reuseportctl" status >/dev/null
grep -c 'bpf(BPF_OBJ_GET,' "$tmp/strace" >"$tmp/opened"
ok "it opens $(cat "$tmp/opened") pins, all for reading only" [ "$(grep -c 'bpf(BPF_OBJ_GET,.*BPF_F_RDONLY' "$tmp/strace")" -eq "$(cat "$tmp/opened")" ]
is "it locks and writes nothing" "$(grep -cE 'flock|BPF_MAP_(UPDATE|DELETE)|BPF_PROG|BPF_MAP_CREATE' "$tmp/strace")" 0

# ---- the table ----

is "no line is wider than a terminal" "$(awk 'length > 80' "$tmp/status")" ""
is "no colour in a pipe" "$(grep -c "$(printf '\033')" "$tmp/status")" 0
script -qec "$reuseportctl status" /dev/null >"$tmp/terminal"
ok "colour on a terminal" grep -q "$(printf '\033')\[1mlisten_tcp" "$tmp/terminal"
NO_COLOR=1 script -qec "$reuseportctl status" /dev/null >"$tmp/terminal"
is "but not with NO_COLOR" "$(grep -c "$(printf '\033')" "$tmp/terminal")" 0
like "who, since when, how much" "$(cat "$tmp/status")" "^     0  reuseportctl $pid +[0-9:]+ +[0-9]+ +[0-9]+% +0 +0% +0$"
"$reuseportctl" --watch=1 --listener listen_udp status >"$tmp/watch" &
watcher=$!
wait_for 10 grep -q 'the last [0-9.]* s of ' "$tmp/watch" || diag "$(cat "$tmp/watch")"
kill $watcher
like "--watch: later tables have what came in between" "$(sed '1,/the last/d' "$tmp/watch")" "^     0  reuseportctl .* 0    0%        0 "
"$reuseportctl" --watch=1 --json status >"$tmp/watch" &
watcher=$!
wait_for 10 sh -c "[ \$(wc -l <'$tmp/watch') -ge 2 ]"
kill $watcher
ok "--watch --json: an object a line" sh -c "head -n 2 '$tmp/watch' | jq -e .pin_path >/dev/null"

says "a listener that is not there" 1 "no listener nfacct in $pins" --listener nfacct where 10.0.0.1

# ---- overrides ----

ok "pin" quietly "$reuseportctl" pin 127.0.0.0/24 1
ok "pin a longer one" quietly "$reuseportctl" pin 127.0.0.7 2
ok "pin IPv6" quietly "$reuseportctl" pin 2001:db8::/65 0
like "effective at once, the longest prefix holds" "$(ctl connect 127.0.0.1 5000)" "^20 exporters: bucket 1: 114; bucket 2: 6; split over buckets: 0$"
like "IPv6 too" "$(ctl --from 2001:db8::/64 connect ::1 5000)" "^20 exporters: bucket 0: 120; split"
like "where says why" "$(ctl where 127.0.0.7 2001:db8:1::)" "^127.0.0.7 +2  listen_tcp +reuseportctl $pid +override$"
like "and in JSON" "$(ctl --json where 127.0.0.7 | jq -c '.[0]')" '"bucket":2,"by":"override","live":true,"served_by":2,"standin":false'
is "pins lists them" "$(ctl pins | tr '\n' ';')" "127.0.0.0/24 1;127.0.0.7/32 2;2001:db8::/65 0;"
ctl pins >"$tmp/saved"
cat >"$tmp/more" <<-END
	# two more
	10.0.0.0/8	2

	::/0 1 # everybody else
END
says "a file replaces them" 0 "$pins: overrides: 2, 3 before" --load "$tmp/more" pins
is "by what is in it" "$(ctl pins | tr '\n' ';')" "::/0 1;10.0.0.0/8 2;"
like "::/0 is IPv4 too" "$(ctl where 127.0.0.7)" "^127.0.0.7 +1  listen_tcp .*override$"
for bad in "10.0.0.1/8 1" "10.0.0.0/33 1" "10.0.0.0/8" "10.0.0.0/8 x" "10.0.0.0/8 1 2" "10.0.0.0/8 128"; do
	printf '10.1.0.0/16 0\n%s\n' "$bad" >"$tmp/bad"
	out=$(ctl --load "$tmp/bad" pins) && status=0 || status=$?
	like "a file with '$bad': refused" "$status: $out" "$tmp/bad, line 2: not 'PREFIX BUCKET': nothing was changed"
done
printf '10.1.0.0/16 0\n10.2.0.0/16 3\n' >"$tmp/bad"
says "a bucket that the group has not" 1 "bucket 3 for 10.2.0.0/16 is not one of the group $pins, which has 0 to 2: nothing was changed" --load "$tmp/bad" pins
printf '10.1.0.0/16 0\n::ffff:10.1.0.0/112 1\n' >"$tmp/bad"
says "a prefix twice" 1 "$tmp/bad has 10.1.0.0/16 twice: nothing was changed" --load "$tmp/bad" pins
seq 0 65536 | awk '{printf "10.%d.%d.%d/32 1\n", $1 / 65536, $1 / 256 % 256, $1 % 256}' >"$tmp/many"
says "one more than there is room for" 1 "65537 overrides are more than the 65536 that a group may have: nothing was changed" --load "$tmp/many" pins
is "and nothing was" "$(ctl pins | tr '\n' ';')" "::/0 1;10.0.0.0/8 2;"
head -n 65536 "$tmp/many" >"$tmp/all"
for ms in 0.05 0.1 0.2; do
	timeout "$ms" "$reuseportctl" --load "$tmp/all" pins >"$tmp/loaded" || true
	n=$(ctl pins | wc -l)
	ok "ended after $ms s: all or nothing ($n)" [ "$n" = 2 -o "$n" = 65536 ]
	quietly "$reuseportctl" --load "$tmp/more" pins
done
says "as many as there is room for" 0 "$pins: overrides: 65536, 2 before" --load - pins <"$tmp/all"
says "back to what was saved" 0 "$pins: overrides: 3, 65536 before" --load "$tmp/saved" pins
is "is as it was" "$(ctl pins)" "$(cat "$tmp/saved")"
ok "unpin" quietly "$reuseportctl" unpin 127.0.0.0/24
says "not there" 1 "127.0.0.0/24 is not among the overrides of the group $pins" unpin 127.0.0.0/24
says "shrinking past an override" 1 "cannot shrink the group $pins to 2 buckets: (an override has 127.0.0.7/32 in bucket 2|a bucket beyond)" resize 2
says "a bucket that is not there" 1 "bucket 9 for 10.0.0.0/8 is not one of the group" pin 10.0.0.0/8 9
: >"$tmp/none"
says "an empty file takes all away" 0 "$pins: overrides: 0, 2 before" --load "$tmp/none" pins
like "and the hash decides again" "$(ctl where 127.0.0.7)" "^127.0.0.7 .*hash$"

# ---- failover; a group whose bucket 2 is empty ----

ends "$pid"
listens --prog "$object" --count 3 --index 0 listen 5000
first=$pid
listens --prog "$object" --index 1 listen 5000
second=$pid
is "a new group counts from zero" "$(received listen_udp)" "0 0 0"
ctl connect 127.0.0.1 5000 >"$tmp/connect" && status=0 || status=$?
is "stand-ins: nobody is refused" "$status $(tail -n 1 "$tmp/connect" | grep -c refused)" "0 0"
awk '/^udp/ {print $2, $4}' "$tmp/connect" | sort >"$tmp/arrived"
cut -d' ' -f1 "$tmp/arrived" >"$tmp/exporters"
ctl --listener listen_udp --load "$tmp/exporters" where | awk 'NR > 1 {print $1, $2}' | sort >"$tmp/where"
ok "all are where 'where' says" diff "$tmp/arrived" "$tmp/where"
standin=$(ctl --json where 127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5 127.0.0.6 127.0.0.7 127.0.0.8 127.0.0.9 | jq -c '[.[] | select(.standin)][0] | .bucket, .by, .live' | tr '\n' ' ')
is "which names stand-ins" "$standin" '2 "hash" true '
is "status counts them" "$(ctl --json --listener listen_udp status | jq '[.listeners[0].buckets[].standin] | add > 0')" true
out=$(ctl status) && status=0 || status=$?
like "and marks the bucket, exit status $status" "$status $out" "^! bucket 2 is empty \(listen_tcp, listen_udp\): live ones stand in; start the instance with that index"
is "which is 3" "$status" 3
says "failover off" 0 "$pins: failover off, on before" failover off
out=$(ctl connect 127.0.0.1 5000) && status=0 || status=$?
like "refused now, exit status $status" "$status $out" "^20 exporters: .*refused or failed: [1-9]"
like "status says so" "$(ctl status || true)" "^! [1-9][0-9]* datagrams for listen_udp were refused: their bucket was empty"
out=$(ctl --load "$tmp/exporters" where) && status=0 || status=$?
like "where says so, with exit status $status" "$status $out" "listen_udp +refused +hash; it is empty$"
is "which is 3 too" "$status" 3
says "failover on again" 0 "$pins: failover on, off before" failover on
says "neither" 2 "failover takes 'on' or 'off', not 'maybe'" failover maybe

# ---- the end ----

says "a group that is live is not reset" 1 "the group $pins is live \(reuseportctl pid $first at index 0 of listener listen_tcp\): stop its instances first" reset
ends "$first"
ok "index 1 alone" wait_for 5 live_at 1
ends "$second"
like "a dead group" "$(ctl status || true)" "^! nobody is live in this group: .*'reuseportctl reset'$"
says "has nothing to steer" 1 "nobody is live in the group $pins: its settings come with the first instance" pin 10.0.0.0/8 1
mkdir "$pins/somebodys"
says "reset" 0 "$pins: [0-9]+ pins removed" reset
is "leaves what is not ours, and nothing else" "$(cd "$pins" && find . | sort | tr '\n' ' ')" ". ./somebodys "
rmdir "$pins/somebodys"
says "reset again" 0 "$pins: 0 pins removed" reset
ok "the directory stays: its user may not be able to make it again" [ -d "$pins" ]
says "nothing of a group there" 1 "no listener in $pins: give the group's reuseport_pin_path" status
says "nor for where" 1 "no listener in $pins: give the group's reuseport_pin_path" where 10.0.0.1
rmdir "$pins"
says "no group" 1 "no group at $pins" status
says "no group to steer" 1 "no group at $pins" reset

# ---- without a selector ----

listens --plain listen 5002
out=$(ctl connect 127.0.0.1 5002) && status=0 || status=$?
like "the kernel splits, exit status $status" "$status $out" "^20 exporters: .*split over buckets: [1-9]"
is "which is 3" "$status" 3
ends "$pid"

# ---- what it does not understand ----

says "no command" 2 "no command; see 'reuseportctl --help'"
says "unknown command" 2 "unknown command 'stat'" stat
says "unknown option" 2 "unknown option, or one without its value: --yaml" --yaml status
says "an option of another command" 2 "pin does not take all of these options" --json pin 10.0.0.0/8 1
says "too few words" 2 "pin takes other arguments" pin 10.0.0.0/8
says "too many" 2 "status takes other arguments" status now
says "not a prefix" 2 "'10.0.0.1/8' is not a prefix: .* no bits set beyond the length" pin 10.0.0.1/8 1
says "not an address" 2 "'10.0.0.0/8' is not an IP address" where 10.0.0.0/8
says "not a number" 2 "--watch takes a number from 1 to 86400, not '0'" --watch=0 status
says "not a port" 2 "'0' is not a port" connect 127.0.0.1 0
says "more exporters than addresses" 2 "--from 127.0.0.0/30 is not a prefix with 20 addresses" --from 127.0.0.0/30 connect 127.0.0.1 5000
says "a relative pin path" 2 "the pin path 'pmacct' is not absolute" -p pmacct status
says "metrics, again and again" 2 "--watch or --openmetrics, not both" --watch --openmetrics status
says "not a listener" 2 "no listener is called 'nfacct'; see" --prog "$object" load nfacct

# ---- its words ----

manual=$root/reuseportctl/reuseportctl.8.in
ok "the manual page is well-formed" quietly mandoc -Tlint -W warning "$manual"
mandoc -Tascii "$manual" | col -b >"$tmp/manual"
ctl --help >"$tmp/help"
is "help fits a terminal" "$(awk 'length > 90' "$tmp/help")" ""
# proposed WORDS: what bash proposes for the last of them
proposed() {
	bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); PATH=${0%/*}:$PATH; _reuseportctl; printf "%s\n" "${COMPREPLY[@]}"' \
		"$reuseportctl" "$root/reuseportctl/reuseportctl.bash" reuseportctl "$@"
}
is "completion knows the commands" "$(proposed '' | grep '^[a-z]' | sort)" "$(awk '/^  [a-z]+ / {print $1}' "$tmp/help" | sort -u)"
for command in $(proposed ''); do
	case $command in -*) continue ;; esac
	ok "help and manual page have $command" sh -c "grep -qE '^  $command' '$tmp/help' && grep -qE '^     $command' '$tmp/manual'"
	for option in $(proposed "$command" --); do
		ok "$command $option: likewise" sh -c "grep -qe '$option' '$tmp/help' && grep -qe '$option' '$tmp/manual'"
	done
done
is "completion knows what else there is" "$(proposed failover o | tr '\n' ' ')$(proposed re | tr '\n' ' ')" "on off resize reset "

done_testing
