#!/bin/sh
# Tells the room that a long command has ended. Works offline: the message waits until there is a line.
#
#     notify-room.sh COMMAND [ARGUMENT]…
set -u

"$@"
status=$?

# A script needs no JSON library to be safe: `-` reads the data from standard input.
printf '{"text": "a command on %s ended with %d"}' "$(uname -n)" "$status" |
    holdline ctl send chat - --ttl 1h --lane notices >&2

exit "$status"
