#!/bin/sh
# Templates among instances: each has a file of its own, and decodes what any of them has learnt; the latest definition
# holds.
. "${0%/*}/lib/daemons.sh"
need_daemons
need jq
sandbox

# learnt GROUP INDEX: how many templates are in its file
learnt() {
	wc -l <"$tmp/$1-templates-$2.json"
}

# With one config for all, the index is put into the name
config live 2100 2 "nfacctd_templates_file: $tmp/live-templates.json" "reuseport_nonce: 42"
start_all live 2
"$tools/exporter" mixed 4 2100 exporters=90 ports=1 datagrams=2 >/dev/null
all_written() { [ "$(cat "$tmp"/live-templates-?.json | wc -l)" -ge 60 ]; }
await 20 all_written
is "60 exporters with templates, each in the file of its instance" "$(($(learnt live 0) + $(learnt live 1)))" 60
ok "each instance has some" [ $(($(learnt live 0) * $(learnt live 1))) -gt 0 ]
ok "no instance wrote to the name as it is in the config" [ ! -e "$tmp/live-templates.json" ]
before=$(cksum "$tmp"/live-templates-?.json)
"$tools/exporter" mixed 4 2100 exporters=90 ports=1 datagrams=2 >/dev/null
await 20 queues_empty 2100
ok "an instance stops" stopped INT "$(pid_of live 1)"
rm "$tmp/live-1.pid"

# data: records without their templates
data() {
	"$tools/exporter" mixed 4 2100 exporters=90 ports=1 datagrams=2 templates=0 >/dev/null
}
data
stop_all live
is "the other decodes its exporters too, although their templates never came" \
	"$(received live | awk '{n += $3} END {print n}')" $((90 * 2 * 3))
is "neither those, nor templates that came again as they were, are written to its file" "$(cksum "$tmp"/live-templates-?.json)" "$before"

# The file of another instance says something else, and says it later
config other 2100 2 "nfacctd_templates_file: $tmp/live-templates-0.json" "reuseport_nonce: 42"
router=$(jq -r .agent "$tmp/live-templates-0.json" | head -n 1)
latest=$(jq .date "$tmp"/live-templates-?.json | sort -n | tail -n 1)
# define LATER LEN: instance 1 learns another definition of that router's template
define() {
	jq -c --arg router "$router" --argjson date $((latest + $1)) --argjson len "$2" \
		'select(.agent == $router) | .date = $date | .len = $len' "$tmp/live-templates-0.json" >>"$tmp/live-templates-1.json"
}
len=$(jq -r .len "$tmp/live-templates-0.json" | head -n 1)
define 1 999
rm -f "$tmp"/*.csv
start_and_wait other 0
data
await 20 queues_empty 2100
define 2 "$len"
# It looks at most once a second, when records come: on a slow machine that is only longer ago
sleep 1.2
data
stop_all other
is "a name that has the index already stays" "$(ls "$tmp"/live-templates-0*)" "$tmp/live-templates-0.json"
is "all decode, but for the one whose later definition, by another instance, did not fit its records for a while" \
	"$(received other | awk '{n += $3} END {print n}')" $((90 * 4 - 2))
done_testing
