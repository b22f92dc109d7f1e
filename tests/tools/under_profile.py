#!/usr/bin/python3
"""under_profile.py PROFILE CAPABILITY... -- COMMAND...: runs the command under a seccomp profile of podman or docker, with those
of its rules that count for a container with these capabilities, on this machine. Needs Debian's python3-seccomp."""
import json
import os
import sys

import seccomp

ACTIONS = {'SCMP_ACT_ALLOW': lambda rule: seccomp.ALLOW, 'SCMP_ACT_ERRNO': lambda rule: seccomp.ERRNO(rule.get('errnoRet', 1))}
OPERATORS = {
    'SCMP_CMP_EQ': seccomp.EQ, 'SCMP_CMP_NE': seccomp.NE, 'SCMP_CMP_LT': seccomp.LT, 'SCMP_CMP_LE': seccomp.LE,
    'SCMP_CMP_GT': seccomp.GT, 'SCMP_CMP_GE': seccomp.GE, 'SCMP_CMP_MASKED_EQ': seccomp.MASKED_EQ,
}
MACHINES = {'x86_64': 'amd64', 'aarch64': 'arm64'}


def conditions(rule, field):
    value = rule.get(field) or {}
    return set(value.get('arches') or []), set(value.get('caps') or [])


def counts(rule, capabilities):
    """As in containers-common: all that it includes, and nothing that it excludes"""
    machine = MACHINES.get(os.uname().machine, os.uname().machine)
    arches, needed = conditions(rule, 'includes')
    other_arches, excluded = conditions(rule, 'excludes')
    return (not arches or machine in arches) and needed <= capabilities and machine not in other_arches and not excluded & capabilities


def main():
    end = sys.argv.index('--')
    capabilities = set(sys.argv[2:end])
    with open(sys.argv[1], encoding='utf-8') as file:
        profile = json.load(file)
    default = ACTIONS[profile['defaultAction']]({'errnoRet': profile.get('defaultErrnoRet', 1)})
    filter_ = seccomp.SyscallFilter(default)
    for rule in profile['syscalls']:
        action = ACTIONS[rule['action']](rule)
        if not counts(rule, capabilities) or action == default:
            continue
        arguments = []
        for arg in rule.get('args') or []:
            values = [arg['value'], arg.get('valueTwo', 0)] if arg['op'] == 'SCMP_CMP_MASKED_EQ' else [arg['value']]
            arguments.append(seccomp.Arg(arg['index'], OPERATORS[arg['op']], *values))
        for name in rule['names']:
            # one that this machine's kernels never had
            if seccomp.resolve_syscall(seccomp.Arch(), name) != -1:
                filter_.add_rule(action, name, *arguments)
    filter_.load()
    os.execvp(sys.argv[end + 1], sys.argv[end + 1:])


main()
