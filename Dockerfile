# The container action. Two images come from here:
#   slim  the program and what it needs, nothing else: what the action uses
#   full  the same in a Debian with what provisioners on this side need: ansible, git, ssh, qemu-img, …
#         docker build --target full .
# The runner and Kubernetes want root, no WORKDIR, and a few commands (sh, tail, env, mv, rm).
# Base images are named by the digest of their index (amd64 and arm64); Dependabot renews them.
# `tests/image` builds and measures both; the tests of the action run in the stages after the first.

FROM rust:1.95-slim-trixie@sha256:ee4fa026a11f9e8b1b00568364a880dc720409bb94b0e6800f63f974f9c909d5 AS compiled
WORKDIR /src
# The dependencies are a layer of their own: a change of our own files compiles none of them again.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
 && touch src/lib.rs \
 && echo 'fn main() {}' > src/main.rs \
 && cargo build --release --locked
COPY src src
RUN touch src/lib.rs src/main.rs \
 && cargo build --release --locked \
 && cp target/release/imgbake /usr/local/bin/

FROM debian:trixie-slim@sha256:3a39a0592364683e6bab97937b72cad5a8fa6dcbbee90edb3bb48c7f8e94f258 AS system
RUN apt-get update \
 && apt-get install -y --no-install-recommends busybox-static ca-certificates \
 && rm -rf /var/lib/apt/lists/*

# The program under the names that it is called by, its libraries, certificates, and the commands of
# busybox.
FROM system AS tree
COPY --from=compiled /usr/local/bin/imgbake /slim/usr/local/bin/imgbake
RUN mkdir -p /slim/bin /slim/etc /slim/root \
 && install -d -m 1777 /slim/tmp \
 && ln -s imgbake /slim/usr/local/bin/imgbake-action \
 && ln -s imgbake /slim/usr/local/bin/imgbake-action-post \
 && ldd /slim/usr/local/bin/imgbake | grep -o '/[^ ]*' | xargs -I{} cp -L --parents {} /slim/ \
 && cp -a --parents /etc/ssl/certs/ca-certificates.crt /slim/ \
 && cp /etc/passwd /etc/group /etc/nsswitch.conf /slim/etc/ \
 && cp "$(command -v busybox)" /slim/bin/ \
 && chroot /slim /bin/busybox --install -s /bin

FROM system AS full
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ansible git gpgv jq openssh-client qemu-utils rsync sudo unzip xorriso zstd \
 && rm -rf /var/lib/apt/lists/*
COPY --from=tree /slim/usr/local/bin/ /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/imgbake"]

FROM scratch AS slim
COPY --from=tree /slim /
ENV PATH=/usr/local/bin:/bin
ENTRYPOINT ["/usr/local/bin/imgbake"]
