# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # shared with deploy/quickstart, which sources this
# The command line of deploy/quickstart, which sources this: reads it, and refuses what cannot be.

usage() {
  cat <<'TEXT'
Usage: deploy/quickstart [--kafka] [--once] [--listen ADDRESS[:PORT]]
                         [--bridge FILE] [--dir DIR]

Builds the bridge, starts it beside a real nats-server with JetStream, sends
one notification of each class, and shows what another client reads from the
broker. Then it keeps running and shows what arrives, until Ctrl-C.

  --kafka           a real Apache Kafka instead of nats-server, which Java runs
  --once            stop again after the samples have arrived
  --listen ADDRESS  take notifications on this IP address (default 127.0.0.1);
                    without a port it takes 3000 or the next free one
  --bridge FILE     use this greenapi-bridge instead of building one
  --dir DIR         keep token, config, logs and stream here
                    (default deploy/.quickstart)
  --help            this text

Needs Rust. The first build takes about 2 minutes, for Kafka 4; it is for a
first look alone: for production build with `cargo build --release`. What else
is missing is installed with apt-get, as root or with sudo: build-essential,
perl, curl, ca-certificates, python3, python3-venv; for Kafka maven and
default-jdk-headless. The broker is fetched once into tests/.cache.
TEXT
}

# Paths on the command line are meant from where the person stands.
from_caller() {
  case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s/%s\n' "$called_from" "$1" ;; esac
}

once='' address=127.0.0.1 binary='' state=deploy/.quickstart broker=nats
while (($# > 0)); do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --kafka) broker=kafka ;;
    --once) once=yes ;;
    --listen | --bridge | --dir)
      if [[ -z ${2-} ]]; then
        echo "$1 needs a value; see --help" >&2
        exit 2
      fi
      case $1 in
        --listen) address=$2 ;;
        --bridge) binary=$(from_caller "$2") ;;
        --dir) state=$(from_caller "$2") ;;
      esac
      shift
      ;;
    *)
      echo "unknown argument: $1; see --help" >&2
      exit 2
      ;;
  esac
  shift
done

refuse() {
  complain "$@"
  exit 2
}

is_ipv4() {
  local byte='(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
  [[ $1 =~ ^($byte\.){3}$byte$ ]]
}

is_ipv6() {
  [[ $1 =~ ^([0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}$ && $1 != *:::* && $1 != *::*::* ]] &&
    [[ $1 == *::* || $1 =~ ^([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}$ ]]
}

is_port() { [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && (($1 <= 65535)); }

# Splits --listen into address and port; an IPv6 address needs brackets where a port follows.
listen=$address port=''
if [[ $listen =~ ^\[(.*)\](:(.*))?$ ]]; then
  address=${BASH_REMATCH[1]} port=${BASH_REMATCH[3]} with_port=${BASH_REMATCH[2]}
  is_ipv6 "$address" || address=''
elif is_ipv6 "$listen"; then
  with_port=''
else
  address=${listen%%:*} port=${listen#"$address"} with_port=$port
  port=${port#:}
  is_ipv4 "$address" || address=''
fi
if [[ -z $address ]] || { [[ -n $with_port ]] && ! is_port "$port"; }; then
  refuse "--listen $listen: not ADDRESS or ADDRESS:PORT" \
    'ADDRESS is an IP address of this machine: 127.0.0.1, 0.0.0.0 for all, or like 192.0.2.7 and [2001:db8::7].'
fi
listen_ip=$address
if [[ $address == *:* ]]; then address="[$address]"; fi

# For this user alone, as all that will be in it.
if ! (umask 077 && mkdir -p "$state") 2>/dev/null || [[ ! -w $state ]]; then
  refuse "--dir $state: not a directory to write to, and none can be made there" 'Name another place with --dir.'
fi

if [[ -n $binary ]]; then
  version=$(timeout 10 "$binary" --version 2>/dev/null </dev/null) || version=''
  [[ $version == 'greenapi-bridge '* ]] ||
    refuse "--bridge $binary: not a greenapi-bridge that runs here" \
      'Give the path of one, as target/release/greenapi-bridge; or leave --bridge out, and one is built.'
fi
