# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2317 # shared with deploy/quickstart, which sources this
# nats-server for deploy/quickstart, which sources this.

broker_name=nats-server
broker_build='takes about two minutes and 0.6 GB of disk'
broker_from=4222
broker_made='stream GREENAPI'
broker_reader='an independent NATS client'
broker_command=(tests/.cache/python/bin/nats-server --config)

broker_fetch() {
  broker_name=$(tests/.cache/python/bin/nats-server --version | sed 's/: v/ /')
}

broker_address() { printf 'nats://127.0.0.1:%d\n' "$broker_port"; }

broker_configure() {
  cat >"$state/nats.conf" <<TEXT
# Written by deploy/quickstart at each start.
listen: "127.0.0.1:$broker_port"
jetstream {
  store_dir: "$state"
  # On disk before it is acknowledged: this server has no replica.
  sync_interval: always
}
TEXT
  broker_command+=("$state/nats.conf")
}

last_stored() { "$python" deploy/quickstart.py last --server "$server" --stream GREENAPI; }

# Also proves that JetStream itself is up, not only the port.
broker_answers() { last_stored; }

broker_section() { printf '[nats]\nservers = ["%s"]\n' "$server"; }

broker_remember() { before=$(last_stored); }

broker_expect() {
  "$python" deploy/quickstart.py watch --server "$server" --stream GREENAPI --after "$before" --expect "$@"
}

broker_now() { last_stored; }

broker_follow() { # the last sequence number not to show
  exec "${leash[@]}" "$python" deploy/quickstart.py watch --server "$server" --stream GREENAPI --after "$1"
}

broker_hint() { printf "nats --server %s sub 'greenapi.>'   (the nats command line is not part of this)\n" "$server"; }
