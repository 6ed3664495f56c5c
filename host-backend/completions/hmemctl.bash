# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Completion of hmemctl in bash: commands, VMs, options, policies and tunables.
# The words come from hmemctl and hmemd themselves; without hmemd there are fewer.

_hmemctl_words() { # SOCKET-OPTIONS... COMMAND...
	timeout 1 hmemctl -q "$@" 2>/dev/null
}

_hmemctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local commands='list status stats top heatmap migrate jobs cancel resize pool trades policy config reload explain events history doctor' command='' i words=
	local -a socket=()

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket)
			socket=(-s "${COMP_WORDS[++i]}")
			;;
		-d | --vm | -o | --output | --timeout | -n | --count | -i | --interval | \
			-t | --time | --bins | --scale | --svg)
			((i++))
			;;
		-*) ;;
		*)
			[ "$command" ] || command=${COMP_WORDS[i]}
			;;
		esac
	done

	case $prev in
	-o | --output) words='table json' ;;
	-s | --socket | --gfn-list | --svg)
		compopt -o default
		return
		;;
	-n | --count | -i | --interval | -t | --time | --bins | --scale | --timeout)
		return
		;;
	-d | --vm) words=$(_hmemctl_words "${socket[@]}" list | cut -d ' ' -f 1) ;;
	*)
		if [[ $cur == -* ]]; then
			# shellcheck disable=SC2086 # without a command: hmemctl's own options
			words=$(_hmemctl_words $command --help |
				grep -oE -- '--[a-z-]+' | sort -u)
		elif [ -z "$command" ]; then
			words=$commands
		elif [ "$command" = policy ] && [[ $prev == set || $prev == *=* ]]; then
			# The names and values of the running hmemd.
			words=$(_hmemctl_words "${socket[@]}" policy get | tr -s ' ' '=' |
				cut -d = -f 1 | sed 's/$/=/')
			[[ $words == *name=* ]] || words="name= $words"
			compopt -o nospace
		else
			words=$(_hmemctl_words "${socket[@]}" list | cut -d ' ' -f 1)
			[ "$command" != policy ] || words="$words get set reset"
			[ "$command" != config ] || words='check show'
			case $command in list | doctor | reload) words= ;; esac
			if [ "$command" = config ] && [ "$prev" = check ]; then
				compopt -o default
				words=
			fi
			[ "$command" != cancel ] ||
				words=$(_hmemctl_words "${socket[@]}" jobs | tr -s ' ' |
					sed 's/^ //' | cut -d ' ' -f 1)
		fi
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _hmemctl hmemctl
