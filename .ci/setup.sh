# Sourced by examples/quickstart/bake, tests/run and .ci/run: what a fresh Debian or Ubuntu needs.
# shellcheck shell=bash

# What is compiled and downloaded lives outside of the checkout and is kept.
IMGBAKE_CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/imgbake"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$IMGBAKE_CACHE/target}"

say() { printf '\n== %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# install_packages NAME…: installs those Debian packages that are missing, and asks nothing.
install_packages() {
  local name missing=()
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q ' installed$' || missing+=("$name")
  done
  [ "${#missing[@]}" -eq 0 ] && return
  say "Installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# ensure_rust: the toolchain that rust-toolchain.toml names, through rustup.
ensure_rust() {
  install_packages ca-certificates curl gcc g++ cmake make pkg-config
  PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  if ! command -v rustup >/dev/null; then
    say "Installing Rust through rustup"
    curl --proto '=https' --tlsv1.2 -fsSL https://static.rust-lang.org/rustup/rustup-init.sh |
      sh -s -- -y --no-modify-path --profile minimal --default-toolchain none
  fi
  local root channel
  root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
  channel="$(sed -n 's/^channel = "\(.*\)"$/\1/p' "$root/rust-toolchain.toml")"
  rustup run "$channel" cargo clippy --version >/dev/null 2>&1 ||
    rustup toolchain install "$channel" --profile minimal --component rustfmt,clippy
}
