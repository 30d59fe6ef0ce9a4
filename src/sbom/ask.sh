LC_ALL=C; export LC_ALL; exec 2>/dev/null
section() { printf '\000%s\n' "$1"; }
for file in /etc/os-release /usr/lib/os-release; do
  if [ -f "$file" ]; then section system; head -c 16384 "$file"; break; fi
done
if command -v dpkg-query >/dev/null; then
  section dpkg
  dpkg-query -W -f '${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\n'
  section dpkg-licences
  grep -sH '^License:' /usr/share/doc/*/copyright | sort -u | head -n 50000
fi
if command -v rpm >/dev/null; then
  section rpm
  rpm -qa --qf '%{NAME}\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t%{LICENSE}\n'
fi
for file in /lib/apk/db/installed /usr/lib/apk/db/installed; do
  if [ -f "$file" ]; then section apk; sed -n '/^[PVALo]:/p;/^$/p' "$file"; break; fi
done
if [ -d /var/lib/pacman/local ]; then
  section pacman
  find /var/lib/pacman/local -name desc -exec sed -n \
    '/^%NAME%$/,/^$/p;/^%VERSION%$/,/^$/p;/^%ARCH%$/,/^$/p;/^%BASE%$/,/^$/p;/^%LICENSE%$/,/^$/p' {} +
fi
section pip
for file in /usr/lib/python3*/*-packages/*.dist-info/INSTALLER \
  /usr/lib64/python3*/*-packages/*.dist-info/INSTALLER \
  /usr/local/lib/python3*/*-packages/*.dist-info/INSTALLER \
  /usr/local/lib64/python3*/*-packages/*.dist-info/INSTALLER \
  /opt/*/lib/python3*/site-packages/*.dist-info/INSTALLER \
  /root/.local/lib/python3*/site-packages/*.dist-info/INSTALLER \
  /home/*/.local/lib/python3*/site-packages/*.dist-info/INSTALLER; do
  if [ -f "$file" ]; then
    installer=; IFS= read -r installer <"$file"
    case $installer in rpm | debian) ;; *) printf '%s\000' "${file%INSTALLER}METADATA" ;; esac
  fi
done | xargs -0 grep -sHE '^(Name|Version|License|License-Expression): ' /dev/null
for file in /usr/lib/node_modules/*/package.json /usr/lib/node_modules/@*/*/package.json \
  /usr/local/lib/node_modules/*/package.json /usr/local/lib/node_modules/@*/*/package.json; do
  if [ -f "$file" ]; then section "npm $file"; head -c 65536 "$file"; fi
done
section end
exit 0
