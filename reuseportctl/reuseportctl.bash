# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for reuseportctl: commands, the options of each, files, listeners and buckets of the group

_reuseportctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word command='' pin_path=/sys/fs/bpf/pmacct i
	local commands='status where pins pin unpin resize failover reset load listen connect'
	local known='nfacctd nfacctd_templates nfacctd_dtls sfacctd bgp bmp telemetry_tcp telemetry_udp'

	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-p | --pin-path) pin_path=${COMP_WORDS[i + 1]} ;;
		esac
		if [[ -z $command && " $commands " == *" $word "* ]]; then command=$word; fi
	done

	COMPREPLY=()
	case $prev in
	-p | --pin-path)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--load | --prog)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	-l | --listener)
		mapfile -t COMPREPLY < <(compgen -W "$(cd "$pin_path" 2>/dev/null && echo */ | tr -d '/*')" -- "$cur")
		return
		;;
	failover)
		mapfile -t COMPREPLY < <(compgen -W 'on off' -- "$cur")
		return
		;;
	unpin)
		mapfile -t COMPREPLY < <(compgen -W "$(reuseportctl -p "$pin_path" pins 2>/dev/null | cut -d' ' -f1)" -- "$cur")
		return
		;;
	esac

	case $command in
	'') word="$commands --help" ;;
	status) word='--json --openmetrics --watch --listener' ;;
	where) word='--json --load --listener' ;;
	pins) word='--load' ;;
	load) word="--prog $known" ;;
	listen) word='--prog --count --index --plain --tcp --udp' ;;
	connect) word='--from --exporters --ports --tcp --udp' ;;
	*) word='' ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$word --pin-path" -- "$cur")
}
complete -F _reuseportctl reuseportctl
