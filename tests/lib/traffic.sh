# Traffic in the background, in a sandbox, and what became of it: nothing counts as "not lost" unless it was sent.
#
# A flow's destination port says in which period of time, counted from the start, it was sent: that is how what was sent and
# what was received are compared.
# shellcheck shell=sh disable=SC2034,SC2154
: "${root:=$(cd "${0%/*}/.." && pwd)}"
. "$root/tests/lib/daemons.sh"

# need_traffic: as need_daemons, for a test that counts what is lost under load. It runs at nice -10 from here on, so that other work
# on this machine, such as a compiler, does not cause losses. The benchmark calls need_daemons: its figures are of the usual priority.
need_traffic() {
	need_daemons
	renice -n -10 -p $$ >/dev/null 2>&1 || true
}

# The columns that these need: LINEs for config. A restart must not overwrite what was written before.
by_period="aggregate[p]: peer_src_ip, dst_port\nprint_output_file_append[p]: true\nprint_cache_entries[p]: 4099"

# How many datagrams of a listener an instance has in its hands at most, and SIGKILL loses beside those that are queued
batch=$(sed -n 's/^#define REUSEPORT_BATCH \([0-9]*\).*/\1/p' "$root/pmacct/src/reuseport/receive.h")

# ---- flows ----

# start_traffic PROTOCOL PORT [KEY=VALUE...]: 200 exporters, IPv4 and IPv6, send 20,000 datagrams a second until stop_traffic.
# It is known as "traffic".
start_traffic() {
	local protocol="$1" port="$2" family
	shift 2
	for family in 4 6; do
		start_sender traffic "$protocol" $family "$port" exporters=100 rate=10000 "$@"
	done
}

# start_sender NAME PROTOCOL FAMILY PORT [KEY=VALUE...]: exporters of one family send until stop_traffic. exporters= and rate= have
# to be among the KEYs, and the last one holds.
start_sender() {
	local name="$1" protocol="$2" family="$3" port="$4" word exporters rate sampled=1 zipf=false
	shift 4
	for word in "$@"; do
		case $word in
		exporters=*) exporters=${word#*=} ;;
		rate=*) rate=${word#*=} ;;
		sampled=*) sampled=1000 ;;
		zipf=*) zipf=${word#*=} ;;
		esac
	done
	rm -f "$tmp/$name.$family.report"
	"$tools/exporter" "$protocol" "$family" "$port" datagrams=0 report="$tmp/$name.$family.report" "$@" \
		>/dev/null 2>"$tmp/$name.$family.err" &
	echo "$! $name $family $protocol $exporters $((rate * sampled)) $(date +%s%N) $zipf" >>"$tmp/senders"
}

# all_learnt NAME EXPORTERS: whether the group keeps templates of so many exporters
all_learnt() {
	"$reuseportctl" --pin-path "$bpffs/$1" exporters 2>/dev/null | grep -q "; of $2 the group keeps"
}

# stop_traffic: ends all senders, and asserts that each ran until now, and that they sent what rate and time give, less a tenth.
# Then $tmp/sent has what "traffic" sent.
stop_traffic() {
	local pid name family protocol exporters rate began zipf
	: >"$tmp/due"
	while read -r pid name family protocol exporters rate began zipf; do
		due "$name" "$protocol" "$exporters" "$rate" "$(ms_since "$began")" "$zipf" >>"$tmp/due"
		ok "$name: the IPv$family sender ran until it was stopped" sender_ends "$pid" "$tmp/$name.$family.err"
	done <"$tmp/senders"
	cut -d' ' -f2 "$tmp/senders" | sort -u >"$tmp/names"
	rm "$tmp/senders"
	while read -r name; do enough_sent "$name"; done <"$tmp/names"
	sent "$tmp"/traffic.[46].report
}

# sender_ends PID ERRORS: stops it; succeeds if it was there, and exits with 0
sender_ends() {
	local status=0
	if gone "$1"; then
		wait "$1" || status=$?
		diag "it had ended before, with exit status $status: $(cat "$2")"
		return 1
	fi
	kill "$1"
	exits_with_0 "$1" || {
		diag "$(cat "$2")"
		return 1
	}
}

# due NAME PROTOCOL EXPORTERS RATE MS ZIPF: what is to be sent in that time, lines "name protocol flows". Mixed exporters have their
# protocols in turn; with ZIPF true, the second sends half as much as the first, and so on; SLOWER divides the rate, as in the exporter.
due() {
	awk -v name="$1" -v protocol="$2" -v exporters="$3" -v rate="$4" -v ms="$5" -v zipf="$6" -v slower="${SLOWER:-1}" 'BEGIN {
		if (slower > 1) rate = int(rate / slower) + 1
		split(protocol == "mixed" ? "netflow5 netflow9 ipfix" : protocol, protocols, " ")
		for (n = 1; n in protocols; n++);
		for (i = 0; i < exporters; i++) {
			weight = zipf == "true" ? 1 / (i + 1) : 1
			share[protocols[i % (n - 1) + 1]] += weight
			all += weight
		}
		for (p in share) printf "%s %s %d\n", name, p, rate * ms / 1000 * share[p] / all
	}'
}

# enough_sent NAME: the assertion, for each protocol
enough_sent() {
	local protocol flows total
	awk -v name="$1" '$1 == name {n[$2] += $3} END {for (p in n) print p, n[p]}' "$tmp/due" | sort >"$tmp/due.$1"
	while read -r protocol flows; do
		total=$(cat "$tmp/$1".[46].report 2>/dev/null | awk -v p="$protocol" '$2 == p {n += $4} END {print n + 0}')
		ok "$1: $total flows of $protocol sent, at least nine tenths of the $flows that rate and time give" \
			[ "$total" -gt 0 -a "$total" -ge $((flows * 9 / 10)) ]
	done <"$tmp/due.$1"
}

# sent REPORT...: what exporters say they sent goes to $tmp/sent, lines "exporter period flows protocol"
sent() {
	cat "$@" 2>/dev/null | awk '{print $1, $3, $4, $2}' >"$tmp/sent"
}

# total_sent [PERIOD]: flows in $tmp/sent, of that period and later ones
total_sent() {
	awk -v from="${1:-0}" '$2 >= from {n += $3} END {print n + 0}' "$tmp/sent"
}

# ---- what arrived ----

# received_by_period NAME: what instances wrote, lines "exporter period flows index bytes"
received_by_period() {
	local csv i
	for csv in "$tmp/$1"-*.csv; do
		i=${csv##*-}
		awk -F, -v i="${i%.csv}" '$1 != "PEER_SRC_IP" {sum[$1 " " $2] += $3; bytes[$1 " " $2] += $4}
			END {for (e in sum) printf "%s %d %s %d\n", e, sum[e], i, bytes[e]}' "$csv"
	done
}

# missing NAME: of $tmp/sent, what no instance of NAME wrote, lines "exporter period flows protocol bytes"; negative: too much. Each flow has
# 100 bytes.
missing() {
	received_by_period "$1" | not_in_stdin
}

# not_in_stdin: the same, of what is on stdin
not_in_stdin() {
	awk 'arrived {got[$1 " " $2] += $3; bytes[$1 " " $2] += $5; next}
		{lost = $3 - got[$1 " " $2]; unseen = 100 * $3 - bytes[$1 " " $2]; delete got[$1 " " $2]}
		lost || unseen {printf "%s %s %d %s %d\n", $1, $2, lost, $4, unseen}
		END {for (e in got) printf "%s %d never-sent %d\n", e, -got[e], -bytes[e]}' arrived=1 - arrived=0 "$tmp/sent"
}

# total_lost [PERIOD]: flows in $tmp/missing, sent in that period or later
total_lost() {
	awk -v from="${1:-0}" '$2 >= from && $3 > 0 {n += $3} END {print n + 0}' "$tmp/missing"
}

# nothing_lost NAME: the assertions, for each protocol, with their figures: something was sent, and all of it was received
nothing_lost() {
	local protocol flows lost
	missing "$1" >"$tmp/missing"
	ok "there is something to be lost" [ -s "$tmp/sent" ]
	awk '{n[$4] += $3} END {for (p in n) print p, n[p]}' "$tmp/sent" | sort >"$tmp/protocols"
	while read -r protocol flows; do
		lost=$(awk -v p="$protocol" '$4 == p && $3 > 0 {n += $3} END {print n + 0}' "$tmp/missing")
		is "$protocol: of $flows flows sent, lost" "$lost" 0
		diag "$protocol: $flows flows sent, $lost lost"
	done <"$tmp/protocols"
	explain_losses
	counted_once
}

# lost_at_most NAME KILLS: the assertion, of units whose processes were killed so often: a batch each, beside what the kernel had no room for
lost_at_most() {
	local lost full
	full=$(full_buffers)
	missing "$1" >"$tmp/missing"
	lost=$(total_lost)
	ok "$1: of $(total_sent) flows sent, $lost lost; at most $batch in the hands of each of $2 processes that were killed; $full dropped at full buffers" \
		[ "$(total_sent)" -gt 0 -a "$lost" -le $(($2 * batch + full)) ]
	diag "$1: $(total_sent) flows sent, $lost lost, $full of them at full buffers; $2 processes killed"
	counted_once
}

# full_buffers: how many datagrams the kernel had no room for
full_buffers() {
	awk '$1 == "Udp:" && $2 == "InDatagrams" {n = split($0, names, " "); next}
		$1 == "Udp:" {for (i = 2; i <= n; i++) if (names[i] == "RcvbufErrors") sum += $i}
		$1 == "Udp6RcvbufErrors" {sum += $2} END {print sum + 0}' /proc/net/snmp /proc/net/snmp6
}

# explain_losses: shows what is in $tmp/missing, and how much of it the kernel had no room for
explain_losses() {
	[ -s "$tmp/missing" ] || return 0
	diag "datagrams dropped at full receive buffers, as the instances got too little time of the CPUs: $(full_buffers)"
	diag "exporter, period, flows, protocol, bytes: $(head -n 20 "$tmp/missing")"
}

# counted_once: the assertion. What is handed over while instances change could be handed over twice; and a plugin of pmacct's
# could read a buffer of its ring twice, until patches/ring.patch. And that what arrived has the bytes that it was sent with.
counted_once() {
	local twice
	twice=$(awk '$3 < 0 {n -= $3} END {print n + 0}' "$tmp/missing")
	is "of $(total_sent) flows sent, counted twice" "$twice" 0
	is "flows that arrived with more or less than 100 bytes each" "$(awk '$5 != 100 * $3' "$tmp/missing" | head -n 5)" ""
}

# one_index_each NAME EXPORTERS: the assertion: so many exporters were received, and each by one instance
one_index_each() {
	received_by_period "$1" | awk '{print $1, $4}' | sort -u >"$tmp/places"
	is "$2 exporters, and the places where they were" \
		"$(cut -d' ' -f1 "$tmp/places" | sort -u | wc -l) exporters, $(wc -l <"$tmp/places") places" "$2 exporters, $2 places"
}

# ---- sessions ----

# start_routers NAME PROTOCOL PORT ROUTERS [FAMILY...]: so many of each family (4 and 6) connect, and connect again whenever their
# session has ended, until stop_routers
start_routers() {
	local name="$1" protocol="$2" port="$3" routers="$4" family
	shift 4
	[ $# -gt 0 ] || set -- 4 6
	: >"$tmp/$name.routers"
	for family in "$@"; do
		"$tools/exporter" "$protocol" "$family" "$port" exporters="$routers" ports=1 >"$tmp/$name.$family.routers" \
			2>"$tmp/$name.$family.err" &
		echo "$! $family" >>"$tmp/$name.routers"
	done
}

# routers_are_up NAME: whether all of them have had their sessions
routers_are_up() {
	local family
	while read -r _ family; do
		grep -qs 'sessions' "$tmp/$1.$family.routers" || return 1
	done <"$tmp/$1.routers"
}

# stop_routers NAME: asserts that they ran until now; how many sessions had ended before is in $ended
stop_routers() {
	local pid family
	ended=0
	while read -r pid family; do
		ok "$1: the IPv$family routers ran until they were stopped" sender_ends "$pid" "$tmp/$1.$family.err"
		ended=$((ended + $(awk '$2 == "ended" {n = $1} END {print n + 0}' "$tmp/$1.$family.routers")))
	done <"$tmp/$1.routers"
}

# ---- what the kernel threw away ----

# watch_queues: from now on, the kernel counts the datagrams that are thrown away with the socket that had queued them
watch_queues() {
	mkdir -p "$tmp/tracing"
	[ -d "$tmp/tracing/events" ] || mount -t tracefs tracefs "$tmp/tracing" 2>/dev/null || skip_all "no tracefs: the kernel's counts cannot be had"
	grep -q 'location=%pS' "$tmp/tracing/events/skb/kfree_skb/format" ||
		skip_all "this kernel's trace does not name the function that threw a datagram away: the kernel's counts cannot be had"
	tracing=$tmp/tracing/instances/reuseport-$(cat /proc/sys/kernel/random/uuid)
	mkdir "$tracing"
	echo 16384 >"$tracing/buffer_size_kb"
	echo 'protocol == 0x800 || protocol == 0x86dd' >"$tracing/events/skb/kfree_skb/filter"
	echo 1 >"$tracing/events/skb/kfree_skb/enable"
}

# count_queues_lost: how many that were until now. The kernel frees a socket some time after its process has ended.
count_queues_lost() {
	grep -cE 'location=(udp_destruct_common|inet_sock_destruct|skb_queue_purge)' "$tracing/trace" || true
}

# queues_lost: how many that were in all
queues_lost() {
	count_queues_lost
	echo 0 >"$tracing/events/skb/kfree_skb/enable"
	rmdir "$tracing"
}
