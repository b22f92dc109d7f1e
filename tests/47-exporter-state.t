#!/bin/sh
# What exporters tell only now and then, kept with the group: the instance that gets an exporter knows its templates, names and VRFs,
# by their latest definition, and whoever looks at the datagrams gets nothing twice.
. "${0%/*}/lib/daemons.sh"
need_daemons
need jq
need perl
sandbox

# router FROM VERSION DOMAIN SEQUENCE MESSAGE...: see tests/tools/router.pl
router() {
	perl "$root/tests/tools/router.pl" "$@"
}

# exporters [ARGUMENT...]: as reuseportctl lists them
exporters() {
	"$reuseportctl" --pin-path "$bpffs/live" exporters "$@"
}

# hand_over WORDS: instance 0 stops, and instance 1 gets its exporters
hand_over() {
	await 20 queues_empty 2100
	ok "$1: instance 0 stops" stopped INT "$(pid_of live 0)"
	rm "$tmp/live-0.pid"
}

# rows COLUMN...: what the instances wrote, these columns, sorted
rows() {
	cat "$tmp"/live-?.csv | grep -v '[A-Z]_' | cut -d, -f"$1" | sort
}

# move_all INDEX: all exporters, to that instance
move_all() {
	for prefix in 0.0.0.0/0 ::/0; do "$reuseportctl" --pin-path "$bpffs/live" override add $prefix "$1" 2>/dev/null; done
}

# keeps ADDRESS WANTED: whether that is how many templates, options templates and records of options data are kept
keeps() {
	[ "$(exporters --json "$1" 2>/dev/null | jq -c '.exporters[0] | [.templates, .options_templates, .options]')" = "$2" ]
}

# start_pair LINE...: two instances; instance 0 gets all exporters while it is there
start_pair() {
	rm -f "$tmp"/live-?.csv
	config live 2100 2 "reuseport_nonce: 42" "$@"
	start_all live 2
	move_all 0
}

# Fields: 8, 12: addresses; 2, 1: packets and octets
flow_template='256,4,8,4,12,4,2,4,1,4'
# flow PACKETS [ID]: a record of template 256, or of that one
flow() {
	echo "${2:-256}:N3221225985,N3325256705,N$1,N100"
}

# share_templates: without any file
share_templates() {
	start_pair
	"$tools/exporter" mixed 4 2100 exporters=90 ports=1 datagrams=2 >/dev/null
	hand_over "templates"
	"$tools/exporter" mixed 4 2100 exporters=90 ports=1 datagrams=2 templates=0 >/dev/null
	stop_all live
	is "templates: the other decodes flows of all 90, although it never got their templates" "$(received live | awk '{n += $3} END {print n}')" $((90 * 2 * 2))
	is "the group keeps those of the 60 that have some" "$(exporters --json | jq '[.exporters[] | select(.templates > 0)] | length')" 60
}

# define_again: an id gets another meaning, in two domains, and by two protocols; the latest holds
define_again() {
	start_pair
	router 10.1.0.1 9 1 0 "0:$flow_template" "$(flow 1)"
	router 10.1.0.1 9 2 0 "0:256,4,12,4,8,4,1,4,2,4" "256:N3325256705,N3221225985,N100,N20"
	router 10.1.0.1 10 1 0 "2:256,3,8,4,2,4,1,4" "256:N3221225985,N300,N100"
	router 10.1.0.1 9 1 5 "0:256,3,8,4,2,4,1,4" "256:N3221225985,N4000,N100"
	is "three templates, in two domains and by two protocols" "$(exporters --json 10.1.0.1 | jq -c '.exporters[0] | [.domains, .templates]')" "[3,3]"
	like "the same in the table" "$(exporters 10.1.0.1)" '^10\.1\.0\.1 +0  nfacctd [0-9]+ .* 3 +3 +0 +- +[0-9]+[sm]  [0-9]+[sm]$'
	hand_over "definitions"
	router 10.1.0.1 9 1 7 "256:N3221225985,N50000,N100"
	router 10.1.0.1 9 2 2 "256:N3325256705,N3221225985,N100,N600000"
	router 10.1.0.1 10 1 1 "256:N3221225985,N7000000,N100"
	stop_all live
	is "each is decoded by its own latest definition" "$(rows 2 | awk '{n += $1} END {print n}')" 7654321
}

# withdraw: IPFIX lets an exporter withdraw templates, one or all of a kind: from the instance that has it, and from one that had it before
withdraw() {
	start_pair "nfacctd_renormalize: true"
	router 10.1.0.2 10 1 0 "2:$flow_template,257,${flow_template#256,}" "3:258,2,1,143,4,34,4" "258:N1,N1000" "$(flow 1)"
	ok "kept: two templates and what an options template says" await 5 keeps 10.1.0.2 "[2,1,1]"
	move_all 1
	router 10.1.0.2 10 1 2 "$(flow 2 257)" "2:257,0" "3:3,0" "258:N1,N500" "$(flow 4 257)" "$(flow 8)"
	ok "one template is withdrawn, and all options templates, with their data" await 5 keeps 10.1.0.2 "[1,0,0]"
	ok "a withdrawal is logged where it comes" await 5 has_line "$tmp/live-1.log" "refused Template 257"
	move_all 0
	router 10.1.0.2 10 1 6 "$(flow 16 257)" "258:N1,N500" "$(flow 32)"
	await 20 queues_empty 2100
	ok "and not where it is replayed" not has_line "$tmp/live-0.log" "refused"
	router 10.1.0.2 10 1 9 "$(flow 64)+2:2,0" "$(flow 128)"
	ok "all templates are withdrawn" await 5 keeps 10.1.0.2 "[0,0,0]"
	move_all 1
	router 10.1.0.2 10 1 11 "$(flow 256)" "2:$flow_template" "$(flow 512)"
	stop_all live
	is "flows are decoded as long as their template holds, sampled 1:1000" "$(rows 2 | awk '{n += $1} END {print n}')" $(((1 + 2 + 8 + 32 + 64 + 512) * 1000))
}

# know_names: application names, and the VRF of a route distinguisher
know_names() {
	start_pair "aggregate[p]: peer_src_ip, class, mpls_vpn_rd"
	# 95, 96: application id and name; 234, 235, 90: VRFs and their route distinguisher
	router 10.1.0.3 9 0 0 "1:257,4,8,1,4,95,5,96,12" "257:N1,C3,N80,aweb-browsing" \
		"257:N1,C3,N25,amail-sending" "1:258,4,12,1,4,234,4,235,4,90,8" "258:N1,N7,N7,0,65000,N77" \
		"0:256,5,8,4,2,4,1,4,95,5,234,4"
	# the second options template of a set, which upstream overlooks, and the group does not
	router 10.1.0.4 10 0 0 "3:258,2,1,144,4,34,4,257,3,1,144,4,95,5,96,12" "257:N1,C3,N80,aweb-browsing" "2:256,4,8,4,2,4,1,4,95,5" \
		"256:N3221225985,N3,N100,C3,N80"
	# of what two options templates say of one thing, the latest holds, also if it is as it was before
	router 10.1.0.4 10 0 2 "3:259,3,1,144,4,95,5,96,12" "259:N1,C3,N80,aelse-meaning" "257:N1,C3,N80,aweb-browsing"
	hand_over "names"
	router 10.1.0.3 9 0 6 "256:N3221225985,N1,N100,C3,N80,N7" "256:N3221225985,N2,N100,C3,N25,N7"
	router 10.1.0.4 10 0 4 "256:N3221225985,N4,N100,C3,N80"
	stop_all live
	is "names of applications and the VRF's route distinguisher" "$(rows 1-)" \
		"$(printf '%s\n' "mail-sending,10.1.0.3,0:65000:77,2,100" "web-browsing,10.1.0.3,0:65000:77,1,100" "web-browsing,10.1.0.4,0:0:0,3,100" \
			"web-browsing,10.1.0.4,0:0:0,4,100")"
}

# nothing_twice: who accounts options data, or checks sequence numbers, does not notice what is replayed
nothing_twice() {
	echo "set_tag=1 ip=0.0.0.0/0 sample_type=flow" >"$tmp/map"
	echo "set_tag=2 ip=0.0.0.0/0 sample_type=option" >>"$tmp/map"
	start_pair "aggregate[p]: peer_src_ip, tag" "nfacctd_account_options: true" "pre_tag_map: $tmp/map" "nfacctd_disable_checks: false"
	router 10.1.0.4 10 1 100 "2:$flow_template" "3:257,2,1,143,4,34,4" "257:N1,N1000" "$(flow 1)"
	router 10.1.0.5 9 1 100 "0:$flow_template" "1:257,4,4,1,4,34,4" "257:N1,N1000" "$(flow 1)"
	hand_over "options data and sequence numbers"
	router 10.1.0.4 10 1 102 "$(flow 1)" "$(flow 1)"
	router 10.1.0.5 9 1 104 "$(flow 1)" "$(flow 1)"
	await 20 queues_empty 2100
	kill -USR1 "$(pid_of live 1)"
	await 5 has_line "$tmp/live-1.log" "stats .*agent=10.1.0.5"
	is "the sequence checks of both see the datagrams that came" \
		"$(sed -n 's/.*agent=\(10.1.0.[45]\):.* packets=\([0-9]*\) .* seq_good=\([0-9]*\) seq_jmp_fwd=\([0-9]*\) .*/\1 \2 \3 \4/p' "$tmp/live-1.log" | sort)" \
		"$(printf '%s\n' "10.1.0.4 2 2 0" "10.1.0.5 2 2 0")"
	ok "no log line says otherwise" not has_line "$tmp/live-1.log" "expecting flow"
	stop_all live
	is "three flows and one record of options data of each are accounted" \
		"$(rows 1- | awk -F, '{n[$2]++; packets[$1 " " $2] += $3} END {for (k in packets) print k, packets[k], n[substr(k, 3)]}' | sort | paste -sd,)" \
		"1 10.1.0.4 3 3,1 10.1.0.5 3 3,2 10.1.0.4 0 3,2 10.1.0.5 0 3"
}

# forget: a router no longer samples, and does not say so
forget() {
	start_pair "nfacctd_renormalize: true"
	router 10.1.0.8 9 1 0 "0:$flow_template" "1:257,4,4,1,4,34,4" "257:N1,N1000" "$(flow 1)"
	await 5 tells_a_rate 10.1.0.8
	ok "what is kept of an exporter is deleted on demand" "$reuseportctl" --pin-path "$bpffs/live" forget 10.1.0.8
	is "nothing is left" "$(exporters --json 10.1.0.8 | jq -c '.exporters[0] | [.templates, .options]')" "[0,0]"
	router 10.1.0.8 9 1 4 "0:$flow_template" "$(flow 1)"
	hand_over "forgotten options data"
	router 10.1.0.8 9 1 6 "$(flow 7)"
	stop_all live
	is "the next instance knows what came after that, and no more" "$(rows 1,2)" "$(printf '%s\n' 10.1.0.8,2000 10.1.0.8,7)"
}

tells_a_rate() {
	[ "$(exporters --json "$1" 2>/dev/null | jq '.exporters[0].sampling_rate')" = 1000 ]
}

# refuse: an options template with more enterprise fields of one kind than pmacct has room for. It is not kept, and what was is void.
refuse() {
	start_pair
	router 10.1.0.6 10 0 0 "3:257,2,1,149,4,34,4" "257:N0,N1000"
	await 5 tells_a_rate 10.1.0.6
	router 10.1.0.6 10 0 1 "3:257,41,1,149,4,$(awk 'BEGIN {for (i = 0; i < 40; i++) printf "%s%d,4,N9", i ? "," : "", 32768 + 8 * (i + 1)}')"
	router 10.1.0.7 9 1 0 "0:$flow_template" "$(flow 5)"
	await 20 queues_empty 2100
	is "nothing is kept of a template that is refused, nor of the one before" \
		"$(exporters --json 10.1.0.6 | jq -c '.exporters[0] | [.options_templates, .options]')" "[0,0]"
	stop_all live
	is "the other exporters are served" "$(rows 1,2)" 10.1.0.7,5
}

# tell_by_scope ADDRESS VERSION SCOPE LENGTH KIND: an options template with that scope, and a sampling rate of two such things
tell_by_scope() {
	local template data
	case $2 in
	9) template="0:$flow_template" options="1:257,4,4,$3,$4,34,4" ;;
	10) template="2:$flow_template" options="3:257,2,1,$3,$4,34,4" ;;
	esac
	router "$1" "$2" 1 0 "$template" "$options" "257:${5}1,N1000" "257:${5}2,N1000" "$(flow 1)"
}

# know_scopes: options about the system, an interface, a line card, a cache, a template; a new process takes the instance over
know_scopes() {
	local old scope n=0
	start_pair "nfacctd_renormalize: true" "reuseport_takeover: true"
	for scope in 1 2 3 4 5; do tell_by_scope 10.1.2.$((n += 1)) 9 $scope 4 N; done
	for scope in 10,4,N 141,4,N 143,4,N 144,4,N 149,4,N; do
		# shellcheck disable=SC2046
		tell_by_scope 10.1.2.$((n += 1)) 10 $(echo "$scope" | tr , ' ')
	done
	ok "$n scopes of options are told" await 5 keeps "10.1.2.$n" "[1,1,2]"
	is "two things of each scope, and their rate" "$(exporters --json | jq -c '[.exporters[] | select(.options == 2 and .sampling_rate == 1000)] | length')" $n
	await 20 queues_empty 2100
	old=$(pid_of live 0)
	start_and_wait live 0
	ok "index 0 is taken over" exits_with_0 "$old"
	while [ $n -gt 0 ]; do
		router 10.1.2.$n $((n > 5 ? 10 : 9)) 1 5 "$(flow 6)"
		n=$((n - 1))
	done
	stop_all live
	is "all are counted 1000 times, before and after" "$(rows 1,2 | awk -F, '{n[$1] += $2} END {for (e in n) if (n[e] == 7000) same++; print same}')" 10
}

# keep_order: two samplers, of which the first one changes. Data that name none are sampled by the one that was told of last at first.
keep_order() {
	start_pair "nfacctd_renormalize: true"
	# 48, 50: a sampler's id and its rate
	router 10.1.0.12 9 1 0 "0:$flow_template" "1:257,4,8,2,4,48,1,50,4" "257:N1,C1,N100" "257:N2,C2,N1000" "257:N1,C1,N200" "$(flow 1)"
	hand_over "samplers"
	router 10.1.0.12 9 1 7 "$(flow 2)"
	stop_all live
	is "both instances go by the same one of two samplers" "$(rows 1,2 | paste -sd' ')" "10.1.0.12,1000 10.1.0.12,2000"
}

# save_at_once: with a second port, the core waits in select(2) and not for a datagram: what the last one told is kept, too
save_at_once() {
	start_pair "nfacctd_renormalize: true" "nfacctd_templates_port: 2101"
	router 10.1.0.13 9 1 0 "0:$flow_template" "1:257,4,4,1,4,34,4" "257:N1,N1000"
	ok "what the last datagram told is kept before another one comes" await 10 tells_a_rate 10.1.0.13
	stop_all live
}

# vary: options data of variable length, which the development branch alone can decode; others refuse the template
vary() {
	local kept='[1,0,0]' wanted='unknown,7'
	[ "${RELEASE:-}" != tip ] || kept='[1,1,1]' wanted='web-browsing,7000'
	start_pair "nfacctd_renormalize: true" "aggregate[p]: peer_src_ip, class"
	router 10.1.0.9 10 1 0 "2:$flow_template,95,5" "3:257,4,1,144,4,96,65535,95,5,34,4" "257:N1,C12,aweb-browsing,C3,N80,N1000"
	router 10.1.0.9 10 1 1 "2:256,5,8,4,12,4,2,4,1,4,95,5" "$(flow 1),C3,N80"
	ok "a template with a field of variable length is kept, if it can be decoded" await 5 keeps 10.1.0.9 "$kept"
	hand_over "variable length"
	router 10.1.0.9 10 1 2 "$(flow 6),C3,N80"
	stop_all live
	is "names and sampling, in options of variable length" "$(rows 1- | awk -F, '{n[$1] += $3} END {for (c in n) print c "," n[c]}')" "$wanted"
}

# define COUNT FROM: an exporter defines so many templates, 100 in a message
define() {
	local first
	for first in $(seq "$2" 100 $(($2 + $1 - 1))); do
		echo "2:$(seq -s, -f '%g,1,8,4' "$first" $((first + 99)))"
	done
}

# bound: one exporter tells more than it may; then it withdraws all, which makes room. Another one is served as before.
bound() {
	start_pair
	router 10.1.0.11 10 1 0 "2:$flow_template" "$(flow 1)"
	# shellcheck disable=SC2046
	router 10.1.0.10 10 1 0 $(define 3000 1000)
	ok "of 3000 templates, those that are too large are counted, once" await 20 counts_all 3000
	like "status says so" "$(ctl status)" "^exporter state: [0-9]+ of 65536 pages, $(state too_large) records too large;"
	like "and a metric" "$(ctl --openmetrics status)" "^reuseport_exporter_state_too_large_total.* $(state too_large)$"
	router 10.1.0.10 10 1 0 "2:2,0" "2:5000,1,8,4"
	ok "all are withdrawn, and there is room again" await 5 keeps 10.1.0.10 "[1,0,0]"
	hand_over "an exporter at its bound"
	router 10.1.0.11 10 1 1 "$(flow 6)"
	stop_all live
	is "the other exporter is served" "$(rows 1,2 | awk -F, '$1 == "10.1.0.11" {n += $2} END {print n}')" 7
}

ctl() {
	"$reuseportctl" --pin-path "$bpffs/live" "$@" || true
}

# state FIELD: of the exporter state, as status has it
state() {
	ctl --json status | jq ".exporter_state.$1"
}

# counts_all TEMPLATES: whether that is how many are kept, or counted as too large, some of each
counts_all() {
	local kept refused
	kept=$(exporters --json 10.1.0.10 | jq '.exporters[0].templates') refused=$(state too_large)
	[ $((kept + refused)) -eq "$1" ] && [ "$refused" -gt 0 ]
}

share_templates
define_again
withdraw
know_names
nothing_twice
forget
refuse
know_scopes
keep_order
save_at_once
vary
bound
done_testing
