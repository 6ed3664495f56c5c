#compdef hmemctl
# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of hmemctl in zsh: commands, VMs, options, policies and tunables.
# The words come from hmemctl and hmemd themselves; without hmemd there are fewer.

_hmemctl() {
	local cur=${words[CURRENT]} prev=${words[CURRENT - 1]} command= help
	local -a socket offer
	integer i

	for ((i = 2; i < CURRENT; i++)); do
		case ${words[i]} in
		-s | --socket) socket=(-s "${words[++i]}") ;;
		-d | --vm | -o | --output | --timeout) ((i++)) ;;
		-*) ;;
		*)
			command=${words[i]}
			break
			;;
		esac
	done
	local -a run=(timeout 1 hmemctl -q $socket)
	help=$(timeout 1 hmemctl $command --help 2>/dev/null)
	# Options that have a value, which only the user knows, unless it is among the following.
	local -a valued=(-n -i -t ${(f)"$(print -r -- $help |
		sed -n 's/^ .*\(--[a-z-]*\)=[^ ].*/\1/p')"})

	case $prev in
	-o | --output) compadd table json ;;
	-d | --vm) compadd -- ${(f)"$($run list 2>/dev/null | cut -d ' ' -f 1)"} ;;
	-s | --socket | --gfn-list | --svg) _files ;;
	*)
		if ((${valued[(Ie)$prev]})); then
			return
		elif [[ $cur == -* ]]; then
			compadd -- ${(uf)"$(print -r -- $help | grep -oE -- '--[a-z-]+')"}
			return
		fi
		case $command in
		'') compadd -- ${(f)"$(print -r -- $help |
			sed -n 's/^  \([a-z]\{1,\}\)  .*/\1/p')"} ;;
		list | doctor | reload) ;;
		cancel) compadd -- ${(f)"$($run jobs 2>/dev/null | awk '{ print $1 }')"} ;;
		config)
			if [[ $prev == check ]]; then
				_files
			else
				compadd check show
			fi
			;;
		*)
			if [[ $command == policy && ($prev == set || $prev == *=*) ]]; then
				# The names of the running hmemd.
				compadd -S '' -- name= ${(f)"$($run policy get 2>/dev/null |
					sed 's/ .*/=/')"}
				return
			fi
			[[ $command != policy ]] || compadd get set reset
			offer=(${(f)"$($run list 2>/dev/null | cut -d ' ' -f 1)"})
			compadd -- $offer
			;;
		esac
		;;
	esac
}

# In a file that zsh loads itself, the file is the function.
if [[ ${funcstack[1]-} == _hmemctl ]]; then
	_hmemctl "$@"
fi
