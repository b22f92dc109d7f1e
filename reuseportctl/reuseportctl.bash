# SPDX-License-Identifier: GPL-2.0-or-later OR ISC
# bash completion for reuseportctl: commands, the options of each, files, listeners and overrides of the group.
#
# The names of directories and the output of commands are data that others may choose: they are compared and quoted, never
# expanded. compgen -W expands its words, so that it is not used here.

# Proposes those of the words that begin with what is typed
_reuseportctl_propose()
{
	local cur=${COMP_WORDS[COMP_CWORD]} word
	for word; do
		if [[ $word == "$cur"* ]]; then COMPREPLY+=("$word"); fi
	done
}

# _reuseportctl_files -d|-f: proposes directories, or files too; readline quotes their names
_reuseportctl_files()
{
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

# Proposes the listeners of the group at $1. A directory whose name could not be a listener's is none of ours.
_reuseportctl_listeners()
{
	local path
	for path in "$1"/*/; do
		path=${path%/}
		path=${path##*/}
		if [[ $path =~ ^[A-Za-z0-9_]+$ ]]; then _reuseportctl_propose "$path"; fi
	done
}

# Proposes the prefixes that have an override in the group at $1
_reuseportctl_prefixes()
{
	local prefix _
	while read -r prefix _; do
		# not a comment, such as an exporter in quarantine, nor a weight
		if [[ $prefix == */* ]]; then _reuseportctl_propose "$prefix"; fi
	done < <(reuseportctl -p "$1" override list 2>/dev/null)
}

_reuseportctl()
{
	local prev=${COMP_WORDS[COMP_CWORD - 1]} word command='' pin_path=/sys/fs/bpf/pmacct i
	local commands='status where exporters override rebalance resize weight drain reserve undrain forget failover sflow evict preload reset listen connect'
	local listeners='nfacctd nfacctd_templates nfacctd_dtls sfacctd bgp bmp telemetry_tcp telemetry_udp'

	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-p | --pin-path) pin_path=${COMP_WORDS[i + 1]} ;;
		esac
		if [[ -z $command && " $commands " == *" $word "* ]]; then
			command=$word
		elif [[ $command == override && $word =~ ^(add|delete|list|load)$ ]]; then
			command="override $word"
		fi
	done

	COMPREPLY=()
	case $prev in
	-p | --pin-path)
		_reuseportctl_files -d
		return
		;;
	--by)
		_reuseportctl_propose domain port
		return
		;;
	--load | --prog)
		_reuseportctl_files -f
		return
		;;
	-l | --listener)
		_reuseportctl_listeners "$pin_path"
		return
		;;
	--sort)
		_reuseportctl_propose datagrams bytes quiet
		return
		;;
	esac

	# shellcheck disable=SC2086 # words on purpose: all are literals of this file
	case $command in
	'') _reuseportctl_propose $commands ;;
	exporters) _reuseportctl_propose --listener --json --prometheus --openmetrics --watch --top --sort --seconds ;;
	rebalance) _reuseportctl_propose --listener --seconds --limit --apply ;;
	status) _reuseportctl_propose --listener --json --prometheus --openmetrics --watch ;;
	where) _reuseportctl_propose --listener --json --load ;;
	override) _reuseportctl_propose add delete list load ;;
	'override add') _reuseportctl_propose --spread --by ;;
	'override delete') _reuseportctl_prefixes "$pin_path" ;;
	'override load') _reuseportctl_files -f ;;
	failover) _reuseportctl_propose on off ;;
	sflow) _reuseportctl_propose agent sender ;;
	preload) _reuseportctl_propose $listeners --prog ;;
	listen) _reuseportctl_propose --prog --count --index --plain --tcp --udp ;;
	connect) _reuseportctl_propose --from --exporters --ports --tcp --udp ;;
	esac
	_reuseportctl_propose --pin-path --help
	if [[ -z $command ]]; then _reuseportctl_propose --version; fi
}
complete -F _reuseportctl reuseportctl
