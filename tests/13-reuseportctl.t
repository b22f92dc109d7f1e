#!/bin/sh
# reuseportctl without a daemon: its own commands listen and connect are the group and the exporters.
. "${0%/*}/lib/ctl.sh"
need_root
need jq strace flock script mandoc bash bpftool perl
[ -x "$reuseportctl" ] && [ -f "$object" ] || skip_all "not built: run make bpf"
sandbox
sysctl -qw net.ipv6.ip_nonlocal_bind=1
pins=$bpffs/pmacct
manual=$root/reuseportctl/reuseportctl.8.in

listen_and_connect() {
	says "no selector" 2 "listen needs the selector" listen 5000
	listens --prog "$object" --count 3 listen 5000
	run --exporters 50 connect 127.0.0.1 5000
	is "50 exporters, 3 ports, UDP and TCP: exit status" "$status" 0
	like "none is split" "$out" "^50 exporters: bucket 0: [1-9][0-9]*; bucket 1: [1-9][0-9]*; bucket 2: [1-9][0-9]*; split over buckets: 0$"
	is "each is where it is by the other transport" "$(printf '%s\n' "$out" | awk '/^(udp|tcp)/ {print $2, $3, $4}' | sort | uniq -c | awk '$1 != 2')" ""
	printf '%s\n' "$out" | awk '/^udp/ {print $2, $4}' | sort >"$tmp/arrived"
	where_says >"$tmp/where"
	ok "and where 'where' says" diff "$tmp/arrived" "$tmp/where"
	is "listen printed all 300" "$(grep -cE '^(tcp|udp)  127\.' "$tmp/listen")" 300
	is "status counted 150 of each" "$(sum_received listen_udp) $(sum_received listen_tcp)" "150 150"
	broadcast 150
	out=$(ctl --exporters 300 --from 2001:db8::/64 connect ::1 5000)
	like "300 exporters, IPv6: none is split" "$out" "^300 exporters: .*split over buckets: 0$"
	like "of a longer prefix, too" "$(ctl --udp --from 2001:db8::a00:0/112 connect ::1 5000)" "^20 exporters: .*split over buckets: 0$"
	says "but not to IPv4" 2 "--from 2001:db8::a00:0/112 is not a prefix with 20 addresses of the family of 127.0.0.1" --from 2001:db8::a00:0/112 connect 127.0.0.1 5000
	run --exporters 50 --tcp connect 127.0.0.1 5001
	like "a port without a socket: all are refused, exit status $status" "$status $out" "50 exporters: refused or failed: 150; split over buckets: 0$"
	is "its exit status" "$status" 3
	says "a second one of the same index" 1 "reuseport_hashbucket_index 1 is in use .* by reuseportctl pid $pid" --prog "$object" --index 1 listen 5000
	says "another count" 1 "reuseport_hashbucket_count is 4 here, but 3 in the running group" --prog "$object" --count 4 --index 3 listen 5000
}

# A limit: the kernel does not ask the selector about such a datagram
broadcast() {
	perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Proto => "udp", PeerAddr => "127.255.255.255:5000", LocalAddr => "127.99.0.1", Broadcast => 1)
		or die; $s->send("?") or die'
	ok "a datagram to a broadcast address reaches each socket" await 5 sh -c "[ \$(grep -c '^udp  127.99.0.1 ' '$tmp/listen') -eq 3 ]"
	is "and the selector counts none" "$(sum_received listen_udp)" "$1"
}

# ---- status ----

read_without_a_trace() {
	local locker
	flock -o "$pins" sleep 60 &
	locker=$!
	await 5 not flock -n "$pins" true
	ok "status does not wait for the lock" sh -c "timeout 5 '$reuseportctl' status >'$tmp/status'"
	ok "nor does where" quietly timeout 5 "$reuseportctl" where 192.0.2.1
	kill "$locker"
	strace -f -e trace=bpf,flock -o "$tmp/strace" "$reuseportctl" status >/dev/null
	# the kernel opens programs for writing alone
	grep 'bpf(BPF_OBJ_GET,' "$tmp/strace" | grep -vc '/_selector"' >"$tmp/opened"
	ok "it opens $(cat "$tmp/opened") maps, all for reading only" [ "$(grep -c 'bpf(BPF_OBJ_GET,.*BPF_F_RDONLY' "$tmp/strace")" -eq "$(cat "$tmp/opened")" ]
	is "it locks and writes nothing" "$(grep -cE 'flock|BPF_MAP_(UPDATE|DELETE)|BPF_PROG|BPF_MAP_CREATE' "$tmp/strace")" 0
}

show_the_table() {
	is "no line is wider than a terminal" "$(awk 'length > 80' "$tmp/status")" ""
	is "no colour in a pipe" "$(grep -c "$(printf '\033')" "$tmp/status")" 0
	script -qec "$reuseportctl status" /dev/null >"$tmp/terminal"
	ok "colour on a terminal" grep -q "$(printf '\033')\[1mlisten_tcp" "$tmp/terminal"
	NO_COLOR=1 script -qec "$reuseportctl status" /dev/null >"$tmp/terminal"
	is "but not with NO_COLOR" "$(grep -c "$(printf '\033')" "$tmp/terminal")" 0
	like "who, since when, how much" "$(cat "$tmp/status")" "^     0  reuseportctl $pid +[0-9:]+ +[0-9]+ +[0-9]+% +0 +0% +0$"
}

# set_state OWNER STATE: of bucket 0. OWNER is its value in owners, which has the state last: see reuseport_abi.h
set_state() {
	# shellcheck disable=SC2046,SC2086 # bytes, each a word
	bpftool map update pinned "$pins/listen_udp/owners" key 0 0 0 0 value $1 $(perl -e 'print join " ", unpack "C4", pack "L", shift' "$2")
}

# show_one_that_starts: the tool itself joins as ready
show_one_that_starts() {
	local owner
	owner=$(bpftool -j map lookup pinned "$pins/listen_udp/owners" key 0 0 0 0 | jq -r '.value[:-4] | join(" ")')
	set_state "$owner" 1
	"$reuseportctl" status >"$tmp/status"
	like "one that does not read yet" "$(cat "$tmp/status")" "^     0  reuseportctl $pid +STARTING +[0-9]+ +[0-9]+% +0 +0% +0$"
	is "shifts no column" "$(awk 'length > 80' "$tmp/status")" ""
	set_state "$owner" 0
}

# watch CONDITION ARGUMENT...: the tables, until the condition holds, are in $tmp/watch
watch() {
	local condition="$1" watcher
	shift
	"$reuseportctl" --watch=1 "$@" >"$tmp/watch" &
	watcher=$!
	await 10 "$condition" || diag "$(cat "$tmp/watch")"
	kill "$watcher"
}

has_later_table() {
	has_line "$tmp/watch" 'the last [0-9.]* s of '
}

has_two_lines() {
	[ "$(wc -l <"$tmp/watch")" -ge 2 ]
}

watch_status() {
	watch has_later_table --listener listen_udp status
	like "--watch: later tables have what came in between" "$(sed '1,/the last/d' "$tmp/watch")" "^     0  reuseportctl .* 0    0%        0 "
	watch has_two_lines --json status
	ok "--watch --json: an object a line" sh -c "head -n 2 '$tmp/watch' | jq -e .pin_path >/dev/null"
	says "a listener that is not there" 1 "no listener nfacct in $pins" --listener nfacct where 10.0.0.1
}

# ---- overrides ----

add_overrides() {
	ok "override add" quietly "$reuseportctl" override add 127.0.0.0/24 1
	ok "a longer prefix" quietly "$reuseportctl" override add 127.0.0.7 2
	ok "an IPv6 prefix" quietly "$reuseportctl" override add 2001:db8::/65 0
	ok "a range" quietly "$reuseportctl" override add 192.0.2.7 --spread 0-2 --by domain
	like "effective at once, the longest prefix holds" "$(ctl connect 127.0.0.1 5000)" "^20 exporters: bucket 1: 114; bucket 2: 6; split over buckets: 0$"
	like "IPv6 too" "$(ctl --from 2001:db8::/64 connect ::1 5000)" "^20 exporters: bucket 0: 120; split"
	like "where says why" "$(ctl where 127.0.0.7 2001:db8:1::)" "^127.0.0.7 +2  listen_tcp +reuseportctl $pid +override$"
	is "of a file, it takes the first word of each line, long or not" "$(printf '127.0.0.7%300s127.0.0.8\n' '' | ctl --json where - | jq length)" 2
	like "and in JSON" "$(ctl --json where 127.0.0.7 | jq -c '.[0]')" '"bucket":2,"by":"override","live":true,"served_by":2,"failover":false'
	is "override list shows them" "$(overrides)" "127.0.0.0/24 1;127.0.0.7/32 2;192.0.2.7/32 0-2 domain;2001:db8::/65 0;"
	ctl override list >"$tmp/saved"
	quietly ctl drain 0
	quietly ctl weight 1 50
	is "completion proposes them, and no weights" "$(proposed override delete '' | grep -v '^-' | tr '\n' ' ')" "127.0.0.0/24 127.0.0.7/32 192.0.2.7/32 2001:db8::/65 "
	quietly ctl weight 1 100
	quietly ctl undrain 0
}

# Of a command that changes something, too
lose_the_output() {
	local words
	for words in "override list" status "--prometheus status" "--json --watch status" exporters "--watch exporters" "where 127.0.0.7" --help --version "failover off"; do
		# shellcheck disable=SC2086 # a command and its arguments
		out=$(timeout 20 "$reuseportctl" $words 2>&1 >/dev/full) && status=0 || status=$?
		is "$words: output that cannot be written" "$status $out" "1 reuseportctl: cannot write the output (No space left on device)"
	done
	says "it has changed what it was to change" 0 "$pins: failover on, off before" failover on
}

load_overrides() {
	cat >"$tmp/more" <<-END
		# two more
		10.0.0.0/8	2

		::/0 1 # all others
	END
	printf '#%300s10.9.0.0/16 1\n' '' >>"$tmp/more"
	says "override load: a file replaces them" 0 "$pins: overrides: 2, 4 before" override load "$tmp/more"
	is "by what is in it" "$(overrides)" "::/0 1;10.0.0.0/8 2;"
	like "::/0 is IPv4 too" "$(ctl where 127.0.0.7)" "^127.0.0.7 +1  listen_tcp .*override$"
}

refuse_overrides() {
	local bad why
	for bad in "10.0.0.1/8 1" "10.0.0.0/33 1" "10.0.0.0/8" "10.0.0.0/8 x" "10.0.0.0/8 1 2" "10.0.0.0/8 1-2" "10.0.0.0/8 2-1 port" "10.0.0.0/8 128"; do
		printf '10.1.0.0/16 0\n%s\n' "$bad" >"$tmp/bad"
		case $bad in
		10.0.0.1/8* | */33*) why="'${bad% *}' is not a prefix: .*" ;;
		*port) why="'2-1' is not a range of buckets like 2-4, between 0 and 127" ;;
		*x | *128) why="'${bad#* }' is not a bucket, 0 to 127" ;;
		*) why="not 'PREFIX BUCKET'.*" ;;
		esac
		says "a file with '$bad': refused" 1 "$tmp/bad, line 2: $why: nothing was changed$" override load "$tmp/bad"
	done
	printf '10.1.0.0/16 0\n10.2.0.0/16 3\n' >"$tmp/bad"
	says "a range that the group has not" 1 "bucket 3 for 192.0.2.1/32 is not one of the group" override add 192.0.2.1 --spread 2-3 --by domain
	says "a bucket that the group has not" 1 "bucket 3 for 10.2.0.0/16 is not one of the group $pins, which has 0 to 2: nothing was changed" override load "$tmp/bad"
	printf '10.1.0.0/16 0\n::ffff:10.1.0.0/112 1\n' >"$tmp/bad"
	says "a prefix twice" 1 "$tmp/bad has 10.1.0.0/16 twice: nothing was changed" override load "$tmp/bad"
	seq 0 65536 | awk '{printf "10.%d.%d.%d/32 1\n", $1 / 65536, $1 / 256 % 256, $1 % 256}' >"$tmp/many"
	says "one more than there is room for" 1 "65537 overrides are more than the 65536 that a group may have: nothing was changed" override load "$tmp/many"
	is "a load that is refused changes no override" "$(overrides)" "::/0 1;10.0.0.0/8 2;"
}

# load_all_or_nothing: also if the command is killed
load_all_or_nothing() {
	local seconds n
	head -n 65536 "$tmp/many" >"$tmp/all"
	for seconds in 0.05 0.1 0.2; do
		timeout "$seconds" "$reuseportctl" override load "$tmp/all" >"$tmp/loaded" || true
		n=$(ctl override list | wc -l)
		ok "ended after $seconds s: all or nothing ($n)" [ "$n" = 2 -o "$n" = 65536 ]
		quietly "$reuseportctl" override load "$tmp/more"
	done
	says "as many as there is room for" 0 "$pins: overrides: 65536, 2 before" override load - <"$tmp/all"
	says "back to what was saved" 0 "$pins: overrides: 4, 65536 before" override load "$tmp/saved"
	is "is as it was" "$(ctl override list)" "$(cat "$tmp/saved")"
}

delete_overrides() {
	ok "override delete" quietly "$reuseportctl" override delete 127.0.0.0/24
	says "override delete: a prefix that is not there" 1 "127.0.0.0/24 is neither among the overrides of the group $pins" override delete 127.0.0.0/24
	says "shrinking past an override" 1 "cannot shrink the group $pins to 2 buckets: (an override has 127.0.0.7/32 in bucket 2|a bucket beyond)" resize 2
	says "a bucket that is not there" 1 "bucket 9 for 10.0.0.0/8 is not one of the group" override add 10.0.0.0/8 9
	: >"$tmp/none"
	says "an empty file takes all away" 0 "$pins: overrides: 0, 3 before" override load "$tmp/none"
	like "and the hash decides again" "$(ctl where 127.0.0.7)" "^127.0.0.7 .*hash$"
}

# ---- failover: $first and $second listen, bucket 2 is empty ----

fail_over() {
	local failed_over
	ends "$pid"
	listens --prog "$object" --count 3 --index 0 listen 5000
	first=$pid
	listens --prog "$object" --index 1 listen 5000
	second=$pid
	is "a new group counts from zero" "$(received listen_udp)" "0 0 0"
	ctl connect 127.0.0.1 5000 >"$tmp/connect" && status=0 || status=$?
	is "failover: none is refused" "$status $(tail -n 1 "$tmp/connect" | grep -c refused)" "0 0"
	awk '/^udp/ {print $2, $4}' "$tmp/connect" | sort >"$tmp/arrived"
	where_says >"$tmp/where"
	ok "all are where 'where' says" diff "$tmp/arrived" "$tmp/where"
	failed_over=$(ctl --json where 127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5 127.0.0.6 127.0.0.7 127.0.0.8 $(seq -f 127.0.1.%g 60) | jq -c '[.[] | select(.failover)][0] | .bucket, .by, .live' | tr '\n' ' ')
	is "where says of them that it is failover" "$failed_over" '2 "hash" true '
	is "status counts them" "$(ctl --json --listener listen_udp status | jq '[.listeners[0].buckets[].failover] | add > 0')" true
	run status
	like "and marks the bucket, exit status $status" "$status $out" "^! bucket 2 is empty \(listen_tcp, listen_udp\): its exporters fail over to live instances; start the instance with that index"
	is "the exit status of status, for an empty bucket" "$status" 3
}

turn_failover_off() {
	says "failover off" 0 "$pins: failover off, on before" failover off
	run connect 127.0.0.1 5000
	like "refused now, exit status $status" "$status $out" "^20 exporters: .*refused or failed: [1-9]"
	like "status says so" "$(ctl status || true)" "^! [1-9][0-9]* datagrams for listen_udp were refused: their bucket was empty"
	cut -d' ' -f1 "$tmp/arrived" >"$tmp/exporters"
	run --load "$tmp/exporters" where
	like "where says so, with exit status $status" "$status $out" "listen_udp +refused +hash; it is empty$"
	is "the exit status of where, for a refused exporter" "$status" 3
	says "failover on again" 0 "$pins: failover on, off before" failover on
	says "failover: neither on nor off" 2 "failover takes 'on' or 'off', not 'maybe'" failover maybe
}

# ---- the end of a group ----

reset_dead_group() {
	says "a group that is live is not reset" 1 "the group $pins is live \(reuseportctl pid $first at index 0 of listener listen_tcp\): stop its instances first" reset
	ends "$first"
	ok "index 1 alone" await 5 live_at 1
	ends "$second"
	like "a dead group" "$(ctl status || true)" "^! no instance is live in this group: .*'reuseportctl reset'$"
	says "has no settings to change" 1 "no instance is live in the group $pins: its settings come with the first instance" override add 10.0.0.0/8 1
	mkdir "$pins/foreign"
	says "reset" 0 "$pins: [0-9]+ pins removed" reset
	is "leaves what is not ours, and nothing else" "$(cd "$pins" && find . | sort | tr '\n' ' ')" ". ./foreign "
	rmdir "$pins/foreign"
	says "reset again" 0 "$pins: 0 pins removed" reset
	ok "the directory stays: its user may not be able to make it again" [ -d "$pins" ]
}

find_no_group() {
	says "status: nothing of a group there" 1 "no listener in $pins: give the group's reuseport_pin_path" status
	says "override list: nothing of a group there" 1 "no listener in $pins: give the group's reuseport_pin_path" override list
	says "where: nothing of a group there" 1 "no listener in $pins: give the group's reuseport_pin_path" where 10.0.0.1
	rmdir "$pins"
	says "no group" 1 "no group at $pins" status
	says "no group to reset" 1 "no group at $pins" reset
}

split_without_a_selector() {
	listens --plain listen 5002
	run connect 127.0.0.1 5002
	like "the kernel splits, exit status $status" "$status $out" "^20 exporters: .*split over buckets: [1-9]"
	is "the exit status of connect, for exporters that are split" "$status" 3
	ends "$pid"
}

# ---- what it does not understand ----

refuse_other_words() {
	says "no command" 2 "no command; see 'reuseportctl --help'"
	says "unknown command" 2 "unknown command 'stat'" stat
	says "unknown option" 2 "unknown option, or one without its value: --yaml" --yaml status
	says "half a command" 2 "'override' alone is not a command" override
	says "an unknown second word" 2 "unknown command 'override move'" override move
	says "help for an unknown command" 2 "unknown command 'stat'" stat --help
	says "an option of another command" 2 "override add does not take --json" --json override add 10.0.0.0/8 1
	says "too few words" 2 "wrong number of arguments: override add takes PREFIX \[BUCKET\]" override add
	says "a prefix alone" 2 "override add takes a bucket, or --spread and --by" override add 10.0.0.0/8
	says "a bucket and a range" 2 "override add takes a bucket, or --spread and --by" override add 10.0.0.0/8 1 --spread 1-2 --by port
	says "a range of one" 2 "'1-1' is not a range of buckets like 2-4, between 0 and 127" override add 10.0.0.0/8 --spread 1-1 --by port
	says "by nothing that there is" 2 "an exporter is spread by 'domain' or 'port', not 'colour'" override add 10.0.0.0/8 --spread 1-2 --by colour
	says "sflow: neither agent nor sender" 2 "sflow takes 'agent' or 'sender', not 'proxy'" sflow proxy
	says "too many" 2 "wrong number of arguments: status takes none" status now
	says "the commands' names of earlier versions" 2 "unknown command 'pins'" pins
	says "not a prefix" 2 "'10.0.0.1/8' is not a prefix: .* no bits set beyond the length" override add 10.0.0.1/8 1
	says "not an address" 2 "'10.0.0.0/8' is not an IP address" where 10.0.0.0/8
	says "not a number" 2 "--watch takes a number from 1 to 86400, not '0'" --watch=0 status
	says "not a port" 2 "'0' is not a port" connect 127.0.0.1 0
	says "more exporters than addresses" 2 "--from 127.0.0.0/30 is not a prefix with 20 addresses" --from 127.0.0.0/30 connect 127.0.0.1 5000
	says "a relative pin path" 2 "the pin path 'pmacct' is not absolute" -p pmacct status
	says "metrics, again and again" 2 "--watch or metrics, not both" --watch --prometheus status
	says "not a listener" 2 "no listener is called 'nfacct'; see" --prog "$object" preload nfacct
}

# ---- its words: the table of commands, as --help prints it, the completion, and the manual page ----

# commands_in_help: a line each
commands_in_help() {
	sed -n '1,/^Options:/s/^  \([a-z][a-z ]*[a-z]\)\( [^ a-z].*\|  .*\| on|off.*\| agent|sender.*\)$/\1/p' "$tmp/help" | sort
}

# options_in_help COMMAND...: those that its own help has, a line each
options_in_help() {
	ctl "$@" --help | sed -nE 's/^(  -[a-z], |      )(--[a-z-]+).*/\2/p' | sort
}

# options_in_manual COMMAND: those of its item in the manual page; the page says of all commands that they take the other two
options_in_manual() {
	{
		grep "^\.It Cm $1\( [A-Z].*\)*$" "$manual" | grep -oE 'Fl -[a-z-]+' | sed 's/Fl /-/'
		printf -- '--help\n--pin-path\n'
	} | sort
}

# proposed_commands: those of two words too
proposed_commands() {
	proposed '' | grep -v '^-' | while read -r word; do
		case $word in
		override) proposed override '' | sed -n 's/^[a-z]/override &/p' ;;
		*) echo "$word" ;;
		esac
	done | sort
}

compare_commands() {
	ok "the manual page is well-formed" quietly mandoc -Tlint -W warning "$manual"
	ctl --help >"$tmp/help"
	is "help fits a terminal" "$(awk 'length > 90' "$tmp/help")" ""
	commands_in_help >"$tmp/commands"
	is "commands in the help" "$(wc -l <"$tmp/commands")" 21
	is "completion has the same commands" "$(proposed_commands)" "$(cat "$tmp/commands")"
	is "the manual page has the same commands" \
		"$(sed -nE '/^\.Sh DESCRIPTION/,/^\.Ss Options/s/^\.It Cm ([a-z]+( (add|delete|list|load))?).*/\1/p' "$manual" | sort)" "$(cat "$tmp/commands")"
}

compare_options() {
	local command options
	while read -r command; do
		# shellcheck disable=SC2086 # a command of two words
		options=$(options_in_help $command)
		# shellcheck disable=SC2086
		is "$command: completion has the same options" "$(proposed $command -- | sort)" "$options"
		is "$command: the manual page has the same options" "$(options_in_manual "$command")" "$options"
		is "$command: the help has it in one line" "$(ctl --help | grep -cE "^  $command ")" 1
	done <"$tmp/commands"
	is "the manual page explains each option" \
		"$(sed -n '/^\.Ss Options/,/^\.Sh/s/^\.It //p' "$manual" | grep -oE 'Fl -[a-z-]+' | sed 's/Fl /-/' | sort)" \
		"$(sed -nE '/^Options:/,$s/^(  -[a-zA-Z], |      )(--[a-z-]+).*/\2/p' "$tmp/help" | sort)"
}

compare_arguments() {
	is "completion knows what else there is" "$(proposed failover o | tr '\n' ' ')$(proposed re | tr '\n' ' ')" "on off rebalance resize reserve reset "
	ctl --help | sed -n '/^Listeners:/,/^$/{s/^Listeners://;s/,//g;p}' | tr -s ' ' '\n' | grep . | sort >"$tmp/listeners"
	is "completion knows the listeners" "$(proposed preload '' | grep -v '^-' | sort)" "$(cat "$tmp/listeners")"
	is "the manual page knows the listeners" \
		"$(sed -n '/^\.Em listeners/{n;s/^\.Cm//;s/ [,.]//g;p}' "$manual" | tr -s ' ' '\n' | grep . | sort)" "$(cat "$tmp/listeners")"
}

listen_and_connect
read_without_a_trace
show_the_table
show_one_that_starts
watch_status
add_overrides
lose_the_output
load_overrides
refuse_overrides
load_all_or_nothing
delete_overrides
fail_over
turn_failover_off
reset_dead_group
find_no_group
split_without_a_selector
refuse_other_words
compare_commands
compare_options
compare_arguments
done_testing
