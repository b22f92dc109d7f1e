#!/bin/sh
# Templates among instances: each has a file of its own, and decodes what any of them has learnt; the latest definition
# holds.
. "${0%/*}/lib/daemons.sh"
need_daemons
need jq
sandbox

# learnt INDEX: how many templates are in the file of that instance
learnt() {
	wc -l <"$tmp/live-templates-$1.json"
}

# all_learnt: whether the templates of the 60 exporters that have some are in a file
all_learnt() {
	[ "$(cat "$tmp"/live-templates-?.json | wc -l)" -ge 60 ]
}

# send [KEY=VALUE...]: two records each of 90 exporters; 30 of them have no templates
send() {
	"$tools/exporter" mixed 4 2100 exporters=90 ports=1 datagrams=2 "$@" >/dev/null
}

# flows_received NAME: how many flows the instances of NAME wrote
flows_received() {
	received "$1" | awk '{n += $3} END {print n}'
}

# learn: with one config for all, the index is put into the name of the file
learn() {
	config live 2100 2 "nfacctd_templates_file: $tmp/live-templates.json" "reuseport_nonce: 42"
	start_all live 2
	send
	await 20 all_learnt
	is "60 exporters with templates, each in the file of its instance" "$(($(learnt 0) + $(learnt 1)))" 60
	ok "each instance has some" [ $(($(learnt 0) * $(learnt 1))) -gt 0 ]
	ok "no instance wrote to the name as it is in the config" [ ! -e "$tmp/live-templates.json" ]
}

# decode_for_another: one instance stops, and the other gets records of its exporters without their templates
decode_for_another() {
	local before
	before=$(cksum "$tmp"/live-templates-?.json)
	send
	await 20 queues_empty 2100
	ok "an instance stops" stopped INT "$(pid_of live 1)"
	rm "$tmp/live-1.pid"
	send templates=0
	stop_all live
	is "the other decodes its exporters too, although their templates never came" "$(flows_received live)" $((90 * 2 * 3))
	is "neither those, nor templates that came again as they were, are written to its file" "$(cksum "$tmp"/live-templates-?.json)" "$before"
}

# define LEN: instance 1 learns another definition of a router's template, later than all others
define() {
	local router latest
	router=$(jq -r .agent "$tmp/live-templates-0.json" | head -n 1)
	latest=$(jq .date "$tmp"/live-templates-?.json | sort -n | tail -n 1)
	jq -c --arg router "$router" --argjson date $((latest + 1)) --argjson len "$1" \
		'select(.agent == $router) | .date = $date | .len = $len' "$tmp/live-templates-0.json" >>"$tmp/live-templates-1.json"
}

# hold_the_latest: the file of another instance says something else, and says it later
hold_the_latest() {
	local len
	len=$(jq -r .len "$tmp/live-templates-0.json" | head -n 1)
	config other 2100 2 "nfacctd_templates_file: $tmp/live-templates-0.json" "reuseport_nonce: 42"
	define 999
	rm -f "$tmp"/*.csv
	start_and_wait other 0
	send templates=0
	await 20 queues_empty 2100
	define "$len"
	# It looks at most once a second, when records come: on a slow machine that is only longer ago
	sleep 1.2
	send templates=0
	stop_all other
	is "a name that has the index already stays" "$(ls "$tmp"/live-templates-0*)" "$tmp/live-templates-0.json"
	is "all decode, but for the one whose later definition, by another instance, did not fit its records for a while" \
		"$(flows_received other)" $((90 * 4 - 2))
}

learn
decode_for_another
hold_the_latest
done_testing
