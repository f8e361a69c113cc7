#!/bin/sh
# Makes the secrets that docker-compose.yml and docker-compose.cluster.yml read. What is there already stays.
set -eu
cd "$(dirname "$0")/secrets"
# Compose mounts the files as they are, and each container reads them as a user of its own: so the files are readable,
# and nobody but their owner gets through the directory.
chmod 700 .

random() {
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

# put NAME VALUE
put() {
  if [ -e "$1" ]; then
    echo "kept  $1"
    return
  fi
  printf '%s\n' "$2" > "$1.new"
  chmod 444 "$1.new"
  mv "$1.new" "$1"
  echo "made  $1"
}

put redis-password "$(random)"
put redis-url "redis://:$(cat redis-password)@redis:6379"
put grafana-password "$(random)"

# For the cluster.
put kurrentdb.env "KURRENTDB_DEFAULT_ADMIN_PASSWORD=$(random)
KURRENTDB_DEFAULT_OPS_PASSWORD=$(random)"
admin=$(sed -n 's/^KURRENTDB_DEFAULT_ADMIN_PASSWORD=//p' kurrentdb.env)
put store-url "kurrentdb://admin:$admin@kurrentdb:2113,kurrentdb-2:2113,kurrentdb-3:2113?tls=true&tlsCaFile=/etc/stopgap-ca/ca.crt"
