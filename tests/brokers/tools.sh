# shellcheck shell=bash
# Sourced by tests/run, tests/brokers/fetch and deploy/quickstart: finds the tools they need, or says how to get them.

if [[ -t 2 && -z ${NO_COLOR-} ]]; then
  red=$'\e[31m' plain=$'\e[0m'
else
  red='' plain=''
fi

# Prints an error and the lines that help, to standard error.
complain() {
  printf '%serror:%s %s\n' "$red" "$plain" "$1" >&2
  shift
  (($# == 0)) || printf '       %s\n' "$@" >&2
}

# Installs Debian packages, or says why that is not possible.
install_packages() {
  local become=() log
  if ! command -v apt-get >/dev/null; then
    complain "this machine lacks what the Debian package(s) $* bring, and has no apt-get" \
      'Install them with your own package manager, then start again.'
    return 1
  fi
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      complain "the Debian package(s) $* are missing, and you are neither root nor have sudo" \
        "As root: apt-get update && apt-get install $*"
      return 1
    fi
    # Without a terminal nobody can type a password: fail rather than wait.
    if [[ -t 2 ]]; then become=(sudo); else become=(sudo -n); fi
  fi
  become+=(env DEBIAN_FRONTEND=noninteractive)
  printf 'Installing Debian packages: %s\n' "$*" >&2
  log=$(mktemp)
  if "${become[@]}" apt-get update -qq >"$log" 2>&1 </dev/null &&
    "${become[@]}" apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >>"$log" 2>&1 </dev/null; then
    rm -f "$log"
  else
    complain "installing $* failed:"
    tail -n 15 "$log" >&2
    rm -f "$log"
    return 1
  fi
}

# A C compiler and what the crates with C in them are built with (librdkafka, OpenSSL), and curl.
need_debian_tools() {
  local missing=()
  command -v cc >/dev/null && command -v make >/dev/null || missing+=(build-essential)
  perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null || missing+=(perl)
  command -v curl >/dev/null || missing+=(curl ca-certificates)
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# What makes the disk fail in tests.
need_strace() {
  command -v strace >/dev/null || install_packages strace
}

# The reverse proxies that docs/tls.md shows. The tests start their own; with systemd the packages start their services too.
need_proxies() {
  local missing=()
  # servers are where the PATH of a user does not lead
  PATH=$PATH:/usr/sbin command -v nginx >/dev/null || missing+=(nginx-light)
  PATH=$PATH:/usr/sbin command -v haproxy >/dev/null || missing+=(haproxy)
  command -v openssl >/dev/null || missing+=(openssl)
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# systemd in a container, for the unit.
need_systemd() {
  local missing=()
  command -v systemd-analyze >/dev/null || missing+=(systemd)
  command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# The tool of the Compose Specification, where there is a Go that builds it. Call it in the folder of Cargo.toml.
need_compose() {
  local tool=$PWD/tests/.cache/compose/compose-spec stamp wanted
  stamp=$tool.sha256
  wanted=$(cat tests/compose/go.mod tests/compose/go.sum | sha256sum)
  [[ $(cat "$stamp" 2>/dev/null) != "$wanted" ]] || return 0
  # from 1.21 on go fetches the toolchain that go.mod asks for
  command -v go >/dev/null && [[ $(go version) =~ go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 21)) || return 0
  printf 'Building the tool of the Compose Specification (a minute)\n' >&2
  if go build -C tests/compose -o "$tool" github.com/compose-spec/compose-go/v2/cmd; then
    echo "$wanted" >"$stamp"
  fi
}

# What attacks slowly, and what makes certificates.
need_slowhttptest() {
  local missing=()
  command -v slowhttptest >/dev/null || missing+=(slowhttptest)
  command -v openssl >/dev/null || missing+=(openssl)
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# What pages are looked at with, and a font with all that stands on them.
need_chromium() {
  command -v chromium >/dev/null || install_packages chromium fonts-dejavu-core
}

# What JavaScript runs with.
need_node() {
  local missing=()
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# What builds an image and runs it, without a daemon, and the certificates that go into it.
need_buildah() {
  local missing=()
  command -v buildah >/dev/null || missing+=(buildah)
  [[ -d /usr/share/ca-certificates/mozilla ]] || missing+=(ca-certificates)
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# A name server that answers as that of a cluster does.
need_name_server() {
  # servers are where the PATH of a user does not lead
  PATH=$PATH:/usr/sbin command -v dnsmasq >/dev/null || install_packages dnsmasq-base
}

# What sets up a network of its own.
need_ip() {
  PATH=$PATH:/usr/sbin command -v ip >/dev/null || install_packages iproute2
}

# Cargo, new enough for Cargo.toml's rust-version. Call it in the folder of Cargo.toml.
need_rust() {
  local wanted have
  wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
  # rustup puts cargo here; a shell opened before its installation does not know yet.
  if ! command -v cargo >/dev/null && [[ -x ${HOME-}/.cargo/bin/cargo ]]; then
    PATH=$HOME/.cargo/bin:$PATH
  fi
  if ! command -v cargo >/dev/null; then
    complain "Rust is missing: $wanted or newer is needed" \
      'Get it with rustup: https://www.rust-lang.org/tools/install' \
      "(Debian's own cargo package is too old.)"
    return 1
  fi
  # A cargo without its compiler, or one rustup has no toolchain for, has no version to show.
  have=$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p') || have=''
  if [[ -z $have ]]; then
    complain 'cargo is there, but rustc does not run' \
      'With rustup: rustup default stable' \
      'Otherwise see https://www.rust-lang.org/tools/install'
    return 1
  fi
  if [[ $(printf '%s\n' "$wanted" "$have" | sort -V | head -n 1) != "$wanted" ]]; then
    complain "Rust $have is too old: $wanted or newer is needed" \
      'With rustup: rustup update stable' \
      'Otherwise see https://www.rust-lang.org/tools/install'
    return 1
  fi
}

# The bridge reads BRIDGE_<SECTION>__<KEY>. One left in the shell would change what the tests and the quickstart start.
forget_bridge_settings() {
  local name
  for name in "${!BRIDGE_@}"; do
    if [[ $name == *__* || $name == BRIDGE_CONFIG ]]; then unset "$name"; fi
  done
}
