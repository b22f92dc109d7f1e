# A real Prometheus on a group of real instances, by way of node_exporter, and what it answers. Needs daemons.sh and a sandbox, where these
# ports are free.
# shellcheck shell=sh disable=SC2034,SC2154

alerts=$root/examples/prometheus-alerts.yml
dashboard=$root/examples/grafana-dashboard.json
api=http://127.0.0.1:9090/api/v1

# write_metrics COMMAND: what the command has, to COMMAND.prom
write_metrics() {
	"$reuseportctl" --pin-path "$bpffs/live" --prometheus "$1" >"$tmp/new" 2>>"$tmp/write.err" || [ $? -eq 3 ] || return
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
		scrape_configs: [{job_name: node, static_configs: [{targets: ["127.0.0.1:9100"], labels: {instance: host1}}]}]
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

# as_grafana LISTENER INTERVAL: the dashboard, with these in the place of its variables; each host and each group
as_grafana() {
	# shellcheck disable=SC2016 # of Grafana
	sed 's/\$__rate_interval/'"$2"'/g; s/\$listener/'"$1"'/g; s/\$\(host\|group\)/.*/g' "$dashboard"
}
