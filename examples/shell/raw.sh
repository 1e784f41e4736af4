#!/bin/sh
# The local socket without any client: JSON-RPC, one object a line. Any tool that reaches a Unix
# socket will do; this one is socat.
#
#     raw.sh METHOD [PARAMS]          raw.sh messages.send '{"type":"chat","data":{"text":"hi"}}'
set -eu

socket=${HOLDLINE_SOCKET:-${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/holdline/default.sock}
printf '{"jsonrpc":"2.0","id":1,"method":"%s","params":%s}\n' "$1" "${2:-{\}}" |
    socat -t 5 - "UNIX-CONNECT:$socket"
