#!/bin/sh
# The alerts and the dashboard in examples/: promtool runs the alerts on series of which each makes one fire; and a real Prometheus,
# which scrapes three instances by way of node_exporter, evaluates every alert and every query of the dashboard: while all is well,
# and when one instance is stopped by SIGSTOP.
. "${0%/*}/lib/daemons.sh"
. "${0%/*}/lib/prometheus.sh"
need_daemons
need jq promtool prometheus prometheus-node-exporter curl
sandbox

# ---- by promtool alone ----

run_promtool() {
	ok "promtool finds nothing wrong in the alerts" quietly promtool check rules "$alerts"
	ok "promtool: each fires when it is to, and not before" quietly promtool test rules "$root/tests/tools/alerts.yml"
	sed -n 's/^ *- alert: //p' "$alerts" | sort >"$tmp/alerts"
	at_least "alerts" "$(wc -l <"$tmp/alerts")" 10
	is "those that promtool has seen fire" "$(awk '/alertname: / {name = $2} /exp_alerts:/ {print name}' "$root/tests/tools/alerts.yml" | sort -u)" "$(cat "$tmp/alerts")"
}

# ---- Prometheus, as it would be in operation ----

# active ALERT: pending or firing: a line for each, its labels
active() {
	curl -s "$api/alerts" | jq -r --arg alert "$1" '.data.alerts[].labels | select(.alertname | test($alert)) | [.alertname, .bucket, .kind] | map(values) | join(" ")' | sort
}

is_active() {
	active "$1" | grep -qxF "$2"
}

# send: so many that some are samples of who sends, of which one datagram in 512 is one
send() {
	"$tools/exporter" netflow5 4 2100 exporters=200 ports=2 datagrams=50 rate=10000 >/dev/null
}

# ---- all is well ----

start_group() {
	config live 2100 3 "bmp_daemon: true" "bmp_daemon_port: 1790" "bmp_daemon_max_peers: 100"
	start_prometheus
	start_all live 3
	keep_writing_metrics
	await 30 has_samples reuseport_bucket_ready || diag "no metrics: $(cat "$tmp/write.err")"
	send
	ok "Prometheus has exporters that send most" await 30 has_samples reuseport_exporter_datagrams_total
	ok "Prometheus has rates of three buckets" await 30 has_samples 'count(rate(reuseport_received_own_total{listener="nfacctd"}[1m]) > 0) == 3'
}

check_rules() {
	ok "Prometheus evaluates the alerts" await 20 all_evaluated
	is "with errors" "$(jq -r '.data.groups[].rules[] | select(.lastError != null and .lastError != "") | .name + ": " + .lastError' "$tmp/rules")" ""
	is "alerts, while all is well" "$(active .)" ""
}

all_evaluated() {
	curl -s "$api/rules" >"$tmp/rules" && [ "$(jq '[.data.groups[].rules[] | select(.health == "ok")] | length' "$tmp/rules")" -eq "$(grep -cE '^ *- (alert|record): ' "$alerts")" ]
}

# ---- one does not run ----

stop_one() {
	kill -STOP "$(pid_of live 1)"
	ok "an instance that is stopped: ReuseportInstanceFault" await 30 is_active InstanceFault "ReuseportInstanceFault 1 stopped"
	ok "an instance that is stopped: ReuseportInstanceDown" await 10 is_active InstanceDown "ReuseportInstanceDown 1"
	ok "its fault is counted" await 10 has_samples 'reuseport_instance_faults_total{bucket="1", kind="stopped"} == 1'
	is "other alerts" "$(active . | grep -v -e InstanceFault -e InstanceDown)" ""
	send
	ok "others serve its exporters" await 20 has_samples 'rate(reuseport_received_failover_total{listener="nfacctd"}[1m]) > 0'
}

# ---- each name and each query ----

is_known() {
	grep -qx "$1" "$tmp/known"
}

check_names() {
	local name
	curl -s "$api/label/__name__/values" | jq -r '.data[]' >"$tmp/known"
	cat "$alerts" "$dashboard" | grep -oE '\b(reuseport|node)_[a-z_]+\b' | grep -v '^node_exporter$' | sort -u >"$tmp/names"
	at_least "metrics that alerts and dashboard name" "$(wc -l <"$tmp/names")" 20
	while read -r name; do ok "a metric: $name" is_known "$name"; done <"$tmp/names"
	is "metrics that neither names" "$(grep '^reuseport_' "$tmp/known" | grep -vxF -f "$tmp/names")" ""
}

check_queries() {
	local expression
	# with 'All' chosen
	as_grafana '.*' 1m | jq -r '.panels[].targets // [] | .[].expr' >"$tmp/queries"
	at_least "queries of the dashboard" "$(wc -l <"$tmp/queries")" 20
	is "variables that are left in them" "$(grep -F '$' "$tmp/queries")" ""
	while read -r expression; do
		ok "a query: $expression" has_samples "$expression" || diag "$(cat "$tmp/answer")"
	done <"$tmp/queries"
}

run_promtool
start_group
check_rules
stop_one
check_names
check_queries
kill -CONT "$(pid_of live 1)"
stop_all live
is "what reuseportctl has complained of" "$(cat "$tmp/write.err")" ""
done_testing
