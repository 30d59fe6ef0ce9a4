# Makes the directories deb and rpm in $1: guests with BusyBox, a package manager, and packages made by hand.
cd "$1"
top=$PWD

base() { # ROOT PROGRAM…: BusyBox and these programs, with their libraries.
  root=$top/$1; shift
  mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/root"; chmod 1777 "$root/tmp"
  for name in $(busybox --list); do ln -s busybox "$root/bin/$name"; done
  rm "$root/bin/busybox" 2>/dev/null || :
  cp "$(command -v busybox)" "$root/bin/busybox"
  for program in busybox "$@"; do
    file=$(command -v "$program")
    mkdir -p "$root$(dirname "$file")"; rm -f "$root$file"; cp -L "$file" "$root$file"
    for library in $(ldd "$file" 2>/dev/null | grep -o '/[^ ]*'); do
      mkdir -p "$root$(dirname "$library")"; cp -Lu "$library" "$root$library"
    done
  done
  printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\n' >"$root/etc/group"
}

deb() { # FILE NAME VERSION LICENCE
  mkdir -p "work/DEBIAN" "work/usr/share/doc/$2"
  printf '%s\n' "Package: $2" "Version: $3" "Architecture: all" "Maintainer: A <a@example.org>" \
    "Description: a package" >work/DEBIAN/control
  printf '%s\n' "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/" "" \
    "Files: *" "License: $4" >"work/usr/share/doc/$2/copyright"
  dpkg-deb --root-owner-group -b work "deb/$1.deb" >/dev/null
  rm -r work
}

rpm_file() { # FILE NAME VERSION RELEASE LICENCE [TAG]
  printf '%s\n' "Name: $2" "Version: $3" "Release: $4" "${6:-Summary: a package}" "Summary: a package" \
    "License: $5" "BuildArch: noarch" "%description" "A package." "%files" >"$1.spec"
  rpmbuild -bb --quiet --define "_topdir $top/build" --define "_rpmdir $top/rpm" \
    --define "_rpmfilename $1.rpm" --define "__os_install_post %{nil}" "$1.spec" >/dev/null 2>&1
}

base deb dpkg dpkg-query dpkg-deb dpkg-split tar
mkdir -p deb/var/lib/dpkg/info deb/var/lib/dpkg/updates deb/var/lib/dpkg/triggers
touch deb/var/lib/dpkg/status deb/var/lib/dpkg/available
printf 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n' >deb/etc/os-release
deb adduser adduser 3.134 GPL-2+
deb openssl-old openssl 3.0.11-1 Apache-2.0
deb openssl-new openssl 3.0.13-1 Apache-2.0
deb telnet telnet 0.17-1 BSD-3-clause
deb nginx nginx 1.24.0-2 BSD-2-clause
dpkg --root="$top/deb" --force-all -i deb/adduser.deb deb/openssl-old.deb deb/telnet.deb >/dev/null 2>&1
cat >deb/many.sh <<'MANY'
i=0
while [ $i -lt 2000 ]; do
  i=$((i + 1)); mkdir -p /usr/share/doc/many-$i
  printf 'Package: many-%s\nStatus: install ok installed\nVersion: 1.%s-1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: a\n\n' $i $i >>/var/lib/dpkg/status
  printf 'License: GPL-2+\nLicense: Expat\n' >/usr/share/doc/many-$i/copyright
  : >/var/lib/dpkg/info/many-$i.list
done
MANY

base rpm rpm
mkdir -p rpm/usr/lib
cp -a /usr/lib/rpm rpm/usr/lib/rpm
mkdir -p rpm/usr/lib/rpm/macros.d
printf 'PRETTY_NAME="Fedora Linux 40"\nID=fedora\nVERSION_ID=40\n' >rpm/etc/os-release
rpm_file bash bash 5.2.26 3.fc40 GPL-3.0-or-later
rpm_file openssl-old openssl 3.0.11 1.fc40 Apache-2.0
rpm_file openssl-new openssl 3.0.13 1.fc40 Apache-2.0
rpm_file telnet telnet 0.17 90.fc40 BSD
rpm_file nginx nginx 1.24.0 2.fc40 BSD-2-Clause 'Epoch: 1'
# Debian's rpm keeps its database in the user's home.
echo '%_dbpath /var/lib/rpm' >rpm/usr/lib/rpm/macros.d/macros.place
rpm --root="$top/rpm" --dbpath=/var/lib/rpm --nodeps -i rpm/bash.rpm rpm/openssl-old.rpm rpm/telnet.rpm 2>/dev/null
