#!/bin/sh
# Datagrams that hang or crash pmacct's decoders of NetFlow, IPFIX and sFlow, and lines of nfacctd_templates_file that do: templates are
# refused with a line, who sends them is decoded again as soon as it makes sense, and others are not harmed.
. "${0%/*}/lib/daemons.sh"
need_daemons
need perl
sandbox

# All that has a handler of its own, so that what a template says reaches it
primitives="src_host, dst_host, src_mask, dst_mask, src_mac, dst_mac, vlan, src_port, dst_port, proto, tos, src_as, dst_as, in_iface, out_iface, \
mpls_label_top, mpls_vpn_rd, tcpflags, timestamp_start, timestamp_end, timestamp_arrival, sampling_rate"

# Fields: 8, 12: addresses; 2, 1: packets and octets
good='256,4,8,4,12,4,2,4,1,4'
flow() {
	echo "256:N3221225985,N3325256705,N$1,N100"
}

# router FROM VERSION DOMAIN SEQUENCE MESSAGE...: see tests/tools/router.pl
router() {
	perl "$root/tests/tools/router.pl" "$@"
}

# as N: a text of so many bytes
as() {
	printf "a%0$1d" 0
}

# fields N FIRST STEP [SUFFIX]: so many fields of a template, of 4 bytes
fields() {
	awk -v n="$1" -v id="$2" -v step="$3" -v suffix="${4:-}" 'BEGIN {for (; n; n--) {printf ",%d,4%s", id, suffix; id += step}}'
}

# cases: lines "VERSION LOGGED NAME|MESSAGE|MESSAGE...". LOGGED: what nfacctd says: refused, or unable, malformed, short, or nothing. Versions
# are those of NetFlow and IPFIX.
cases() {
	local set data
	for set in "9 0 1:257,0,0" "10 2 3:257,0,0"; do
		# shellcheck disable=SC2086 # words
		set -- $set
		data="256:N1633837924"
		cat <<-EOF
			$1 refused a template without fields|$2:256,0|$data
			$1 refused an options template without fields|$3|257:N1633837924
			$1 refused fields without bytes|$2:256,2,8,0,12,0|$data
			$1 refused lengths that add up to 65536|$2:256,2,200,32768,201,32768|$data
			$1 refused a mask of 1000 bytes|$2:256,4,8,4,12,4,9,1000,1,4|256:N1,N2,$(as 1000),N5
			$1 refused an IPv6 address of 500 bytes|$2:256,4,27,500,28,16,2,4,1,4|256:$(as 516),N1,N5
			$1 refused a port of 400 bytes|$2:256,4,8,4,12,4,7,400,1,4|256:N1,N2,$(as 400),N5
			$1 refused a protocol of 200 bytes|$2:256,4,8,4,12,4,4,200,1,4|256:N1,N2,$(as 200),N5
			$1 refused a time of 600 bytes|$2:256,4,8,4,12,4,152,600,1,4|256:N1,N2,$(as 600),N5
			$1 refused a hardware address of 500 bytes|$2:256,4,8,4,12,4,80,500,1,4|256:N1,N2,$(as 500),N5
			$1 refused a VLAN of 300 bytes|$2:256,4,8,4,12,4,58,300,1,4|256:N1,N2,$(as 300),N5
			$1 refused a label of 300 bytes|$2:256,4,8,4,12,4,70,300,1,4|256:N1,N2,$(as 300),N5
			$1 refused 40 fields above 383 in one place|$2:256,40$(fields 40 400 8)|$data
			$1 refused 300 fields|$2:256,300$(fields 300 200 0)|$data
			$1 refused more fields than the set has|$2:256,9,8,4,12,4|$data
		EOF
	done
	cat <<-EOF
		9 refused a VRF of 400 bytes in options|1:257,4,12,1,4,234,4,235,400,90,8|257:N1,N7,$(as 400),0,65000,N77
		9 refused a VRF of 400 bytes as a scope|1:257,4,8,235,400,234,4,90,8|257:$(as 400),N7,0,65000,N77
		9 refused options with 260 fields|1:257,4,1036,1,4$(fields 259 200 0)|257:N1633837924
		9 unable a set that is longer than its datagram|=0009000100000001$(printf %08x "$(date +%s)")00000001000000010000ffff01000001
		9 unable options that are longer than their datagram|=0009000100000001$(printf %08x "$(date +%s)")00000001000000010001ffff0101000400040001000400220004
		9 short a datagram that ends in its header|=000900010000
		10 refused 40 enterprise fields in one place|2:256,40$(fields 40 32776 8 ,N9)|256:N1633837924
		10 refused 40 enterprise fields in one place, in options|3:257,41,1,149,4$(fields 40 32776 8 ,N9)|257:N1633837924
		10 refused an enterprise number behind the set|2:256,1,33000,4|256:N1633837924
		10 refused more scopes than fields|3:257,1,5,149,4,34,4|257:N1633837924
		10 refused an address of variable length|2:256,4,8,65535,12,4,2,4,1,4|256:C200,$(as 200),N1,N1,N1
		10 nothing values that are longer than the set|2:256,3,82,65535,83,65535,1,4|256:C255,65535,C255,65535,N1|256:C200,N1
		10 nothing values that add up to 65536|2:256,3,82,65535,83,65535,84,65535|256:C255,32000,$(as 3000),C255,33527
		10 nothing values without bytes in records without bytes|2:256,2,82,65535,82,0|256:N0,N0
		10 nothing an element that comes again, with another length|2:256,6,1,50000,58,2,1,4,82,65535,8,4,12,4|256:N1,1,N1,C1,a1,N1,N1
		10 nothing a set of 4 bytes, and its template|2:256,1,82,65535|=000a0014$(printf %08x "$(date +%s)")000000010000000101000004
		5 malformed a count that is too large|=0005001e00000001$(printf %08x "$(date +%s)")000000000000000100000000$(printf %096d 0)
	EOF
}

# poison NUMBER VERSION LOGGED NAME MESSAGE...: the case, from an exporter of its own, and then what makes sense, from it and another
poison() {
	local number="$1" version="$2" logged="$3" name="$4" from="10.9.0.$1" before
	shift 4
	before=$(grep -c . "$tmp/live-0.log")
	set -- "$@" "$([ "$version" = 10 ] && echo 2 || echo 0):$good" "$(flow $((number * 1000)))"
	[ "$version" -ne 5 ] || version=9
	router "$from" "$version" 1 0 "$@"
	router 10.1.0.1 9 1 $((2 * number)) "0:$good" "$(flow 1)"
	await 10 queues_empty 2100 || true
	if gone "$(pid_of live 0)"; then
		ok "$name" false
		die "the instance has died of: $name"
	fi
	[ "$logged" != nothing ] || return 0
	like "IPFIX or NetFlow version $version: $name" "$(tail -n +$((before + 1)) "$tmp/live-0.log")" "INFO .* $logged.*agent=$from"
}

# sum FROM: packets that were accounted
sum() {
	awk -F, -v from="$1" '$1 == from {n += $2} END {print n + 0}' "$tmp/live-0.csv"
}

# all_cases LINE...: an instance with these lines in its config gets all of them
all_cases() {
	local words rest number=0 wrong='' i
	rm -f "$tmp"/live-0.csv
	config live 2100 1 "aggregate[all]: $primitives" "print_output_file_append[all]: true" \
		"nfacctd_templates_file: $tmp/templates.json" "nfacctd_account_options: true" "$@"
	sed -i 's/^plugins: .*/plugins: print[p], print[all]/' "$tmp/live.conf"
	start_all live 1
	cases >"$tmp/cases"
	while IFS='|' read -r words rest; do
		number=$((number + 1))
		# shellcheck disable=SC2046 # words, and messages without blanks
		poison "$number" "${words%% *}" "$(echo "$words" | cut -d' ' -f2)" "$(echo "$words" | cut -d' ' -f3-)" $(echo "$rest" | tr '|' ' ')
	done <"$tmp/cases"
	redefine
	stop_all live
	at_least "cases" "$number" 12
	for i in $(seq "$number"); do [ "$(sum "10.9.0.$i")" -eq $((i * 1000)) ] || wrong="$wrong $i"; done
	is "of $number bad exporters, those whose later, good template is not decoded" "$wrong" ""
	is "the flows of the good one" "$(sum 10.1.0.1)" "$number"
	is "records of a template that was redefined by something undecodable" "$(sum 10.1.0.2)" 1
}

# redefine: what is refused makes the earlier definition void
redefine() {
	router 10.1.0.2 9 1 0 "0:$good" "$(flow 1)" "0:256,4,8,4,12,4,2,4,1,4000" "$(flow 10)"
}

# too_many: one exporter defines templates without end, which upstream never frees
too_many() {
	local first
	config live 2100 1
	rm -f "$tmp"/live-0.csv
	start_all live 1
	# shellcheck disable=SC2046 # words
	router 10.1.0.5 10 1 0 "2:$good" $(for first in $(seq 1000 100 17900); do echo "2:$(seq -s, -f '%g,1,8,4' "$first" $((first + 99)))"; done) "$(flow 5)"
	router 10.1.0.6 10 1 0 "2:$good" "$(flow 6)"
	await 20 has_line "$tmp/live-0.log" 'refused Template.*one more' || true
	is "of 17,001 templates of one exporter, 16,384 are kept, and one is logged" \
		"$(grep -c 'refused Template.*one more than the 16384' "$tmp/live-0.log") $(grep -c 'refused Template 17383 .*agent=10.1.0.5' "$tmp/live-0.log")" "1 1"
	stop_all live
	is "flows of that exporter, and of another one" "$(sum 10.1.0.5) $(sum 10.1.0.6)" "5 6"
}

# ---- the file of templates ----

# bad_line SED-SCRIPT: a line of upstream's own, changed so
bad_line() {
	head -n 1 "$tmp/good.json" | sed "$1"
}

# file_of_templates: written by an instance; then each of its lines is bad, but for one
file_of_templates() {
	local line skipped
	rm -f "$tmp"/live-0.csv "$tmp/templates.json"
	config live 2100 1 "nfacctd_templates_file: $tmp/templates.json"
	start_all live 1
	router 10.1.0.3 10 1 0 "2:256,5,8,4,12,4,2,4,1,4,$((32768 + 10)),4,N9"
	stop_all live
	is "a template is written" "$(grep -c '"agent": *"10.1.0.3"' "$tmp/templates.json")" 1
	cp "$tmp/templates.json" "$tmp/good.json"
	{
		bad_line 's/"tpl_index": *[0-9]*/"tpl_index": 100000000/'
		bad_line 's/"tpl_index": *[0-9]*/"tpl_index": -5/'
		bad_line 's/"ie_idx": *[0-9]*/"ie_idx": 32/'
		bad_line 's/"agent": *"10.1.0.3"/"agent": 7/'
		bad_line 's/\("num": *[0-9]*, *\)"len": *[0-9]*/\1"len": 0/'
		bad_line 's/"num": *[0-9]*/"num": 65535/'
		bad_line 's/"off": *[0-9]*/"off": 60000/'
		bad_line 's/\("otpl": {[^}]*\)"len": *[0-9]*/\1"len": 1000/'
		bad_line 's/"template_type": *0/"template_type": 1/; s/"list": \[.*\]/"tpl": [{"type": 5000, "off": 0, "len": 4}]/'
		bad_line 's/"template_type": *0/"template_type": 65536/; s/"tpl_index": *[0-9]*/"tpl_index": 100000000/'
		bad_line 's/"vlen": *[0-9]*/"vlen": 256/; s/"off": *[0-9]*/"off": 60000/'
		bad_line 's/"tpl_len": *[0-9]*/"tpl_len": -1/'
		cat "$tmp/good.json"
	} >"$tmp/templates.json"
	start_all live 1
	skipped=$(grep -c 'WARN.*templates.json:[0-9]*\].*Line skipped' "$tmp/live-0.log")
	is "of twelve bad lines, skipped with a WARN line" "$skipped" 12
	router 10.1.0.3 10 1 1 "256:N3221225985,N3325256705,N4,N100,N1"
	router 10.1.0.3 10 1 2 "2:$good" "$(flow 20)"
	await 10 queues_empty 2100 || true
	ok "a template that changes is written, beside lines that nobody can read" not gone "$(pid_of live 0)"
	stop_all live
	is "the good line's template is used, and then the new one" "$(sum 10.1.0.3)" 24
}

# ---- sFlow ----

# w NUMBER...: numbers of 32 bits, in hexadecimal
w() {
	# shellcheck disable=SC2046 # words
	printf '%08x' "$@"
}

# sample TAG RECORD: a datagram of sFlow 5 with one flow sample that has one record, which is given in hexadecimal
sample() {
	local length=$((${#2} / 2))
	echo "=$(w 5 1 $((0x0a090000 + number)) 0 1 1000 1 1 $((40 + length)) 1 1 100 100 0 1 2 1 "$1" $length)$2"
}

# sflow_cases: lines "NAME|DATAGRAM"
sflow_cases() {
	local all=$((0xffffffff)) ethernet=020202020202040404040404
	cat <<-EOF
		a path of 4 billion segments|$(sample 1003 "$(w 1 1 1 1 1 $all 2 $all)")
		a segment of 4 billion AS numbers|$(sample 1003 "$(w 1 1 1 1 1 1 2 $all)")
		4 billion communities|$(sample 1003 "$(w 1 1 1 1 1 0 $all)")
		4 billion records in a sample|=$(w 5 1 1 0 1 1000 1 1 40 1 1 100 100 0 1 2 $all)
		4 billion counters|=$(w 5 1 1 0 1 1000 1 2 12 1 1 $all)
		a record that goes backwards|=$(w 5 1 1 0 1 1000 $all 1 40 1 1 100 100 0 1 2 1 77 $((0xfffffff8)))
		a record of 2 GB|=$(w 5 1 1 0 1 1000 $all 1 40 1 1 100 100 0 1 2 1 77 $((0x7fffffff)))
		labels behind a VLAN, which is where the header ends|$(sample 1 "$(w 1 100 0 16)${ethernet}8100000188470000$(w 0 0)")
		a name of 2 GB|$(sample 1004 "$(w 0 $((0x80000000)) 0 0)")
		a name of 1 GB|$(sample 1004 "$(w 0 $((0x40000000)) 0 0)")
		a header of 4 GB|$(sample 1 "$(w 11 100 0 $all)")
		a header of 1 GB with IPv6 extensions without end|$(sample 1 "$(w 12 100 0 $((0x40000000)) $((0x60000000)) $((0x00140040)) 0 0 0 0 0 0 0 0)")
		labels without a bottom|$(sample 1 "$(w 1 100 0 22)${ethernet}8847$(w 0 0)0000")
		1 billion labels|$(sample 1006 "$(w 1 1 $((0x40000001)) 0 0 0)")
		a path of 1 billion AS numbers in sFlow 2|=$(w 2 1 1 1 1000 1 1 1 1 100 100 0 1 2 2 60 6 1 2 80 443 2 0 1 3 1 2 3 $((0x3fffffff)))
		4 billion extensions in sFlow 4|=$(w 4 1 1 1 1000 1 1 1 1 100 100 0 1 2 2 60 6 1 2 80 443 2 0 $all)
		a datagram that ends in its header|=$(w 5 1)
	EOF
}

# good_sample: one flow of one packet
good_sample() {
	echo "=$(w 5 1 $((0x0a010004)) 0 1 1000 1 1 72 1 1 1 1 0 1 2 1 3 32 60 6 $((0xc0000201)) $((0xc6336401)) 80 443 2 0)"
}

# sflow: each case, and then a good sample
sflow() {
	local name datagram number=0
	rm -f "$tmp"/live-0.csv
	config live 2100 1 "aggregate[p]: src_host" "aggregate[all]: $primitives, mpls_label_bottom" \
		"print_output_file_append[all]: true"
	sed -i 's/^nfacctd_/sfacctd_/; s/^plugins: .*/plugins: print[p], print[all]/' "$tmp/live.conf"
	run_daemon live 0 "${nfacctd%/*}/sfacctd" -f "$tmp/live.conf" -x 0 -o "$tmp/live-0.csv"
	await 20 has_line "$tmp/live-0.log" "listener sfacctd joined" || die "sfacctd does not start"
	await 20 has_line "$tmp/live-0.log" "cache entries="
	sleep 1
	sflow_cases >"$tmp/cases"
	while IFS='|' read -r name datagram; do
		number=$((number + 1))
		router "10.9.1.$number" 9 1 0 "$datagram"
		router 10.1.0.4 9 1 0 "$(good_sample)"
		await 10 queues_empty 2100 || true
		ok "sFlow: $name" not gone "$(pid_of live 0)"
	done <"$tmp/cases"
	stop_all live
	is "the samples of the good agent" "$(sum 192.0.2.1)" "$number"
}

all_cases
all_cases "aggregate_filter[all]: net 0.0.0.0/0 or ip6 or vlan or mpls"
too_many
file_of_templates
sflow
done_testing
