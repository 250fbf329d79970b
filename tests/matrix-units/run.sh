#!/bin/sh
# Runs the suites of this folder, and golden files, on matrix units: those of Mesa's CPU driver, which has them from
# 26.1 on. It comes from Debian's trixie and trixie-backports as packages that apt finds, checks and unpacks into a cache
# folder; nothing is installed and root is not needed. Node runs on the C library that comes with them.
#   tests/matrix-units/run.sh [vitest's arguments]
# Needs Linux on x86-64, apt-get, and once the network. The packages come from the mirror that apt itself is configured
# with, or from RCOD_DEBIAN_MIRROR. Exit code 77: nothing was tested, and why.
set -eu
cd "$(dirname "$0")/../.."

cache=${RCOD_MATRIX_CACHE:-$PWD/node_modules/.cache/matrix-units}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
root=$cache/root

not_tested() {
  printf '\n*** NOT TESTED: the kernels on matrix units (tests/matrix-units): %s\n\n' "$1" >&2
  exit 77
}

# The first repository of apt's configuration that serves the suites; RCOD_DEBIAN_MIRROR where it is set.
find_mirror() {
  if [ -n "${RCOD_DEBIAN_MIRROR:-}" ]; then echo "$RCOD_DEBIAN_MIRROR"; return; fi
  for uri in $(apt-get indextargets --format '$(REPO_URI)' | sort -u); do
    for suite in trixie trixie-backports; do
      /usr/lib/apt/apt-helper download-file "${uri%/}/dists/$suite/InRelease" "$cache/InRelease" >/dev/null 2>&1 || continue 2
    done
    echo "$uri"
    return
  done
  return 1
}

# apt with lists, packages and a state of its own: no package is installed in its eyes, so it takes all that are needed.
fetch() {
  apt=$cache/apt
  rm -rf "$apt" "$root"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/none" "$root"
  : >"$apt/status"
  for suite in trixie trixie-backports; do
    echo "deb [signed-by=$keyring] $mirror $suite main"
  done >"$apt/sources.list"
  cat >"$apt/apt.conf" <<CONF
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "$apt/none";
Dir::Etc::preferences "$apt/none/preferences";
Dir::Etc::preferencesparts "$apt/none";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "2";
CONF
  APT_CONFIG=$apt/apt.conf apt-get -qq update || return 1
  APT_CONFIG=$apt/apt.conf apt-get -qq -y --download-only install -t trixie-backports \
    mesa-vulkan-drivers libvulkan1 libstdc++6 || return 1
  for package in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$package" "$root" || return 1; done
  rm -rf "$apt"
}

[ "$(uname -sm)" = "Linux x86_64" ] || not_tested "Linux on x86-64 is needed"
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || not_tested "apt-get and dpkg-deb are needed"
[ -f "$keyring" ] || not_tested "$keyring is missing (package debian-archive-keyring)"
if [ ! -f "$cache/complete" ]; then
  mkdir -p "$cache"
  mirror=$(find_mirror) || not_tested "no mirror of apt's configuration serves trixie; name one in RCOD_DEBIAN_MIRROR"
  rm -f "$cache/InRelease"
  fetch >"$cache/fetch.log" 2>&1 || { tail -5 "$cache/fetch.log" >&2; not_tested "the driver could not be fetched"; }
  touch "$cache/complete"
fi

libraries=$root/usr/lib/x86_64-linux-gnu
loader=$(ls "$root"/usr/lib64/ld-linux-x86-64.so.2 "$root"/lib64/ld-linux-x86-64.so.2 2>/dev/null | head -1)
driver=$(ls "$root"/usr/share/vulkan/icd.d/lvp_icd*.json | head -1)
# Libraries are found by --library-path, whether the driver's file names a path or not.
sed 's|"library_path": *".*/|"library_path": "|' "$driver" >"$cache/lvp_icd.json"
cat >"$cache/node" <<NODE
#!/bin/sh
exec "$loader" --library-path "$libraries" "$(command -v node)" "\$@"
NODE
chmod +x "$cache/node"

# What starts Node again has to take the same way: see vitest.config.ts.
export RCOD_NODE="$cache/node" VK_DRIVER_FILES="$cache/lvp_icd.json" VK_ICD_FILENAMES="$cache/lvp_icd.json"
"$RCOD_NODE" node_modules/vitest/vitest.mjs run -c tests/matrix-units/vitest.config.ts "$@"
