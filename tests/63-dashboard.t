#!/bin/sh
# The alerts and the dashboard in examples/: promtool runs the alerts on series of which each makes one fire; and a real Prometheus,
# which scrapes three instances by way of node_exporter, evaluates every alert and every query of the dashboard: while all is well,
# and when one instance is stopped by SIGSTOP.
. "${0%/*}/lib/daemons.sh"
need_daemons
need jq promtool prometheus prometheus-node-exporter curl
sandbox

alerts=$root/examples/prometheus-alerts.yml
dashboard=$root/examples/grafana-dashboard.json
api=http://127.0.0.1:9090/api/v1

# ---- by promtool alone ----

run_promtool() {
	ok "promtool finds nothing wrong in the alerts" quietly promtool check rules "$alerts"
	ok "promtool: each fires when it is to, and not before" quietly promtool test rules "$root/tests/tools/alerts.yml"
	sed -n 's/^ *- alert: //p' "$alerts" | sort >"$tmp/alerts"
	at_least "alerts" "$(wc -l <"$tmp/alerts")" 10
	is "those that promtool has seen fire" "$(awk '/alertname: / {name = $2} /exp_alerts:/ {print name}' "$root/tests/tools/alerts.yml" | sort -u)" "$(cat "$tmp/alerts")"
}

# ---- Prometheus, as it would be in operation ----

# write_metrics COMMAND: what the command has, to COMMAND.prom
write_metrics() {
	"$reuseportctl" --pin-path "$bpffs/live" --openmetrics "$1" >"$tmp/new" 2>>"$tmp/write.err" || [ $? -eq 3 ] || return
	mv "$tmp/new" "$tmp/textfile/reuseport-$1.prom"
}

# keep_writing_metrics: once a second, as reuseport-metrics.timer does it every 15
keep_writing_metrics() {
	while :; do
		write_metrics status
		write_metrics exporters
		sleep 1
	done &
}

start_prometheus() {
	mkdir "$tmp/textfile"
	prometheus-node-exporter --collector.disable-defaults --collector.textfile --collector.textfile.directory="$tmp/textfile" \
		--web.listen-address=127.0.0.1:9100 >"$tmp/node_exporter.log" 2>&1 &
	cat >"$tmp/prometheus.yml" <<-END
		global: {scrape_interval: 1s, evaluation_interval: 1s}
		rule_files: ["$alerts"]
		scrape_configs: [{job_name: node, static_configs: [{targets: ["127.0.0.1:9100"]}]}]
	END
	prometheus --config.file="$tmp/prometheus.yml" --storage.tsdb.path="$tmp/tsdb" --web.listen-address=127.0.0.1:9090 >"$tmp/prometheus.log" 2>&1 &
}

# query EXPRESSION: how many samples it has now; the answer is in $tmp/answer
query() {
	curl -sG --data-urlencode "query=$1" "$api/query" >"$tmp/answer" && jq -r 'if .status == "success" then .data.result | length else .error end' "$tmp/answer"
}

has_samples() {
	[ "$(query "$1")" -gt 0 ] 2>/dev/null
}

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
	jq -r '.panels[].targets // [] | .[].expr' "$dashboard" >"$tmp/queries"
	at_least "queries of the dashboard" "$(wc -l <"$tmp/queries")" 20
	# as Grafana puts them in, with 'All' chosen
	# shellcheck disable=SC2016 # of Grafana
	sed -i 's/\$__rate_interval/1m/g; s/\$\(host\|group\|listener\)/.*/g' "$tmp/queries"
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
