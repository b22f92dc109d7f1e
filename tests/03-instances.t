#!/bin/sh
# scripts/instances: each instance gets its own path for what it writes and shares what it reads, and nothing is overwritten. Each
# key that takes a text, by pmacct's dictionary, is known to be written, read, or no path at all.
. "${0%/*}/lib/tap.sh"

make_tmp
instances=$root/scripts/instances
# A command that runs it, or none
as=''

# instance N CONFIG-LINE...: prints what the Nth of three configs made from these lines has, without the lines that all configs get
instance() {
	local n="$1"
	shift
	rm -rf "$tmp/one"
	mkdir "$tmp/one"
	printf '%s\n' "$@" >"$tmp/one/x.conf"
	"$instances" --prog /reuseport.o "$tmp/one/x.conf" 3 >/dev/null || return
	grep -vE '^reuseport_|^nfacctd_templates_file: /var/lib/' "$tmp/one/x-$n.conf" | paste -sd'|'
}

# listing: prints all files with mode, size and time, to see whether something changed
listing() {
	find "$tmp" -type d -printf '%p %m\n' -o -printf '%p %m %s %T@\n' | sort
}

# refused NAME REGEX ARGUMENT...: asserts that it fails, says why in one line that matches, and leaves everything as it was
refused() {
	local what="$1" regex="$2" before got status
	shift 2
	before=$(listing)
	# shellcheck disable=SC2086 # words
	got=$($as "$instances" "$@" 2>&1) && status=0 || status=1
	like "refused: $what" "$got" "^instances: .*$regex"
	is "  in one line, with an exit status" "$(printf '%s\n' "$got" | wc -l) $status" "1 1"
	is "  and everything is as it was" "$(listing)" "$before"
}

# written_keys: keys of the lines that diff, on stdin, has of the first file, except our own
written_keys() {
	sed -n 's/^< \([a-z0-9_]*\).*/\1/p' | grep -v '^reuseport_' | sort -u
}

# ---- a whole config: files that are written are in /w, files that are read in /r ----

whole_config() {
	cat <<-'END'
	! pidfile: /r/in-a-comment.pid
	  # logfile: /r/in-a-comment.log
	Daemonize: true

	 PidFile : /w/nfacctd.pid   
	logfile:/w/nfacctd.log
	plugins: memory[m], Print[ p ], sqlite3[lite], pgsql[pg], kafka[k]
	imt_path [m]: /w/m.pipe
	print_output_file[p]: /w/$peer_src_ip/flows-%Y%m%d-%H%M.txt
	PRINT_LATEST_FILE[p]: /w/latest-$tag
	print_output_lock_file: /w/lock
	avro_schema_output_file[k]: /w/flow.avsc
	sql_db[lite]: /w/flows.db
	sql_recovery_backup_host[lite]: /w/recovery.db
	sql_db[pg]: /r/pmacct
	sql_table[pg]: acct_%w
	kafka_topic[k]: flows
	kafka_config_file[k]: /r/librdkafka.conf
	nfacctd_templates_file: /w/templates.json
	nfacctd_allow_file: /r/allow.lst
	networks_file[p]: /r/networks.lst
	pre_tag_map: /r/pretag.map
	bmp_daemon: true
	bmp_daemon_msglog_file: /w/bmp-$bmp_router.log
	bmp_dump_file: /w/bmp/$bmp_router/%Y.%m.%d
	bmp_dump_latest_file: /w/bmp/$bmp_router/latest
	bmp_dump_avro_schema_file: /w/bmp.avsc
	reuseport_nonce: 7
	reuseport_hashbucket_index: 5
	print_trigger_exec: /r/trigger
	END
}

# wanted_changes: the lines that differ in the config for index 2
wanted_changes() {
	cat <<-'END'
	PidFile : /w/nfacctd-2.pid
	logfile: /w/nfacctd-2.log
	imt_path [m]: /w/m-2.pipe
	print_output_file[p]: /w/$peer_src_ip/flows-%Y%m%d-%H%M-2.txt
	PRINT_LATEST_FILE[p]: /w/latest-$tag-2
	print_output_lock_file: /w/lock-2
	avro_schema_output_file[k]: /w/flow-2.avsc
	sql_db[lite]: /w/flows-2.db
	sql_recovery_backup_host[lite]: /w/recovery-2.db
	nfacctd_templates_file: /w/templates-2.json
	bmp_daemon_msglog_file: /w/bmp-$bmp_router-2.log
	bmp_dump_file: /w/bmp/$bmp_router/%Y.%m-2.%d
	bmp_dump_latest_file: /w/bmp/$bmp_router/latest-2
	bmp_dump_avro_schema_file: /w/bmp-2.avsc
	reuseport_hashbucket_index: 2
	reuseport_hashbucket_count: 3
	reuseport_bpf_prog: /lib/reuseport.o
	print_output_file_append[p]: true
	END
}

make_configs() {
	local stdout
	whole_config >"$tmp/in/nfacctd.conf"
	chmod 640 "$tmp/in/nfacctd.conf"
	stdout=$("$instances" --prog /lib/reuseport.o --out "$tmp/out" "$tmp/in/nfacctd.conf" 3 2>"$tmp/err")
	is "three configs from one, by the names that it prints" "$(ls "$tmp/out"/*)" "$(echo "$stdout" | grep '^/')"
	like "and it says how many" "$stdout" '^instances: 3 '
	is "nothing to complain about" "$(cat "$tmp/err")" ""
	is "a comment, a blank line, unknown words, what is read: as they were" "$(diff "$tmp/in/nfacctd.conf" \
		"$tmp/out/nfacctd-2.conf" | sed -n 's/^< //p' | grep -v /w/)" "reuseport_hashbucket_index: 5"
	is "whatever is written has the index, before the extension, whole variables, and only that changed" \
		"$(diff "$tmp/in/nfacctd.conf" "$tmp/out/nfacctd-2.conf" | sed -n 's/^> //p')" "$(wanted_changes)"
}

compare_configs() {
	local written
	written=$(grep -ho '/w/.*' "$tmp/out"/*.conf)
	is "no path that is written is in two of them" "$(echo "$written" | sort | uniq -d)" ""
	is "and there are all of them" "$(echo "$written" | wc -l)" $((3 * $(grep -c /w/ "$tmp/in/nfacctd.conf")))
	is "the mode, since there may be passwords in it" "$(stat -c %a "$tmp/out"/*.conf | sort -u)" 640
}

make_configs_from_others() {
	"$instances" "$tmp/out/nfacctd-1.conf" 2 >/dev/null
	is "from a config that was made so: one line of each key, with the new values" \
		"$(sed -n 's/^reuseport_//p' "$tmp/out/nfacctd-1-0.conf" | sort | paste -sd'|')" \
		"bpf_prog: /lib/reuseport.o|hashbucket_count: 2|hashbucket_index: 0|nonce: 7"
	"$instances" --prog /other.o --out "$tmp/in" "$tmp/out/nfacctd-1.conf" 1 >/dev/null
	is "--prog wins over the config" "$(grep bpf_prog "$tmp/in/nfacctd-1-0.conf")" "reuseport_bpf_prog: /other.o"
	printf 'plugins: print\nlogfile: /w/x' >"$tmp/in/plain"
	(cd "$tmp/in" && "$instances" --prog /r.o plain 1 >/dev/null)
	is "a config by another name, in the current directory, whose last line does not end" \
		"$(sed -n 2p "$tmp/in/plain-0.conf")" "logfile: /w/x-0"
}

# ---- what the index is put in ----

change_file_names() {
	local path wanted
	# in /dev: what is no file; a dot in front: no extension; a dot in a directory, two of them, blanks, a CR
	while IFS='>' read -r path wanted; do
		is "$path" "$(instance 1 'plugins: print' "logfile: $path")" "plugins: print|logfile: $wanted"
	done <<-'END'
	/dev/stdout>/dev/stdout
	/run/$index/x.log>/run/$index/x.log
	/proc/self/fd/2>/proc/self/fd/2
	/dev/shm/x.log>/dev/shm/x-1.log
	/etc/pmacct.d/log>/etc/pmacct.d/log-1
	/run/.log>/run/.log-1
	/run/.x.log>/run/.x-1.log
	.log>.log-1
	x>x-1
	a.b.c>a.b-1.c
	a b.c>a b-1.c
	/w/$tag2.$post_tag>/w/$tag2-1.$post_tag
	END
	is "lines that end in CR, LF" "$(instance 1 "$(printf 'plugins: print\r\nlogfile: /w/x.log\r')" | tr -d '\r')" \
		"plugins: print|logfile: /w/x-1.log"
}

change_paths_of_plugins() {
	is "no plugins: nfacctd falls back to memory, in a path that all would share" \
		"$(instance 2 'daemonize: true')" "daemonize: true|imt_path: /tmp/collect-2.pipe"
	is "memory without a path" \
		"$(instance 2 'plugins: memory')" "plugins: memory|imt_path[default_memory]: /tmp/collect-2.pipe"
	is "after a plugin without a name pmacct forgets the names that follow" \
		"$(instance 2 'plugins: print, memory[m]')" \
		"plugins: print, memory[m]|imt_path[default_memory]: /tmp/collect-2.pipe"
	is "two of memory, one of them with a path" \
		"$(instance 2 'plugins: memory[a],memory[b]' 'imt_path[a]: /w/a')" \
		"plugins: memory[a],memory[b]|imt_path[a]: /w/a-2|imt_path[b]: /tmp/collect-2.pipe"
	is "one path for all" "$(instance 2 'imt_path: /w/a' 'plugins: memory[a]')" "imt_path: /w/a-2|plugins: memory[a]"
	is "sqlite3 without a path" \
		"$(instance 2 'plugins: sqlite3[l]')" "plugins: sqlite3[l]|sql_db[l]: /tmp/pmacct-2.db"
	is "one database for sqlite3" \
		"$(instance 2 'plugins: sqlite3' 'sql_db: /w/x.db')" "plugins: sqlite3|sql_db: /w/x-2.db"
	is "one database for sqlite3 and another type, to which it is no path" \
		"$(instance 2 'plugins: sqlite3[l], pgsql[g]' 'sql_db: x.db')" \
		"plugins: sqlite3[l], pgsql[g]|sql_db: x.db|sql_db[l]: x-2.db"
}

leave_what_is_no_path() {
	is "a table, a topic, an exchange: no path" \
		"$(instance 2 'plugins: mysql[m], amqp[a]' 'sql_table: t' 'kafka_topic[m]: k' 'amqp_exchange: e')" \
		"plugins: mysql[m], amqp[a]|sql_table: t|kafka_topic[m]: k|amqp_exchange: e"
	is "a plugin that print_output_file is set for by another of its names" \
		"$(instance 2 'plugins: print[p], kafka[k]' 'sql_table[p]: /w/x.txt')" \
		"plugins: print[p], kafka[k]|sql_table[p]: /w/x-2.txt"
}

templates() {
	sed -n 's/^nfacctd_templates_file: //p' "$tmp/one/x-2.conf"
}

set_what_is_missing() {
	is "print writes to a file: append" "$(instance 2 'plugins: print[p], print[q]' 'print_output_file[p]: /w/x')" \
		"plugins: print[p], print[q]|print_output_file[p]: /w/x-2|print_output_file_append[p]: true"
	is "nfacctd: templates, in a file of its own" "$(templates)" "/var/lib/pmacct/x-templates-2.json"
	is "all print plugins write to one" "$(instance 2 'print_output_file: /w/x' 'plugins: print')" \
		"print_output_file: /w/x-2|plugins: print|print_output_file_append[default_print]: true"
	is "append is given" "$(instance 2 'plugins: print' 'print_output_file: /w/x' 'Print_Output_File_Append: true')" \
		"plugins: print|print_output_file: /w/x-2|Print_Output_File_Append: true"
	instance 2 'bmp_daemon_port: 1790' >/dev/null
	is "pmbmpd: no templates" "$(templates)" ""
	printf 'plugins: print\nprint_output_file: /w/x\nprint_output_file_append: false\n' >"$tmp/in/over.conf"
	is "append is false: a warning of one line" \
		"$("$instances" --prog /r.o "$tmp/in/over.conf" 2 2>&1 >/dev/null | grep -c 'WARNING: .* overwrites')" 1
}

# ---- what it cannot do ----

warn() {
	printf 'bgp_daemon: true\nbgp_daemon_lg: true\nredis_host: false\n' >"$tmp/in/b|g&p.conf"
	is "a port that is not shared by exporter: a warning of one line, which names the key and the config" \
		"$("$instances" --prog /r.o "$tmp/in/b|g&p.conf" 2 2>&1 >/dev/null | grep -cF "WARNING: $tmp/in/b|g&p.conf has bgp_daemon_lg,")" 1
	printf 'plugins: print\nsfacctd_port: 6343\n' >"$tmp/in/sflow.conf"
	"$instances" --prog /r.o "$tmp/in/sflow.conf" 1 >/dev/null
	is "sfacctd has no templates" "$(grep -c templates "$tmp/in/sflow-0.conf")" 0
}

refuse_arguments() {
	local n
	echo 'logfile: /w/x' >"$tmp/in/a.conf"
	refused "no arguments" "no config"
	refused "no count" "whole number from 1 to 128" "$tmp/in/a.conf"
	for n in 0 129 1000 -1 1.5 x 03 ''; do
		refused "the count '$n'" "COUNT|option" "$tmp/in/a.conf" "$n"
	done
	refused "three arguments" "one count" "$tmp/in/a.conf" 2 3
	refused "an unknown option" "unknown option" --force "$tmp/in/a.conf" 2
	refused "an option without its value" "needs a value" "$tmp/in/a.conf" 2 --prog
	refused "no selector" "no reuseport_bpf_prog" "$tmp/in/a.conf" 2
	refused "a relative path of the selector" "absolute" --prog reuseport.o "$tmp/in/a.conf" 2
	echo 'reuseport_bpf_prog: reuseport.o' >"$tmp/in/relative.conf"
	refused "the same in the config" "absolute" "$tmp/in/relative.conf" 2
}

refuse_files() {
	refused "no such config" "nowhere.conf: not a file" --prog /r.o "$tmp/nowhere.conf" 2
	refused "a directory for a config" "not a file" --prog /r.o "$tmp/in" 2
	printf '! only a comment\n\n' >"$tmp/in/empty.conf"
	refused "a config without a key" "empty.conf: no key" --prog /r.o "$tmp/in/empty.conf" 2
	refused "something else for a config" "common.sh:[0-9]+: no colon" --prog /r.o --out "$tmp/in" "$root/scripts/lib/common.sh" 2
	refused "no such directory" "no such directory" --prog /r.o --out "$tmp/nowhere" "$tmp/in/a.conf" 2
}

# refuse_without_permission: root, too, bound by permissions like anyone else
refuse_without_permission() {
	local as='' instances="$tmp/scripts/instances"
	# they could not enter the project's directory, if that is in a home
	cp -R "$root/scripts" "$tmp"
	chmod 0 "$tmp/in/plain"
	mkdir -m 555 "$tmp/readonly"
	[ "$(id -u)" -ne 0 ] || as='setpriv --bounding-set=-all --inh-caps=-all'
	refused "a config that cannot be read" "permission" --prog /r.o "$tmp/in/plain" 2
	refused "a directory that cannot be written" "permission" --prog /r.o --out "$tmp/readonly" "$tmp/in/a.conf" 2
}

refuse_to_overwrite() {
	echo precious >"$tmp/in/a-2.conf"
	refused "one of four configs is there already" "a-2.conf exists already" --prog /r.o "$tmp/in/a.conf" 4
	rm "$tmp/in/a-2.conf"
	ln -s /nowhere "$tmp/in/a-3.conf"
	refused "a dangling link is there" "a-3.conf exists already" --prog /r.o "$tmp/in/a.conf" 4
}

# ---- the whole dictionary ----

# What a daemon only reads, executes or connects to
read_only='aggregate_primitives networks_file ports_file protos_file tos_file sql_table_schema sql_conn_ca_file
	mongo_indexes_file print_output_custom_lib print_output_custom_cfg_file kafka_config_file dtls_path
	sql_trigger_exec print_trigger_exec mongo_trigger_exec amqp_trigger_exec kafka_trigger_exec
	nfacctd_allow_file sfacctd_allow_file bgp_daemon_allow_file bmp_daemon_allow_file telemetry_daemon_allow_file
	nfacctd_rp_ebpf_prog sfacctd_rp_ebpf_prog bgp_daemon_rp_ebpf_prog bmp_daemon_rp_ebpf_prog
	telemetry_daemon_udp_notif_rp_ebpf_prog reuseport_bpf_prog reuseport_pin_path
	nfacctd_kafka_config_file sfacctd_kafka_config_file telemetry_daemon_kafka_config_file tee_kafka_config_file
	sfacctd_counter_kafka_config_file bgp_daemon_msglog_kafka_config_file bgp_table_dump_kafka_config_file
	bmp_daemon_msglog_kafka_config_file bmp_dump_kafka_config_file telemetry_daemon_msglog_kafka_config_file
	telemetry_dump_kafka_config_file pcap_savefile pcap_interfaces_map pre_tag_map sampling_map flow_to_rd_map
	bgp_daemon_tag_map bmp_daemon_tag_map telemetry_daemon_tag_map bgp_peer_src_as_map bgp_src_local_pref_map
	bgp_src_med_map bgp_agent_map bmp_agent_map bgp_daemon_xconnect_map igp_daemon_map bgp_daemon_md5_file
	rpki_roas_file geoip_ipv4_file geoip_ipv6_file geoipv2_file tee_receivers'
# What is no path, although it is a text or its name ends like a path's
no_path='aggregate_filter bgp_blackhole_stdcomm_list cluster_name isis_daemon_msglog nfprobe_dtls_verify_cert
	nfacctd_templates_receiver nfprobe_receiver sfprobe_receiver tee_max_receivers sfprobe_agentip
	nfprobe_engine nfprobe_timeouts pcap_filter plugin_pipe_zmq_profile pre_tag_label_encode_as_map
	print_output_separator print_write_empty_file redis_db rpki_rtr_cache sql_data sql_delimiter sql_locking_style
	syslog telemetry_daemon_decoder tunnel_0 writer_id_string'
# The same by how they end
no_path_end='_(ip|host|address|interface|iface|net|user|passwd|vhost|exchange|routing_key|topic|registry|partition_key'
no_path_end="$no_path_end|id|type|pattern|to_asn|preprocess|roundoff|proc_name)\$"

# list_texts: the keys whose handler keeps the text as it is, or whose name is like a path's, go to $tmp/texts; each key with its
# handler to $tmp/dictionary
list_texts() {
	sed -n 's/^  {"\([^"]*\)", \([a-zA-Z_0-9]*\)}.*/\1 \2/p' "$tree/src/cfg.c" | grep -v '^plugins ' >"$tmp/dictionary"
	awk 'FILENAME != ARGV[2] { if (/^int cfg_key_/) { handler = $2; sub(/\(.*/, "", handler) }
			if (/cfg\.[a-z_0-9]+ = value_ptr/) text[handler] }
		FILENAME == ARGV[2] && ($2 in text ||
			$1 ~ /(file|path|log|db|map|pid|lock|dir|fifo|pipe|socket|schema|prog|lib|exec)$/) { print $1 }' \
		"$tree/src/cfg_handlers.c" "$tmp/dictionary" | sort -u >"$tmp/texts"
}

# config_of_all_keys: each key for all plugins, for print and for sqlite3
config_of_all_keys() {
	local key
	echo 'plugins: print[p], sqlite3[s]'
	while read -r key _; do
		printf '%s%s\n' "$key" ": /w/$key.x" "$key" "[p]: /w/$key-p.x" "$key" "[s]: /w/$key-s.x"
	done <"$tmp/dictionary"
}

# list_written_keys: those that are changed
list_written_keys() {
	config_of_all_keys >"$tmp/in/all.conf"
	"$instances" --prog /r.o --out "$tmp/out" "$tmp/in/all.conf" 3 >/dev/null 2>&1
	diff "$tmp/in/all.conf" "$tmp/out/all-0.conf" | written_keys >"$tmp/written"
	echo "$read_only" | tr -s '[:space:]' '\n' >"$tmp/read_only"
	echo "$no_path" | tr -s '[:space:]' '\n' >"$tmp/no_path"
}

know_each_key() {
	list_texts
	ok "pmacct's dictionary was found" test "$(wc -l <"$tmp/texts")" -gt 200
	list_written_keys
	is "each key is either written, or read, or no path: a new one has to be told apart in scripts/instances or here" \
		"$(sort -u "$tmp/written" "$tmp/read_only" "$tmp/no_path" | comm -23 "$tmp/texts" - |
			grep -Ev "$no_path_end" | paste -sd' ')" ""
	is "no key is two of them" "$(sort "$tmp/written" "$tmp/read_only" "$tmp/no_path" | uniq -d)" ""
	is "what is written by one name of a key, is so by its other names" \
		"$(awk 'NR == FNR { written[$1]; next } $1 in written { handler[$2]; next } { key[$1] = $2 }
			END { for (k in key) if (key[k] in handler) print k }' "$tmp/written" "$tmp/dictionary")" ""
	is "what is written, is elsewhere in the next instance" \
		"$(diff "$tmp/out/all-0.conf" "$tmp/out/all-1.conf" | written_keys)" "$(cat "$tmp/written")"
}

mkdir "$tmp/in" "$tmp/out"
like "--help says how it is called" "$("$instances" --help)" '^instances .*CONFIG COUNT'
make_configs
compare_configs
make_configs_from_others
change_file_names
change_paths_of_plugins
leave_what_is_no_path
set_what_is_missing
warn
refuse_arguments
refuse_files
refuse_without_permission
refuse_to_overwrite
know_each_key
done_testing
