#!/bin/sh
# install-packages.sh PACKAGE...: Debian packages without a service: the sandbox runs its own servers on its own
# addresses, so none may start, now or at boot.
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d clusters=/etc/postgresql-common/createcluster.d/meetinity-data.conf
made=""
trap 'rm -f $made' EXIT
trap 'exit 130' INT TERM
if [ ! -e "$policy" ]; then
  made="$made $policy"
  printf '#!/bin/sh\n# Made for one installation by meetinity-data; safe to delete.\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi
made="$made $clusters"
mkdir -p "${clusters%/*}"
echo 'create_main_cluster = false' > "$clusters"
install() { apt-get -o DPkg::Lock::Timeout=300 install --no-install-recommends -y "$@"; }
install "$@" || { apt-get -o DPkg::Lock::Timeout=300 update; install "$@"; }
for package in "$@"; do
  [ "$package" != redis-server ] || ! command -v systemctl >/dev/null || systemctl disable redis-server || true
done
