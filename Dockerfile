# The container action. Two images come from here:
#   slim  the program and what it needs, nothing else: what the action uses
#   full  the same in a Debian with what provisioners on this side need: ansible, git, ssh, qemu-img, …
#         docker build --target full .
# The runner and Kubernetes want root, no WORKDIR, and a few commands (sh, tail, env, mv, rm).

FROM rust:1.95-slim-trixie AS compiled
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin imgbake \
 && objcopy --strip-debug target/release/imgbake /usr/local/bin/imgbake

FROM debian:trixie-slim AS system
RUN apt-get update \
 && apt-get install -y --no-install-recommends busybox-static ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=compiled /usr/local/bin/imgbake /usr/local/bin/imgbake
# The program's libraries, certificates, and the commands of busybox.
RUN ln -s imgbake /usr/local/bin/imgbake-action \
 && ln -s imgbake /usr/local/bin/imgbake-action-post \
 && mkdir -p /slim/bin /slim/etc /slim/usr/local/bin /slim/root \
 && install -d -m 1777 /slim/tmp \
 && cp -a /usr/local/bin/imgbake* /slim/usr/local/bin/ \
 && ldd /usr/local/bin/imgbake | grep -o '/[^ ]*' | xargs -I{} cp -L --parents {} /slim/ \
 && cp -a --parents /etc/ssl/certs/ca-certificates.crt /slim/ \
 && cp /etc/passwd /etc/group /etc/nsswitch.conf /slim/etc/ \
 && cp "$(command -v busybox)" /slim/bin/ \
 && chroot /slim /bin/busybox --install -s /bin

FROM system AS full
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ansible git jq openssh-client qemu-utils rsync sudo unzip xorriso zstd \
 && rm -rf /var/lib/apt/lists/* /slim
ENTRYPOINT ["/usr/local/bin/imgbake"]

FROM scratch AS slim
COPY --from=system /slim /
ENV PATH=/usr/local/bin:/bin
ENTRYPOINT ["/usr/local/bin/imgbake"]
