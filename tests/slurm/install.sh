#!/bin/sh
# Installs what tests/slurm starts, where that is possible; else those tests say why they are skipped.
for program in slurmctld munged slurmdbd mariadbd; do
  command -v $program >/dev/null || absent="$absent $program"
done
[ -e /usr/share/modules/init/sh ] || absent="$absent modules"
[ -n "$absent" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0
echo "Installing Slurm, munge, MariaDB and modules from Debian for tests/slurm; none is left running."
# Debian starts a service when it installs it, unless this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' > $policy && chmod +x $policy
  trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends \
  slurm-wlm munge slurmdbd mariadb-server environment-modules; } >/dev/null 2>&1 \
  || echo "apt-get could not; tests/slurm will be skipped."
