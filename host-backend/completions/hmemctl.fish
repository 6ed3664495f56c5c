# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of hmemctl in fish: commands, VMs, options, policies and tunables.
# The words come from hmemctl and hmemd themselves; without hmemd there are fewer.

# Run hmemctl with the control socket that the command line names.
function __hmemctl_run
    set -l words (commandline -opc)
    set -l socket
    for i in (seq 2 (count $words))
        if contains -- $words[$i] -s --socket; and set -q words[(math $i + 1)]
            set socket -s $words[(math $i + 1)]
        end
    end
    timeout 1 hmemctl -q $socket $argv 2>/dev/null
end

# The command on the command line, if there is one.
function __hmemctl_command
    set -l words (commandline -opc)
    set -l skip
    for word in $words[2..-1]
        if set -q skip[1]
            set -e skip[1]
        else if contains -- $word -s --socket -d --vm -o --output --timeout
            set skip 1
        else if not string match -q -- '-*' $word
            echo $word
            return
        end
    end
end

function __hmemctl_commands
    timeout 1 hmemctl --help 2>/dev/null |
        string replace -rf '^  ([a-z]+)  +(.*)$' '$1\t$2'
end

# The options of the command, as "--option" or "--option=VALUE", and what they mean.
function __hmemctl_help
    timeout 1 hmemctl (__hmemctl_command) --help 2>/dev/null |
        string replace -rf '^ +(-[^ ]+ )? *(--[a-z-]+)(=[^ ]+)? *(.*)$' '$2$3\t$4'
end

function __hmemctl_vms
    __hmemctl_run list | string replace -r ' .*' ''
end

# The words that can follow, other than options.
function __hmemctl_arguments
    set -l command (__hmemctl_command)
    set -l previous (commandline -opc)[-1]
    switch "$command"
        case ''
            __hmemctl_commands
        case list doctor reload
        case cancel
            __hmemctl_run jobs | string replace -r '^ *([0-9]+).*' '$1'
        case config
            if test "$previous" = check
                __fish_complete_path (commandline -ct)
            else
                printf '%s\n' check show
            end
        case policy
            if string match -qr '^set$|=' -- $previous
                # The names of the running hmemd.
                printf '%s\n' name= (__hmemctl_run policy get | string replace -r ' .*' '=')
            else
                printf '%s\n' get set reset
                __hmemctl_vms
            end
        case '*'
            __hmemctl_vms
    end
end

function __hmemctl_complete
    set -l previous (commandline -opc)[-1]
    switch "$previous"
        case -o --output
            printf '%s\n' table json
        case -d --vm
            __hmemctl_vms
        case -s --socket --gfn-list --svg
            __fish_complete_path (commandline -ct)
        case -n -i -t
        case '*'
            # After an option that has a value, only the user knows that.
            if string match -q -- "$previous=*" (__hmemctl_help)
                return
            end
            if string match -q -- '-*' (commandline -ct)
                __hmemctl_help | string replace -r '=[^\t]*' ''
            else
                __hmemctl_arguments
            end
    end
end

complete -c hmemctl -f -a '(__hmemctl_complete)'
