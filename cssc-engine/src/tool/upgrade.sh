# Upgrades the packages of an image with the package manager that is in it. Ends with 78 when there
# is none.
set -e
export DEBIAN_FRONTEND=noninteractive
has() { command -v "$1" >/dev/null 2>&1; }
if has apt-get; then
  apt-get update
  apt-get -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
    --with-new-pkgs upgrade
  apt-get clean
  rm -rf /var/lib/apt/lists/*
elif has apk; then
  apk upgrade --no-cache
elif has dnf; then
  dnf -y upgrade --refresh
  dnf clean all
elif has microdnf; then
  microdnf -y upgrade
  microdnf clean all
elif has yum; then
  yum -y update
  yum clean all
elif has zypper; then
  zypper --non-interactive refresh
  zypper --non-interactive update
  zypper --non-interactive clean --all
else
  echo 'no package manager in the image: looked for apt-get, apk, dnf, microdnf, yum, zypper' >&2
  exit 78
fi
