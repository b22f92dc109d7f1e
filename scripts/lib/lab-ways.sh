# The ways in which the lab's router shares the work among hosts: for each way NAME set_up_NAME, lose_NAME and get_back_NAME.
# Sourced by scripts/lab, which has on, address, take_address, $hosts, $lost and $mode.
# shellcheck shell=sh disable=SC2154

# route_by_group NUMBER [OPTION...]: makes a next hop to each host and a group of them with that number, and routes nfacctd's
# addresses by the group
route_by_group() {
	local number="$1" family host hops
	shift
	for family in 4 6; do
		for host in $hosts; do
			ip -n router nexthop replace id "$family$host" via "$(address "$family" "$host")" dev eth0
		done
		hops=$(for host in $hosts; do echo "$family$host"; done | paste -sd/)
		ip -n router nexthop add id "${family}0$number" group "$hops" "$@" ||
			die "this kernel has no such next-hop groups: Linux 5.13 has"
		ip -n router -$family route replace "$(address $family nfacctd)" nhid "${family}0$number"
	done
}

# hash_source: lets the source address alone decide, in both families. IPv6's default also hashes the flow label, which differs
# from socket to socket.
hash_source() {
	on router sysctl -qw net.ipv4.fib_multipath_hash_policy=3 net.ipv4.fib_multipath_hash_fields=1 \
		net.ipv6.fib_multipath_hash_policy=3 net.ipv6.fib_multipath_hash_fields=1 ||
		die "this kernel cannot hash on the source address alone: Linux 5.12 can"
	# By default the seed changes with each boot
	[ ! -e /proc/sys/net/ipv4/fib_multipath_hash_seed ] || on router sysctl -qw net.ipv4.fib_multipath_hash_seed=20260808
}

set_up_resilient() {
	hash_source
	route_by_group 1 type resilient buckets 128
}
lose_resilient() {
	for family in 4 6; do ip -n router nexthop del id "$family$lost"; done
}
# A new group: the old one would give the host any buckets of others, not those that it had
get_back_resilient() { route_by_group 2 type resilient buckets 128; }

set_up_threshold() {
	hash_source
	route_by_group 1
}
lose_threshold() { lose_resilient; }
get_back_threshold() { route_by_group 2; }

# edit_server COMMAND HOST [OPTION...]: adds, edits or deletes that host by ipvsadm, in both families
edit_server() {
	local command="$1" host="$2"
	shift 2
	on router ipvsadm "$command" -f 4 -r "$(address 4 "$host")" "$@"
	on router ipvsadm "$command" -f 6 -6 -r "$(address 6 "$host")" "$@"
}

# One service for both ports, by a mark: with a service for each port, mh would send flows and BMP to different hosts. -o: each
# datagram is placed by itself; without it, all stay with the host that had the first one, even if it is dead.
set_up_weight() {
	on router nft -f - <<-END
		table inet lab {
			chain marks {
				type filter hook prerouting priority mangle
				ip daddr $(address 4 nfacctd) th dport { 1790, 2100 } meta mark set 4
				ip6 daddr $(address 6 nfacctd) th dport { 1790, 2100 } meta mark set 6
			}
		}
	END
	take_address router
	on router ipvsadm -A -f 4 -s mh -b mh-fallback -o
	on router ipvsadm -A -f 6 -6 -s mh -b mh-fallback -o
	for host in $hosts; do edit_server -a "$host" -g -w 1; done
}
lose_weight() { edit_server -e "$lost" -g -w 0; }
get_back_weight() { edit_server -e "$lost" -g -w 1; }

set_up_removed() { set_up_weight; }
lose_removed() { edit_server -d "$lost"; }
get_back_removed() { edit_server -a "$lost" -g -w 1; }

tear_down() {
	if [ "$mode" = ecmp ]; then
		ip -n router nexthop flush >/dev/null
	else
		on router ipvsadm -C
		on router nft delete table inet lab
		ip -n router addr flush dev lo scope global
	fi
}
