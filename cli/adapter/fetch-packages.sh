#!/bin/sh
# Unpacks Debian packages, and what they need, into a folder: drivers that are newer than the machine's, and the C library
# that they want. apt finds, loads and checks them; nothing is installed and root is not needed. Packages come from trixie
# and trixie-backports, from the mirror that apt itself is configured with, or from RCOD_DEBIAN_MIRROR.
#   fetch-packages.sh FOLDER [PACKAGE…]
# Without packages: Mesa's Vulkan drivers and a loader for them.
# Writes FOLDER/root, what is in the packages; FOLDER/node, which runs Node on their C library; FOLDER/icd, the drivers'
# manifests. Does nothing where FOLDER holds all of this already. Needs Linux on x86-64 and apt-get. Exit code 77: it cannot
# be done here, and why, in the last line on stderr. RCOD_STATUS_FD: a descriptor to which apt reports its progress.
set -eu

cannot() {
  printf '%s\n' "$1" >&2
  exit 77
}

folder=$1
shift
packages=${*:-mesa-vulkan-drivers libvulkan1 libstdc++6}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

[ "$(uname -sm)" = "Linux x86_64" ] || cannot "Linux on x86-64 is needed"
[ "$(cat "$folder/complete" 2>/dev/null)" = "$packages" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || cannot "apt-get and dpkg-deb are needed"
[ -f "$keyring" ] || cannot "$keyring is missing; install the package debian-archive-keyring"
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
# Written beside and renamed at the end, so that a broken download leaves nothing that looks whole.
work=$folder/fetching
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/none" "$work/root" "$work/icd"

# The first repository of apt's configuration that serves the suites.
find_mirror() {
  if [ -n "${RCOD_DEBIAN_MIRROR:-}" ]; then echo "$RCOD_DEBIAN_MIRROR"; return; fi
  for uri in $(apt-get indextargets --format '$(REPO_URI)' | sort -u); do
    for suite in trixie trixie-backports; do
      /usr/lib/apt/apt-helper download-file "${uri%/}/dists/$suite/InRelease" "$work/InRelease" >/dev/null 2>&1 || continue 2
    done
    echo "$uri"
    return
  done
  return 1
}
mirror=$(find_mirror) || cannot "no mirror of apt's configuration serves trixie and trixie-backports; name one in RCOD_DEBIAN_MIRROR"

# apt with lists, packages and a state of its own: no package is installed in its eyes, so it takes all that are needed.
: >"$work/status"
for suite in trixie trixie-backports; do
  echo "deb [signed-by=$keyring] $mirror $suite main"
done >"$work/sources.list"
cat >"$work/apt.conf" <<CONF
Dir::State "$work";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "$work/none";
Dir::Etc::preferences "$work/none/preferences";
Dir::Etc::preferencesparts "$work/none";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "2";
${RCOD_STATUS_FD:+APT::Status-Fd "$RCOD_STATUS_FD";}
CONF
APT_CONFIG=$work/apt.conf apt-get -q update || cannot "apt cannot read the package lists of $mirror"
APT_CONFIG=$work/apt.conf apt-get -q -y --download-only install -t trixie-backports $packages ||
  cannot "the packages could not be loaded from $mirror"
for package in "$work"/cache/archives/*.deb; do dpkg-deb -x "$package" "$work/root"; done

# Libraries are found by --library-path, whether a driver's manifest names a path or not.
for manifest in "$work"/root/usr/share/vulkan/icd.d/*.json; do
  [ -f "$manifest" ] || continue
  sed 's|"library_path": *".*/|"library_path": "|' "$manifest" >"$work/icd/$(basename "$manifest" | sed 's/\.x86_64//')"
done
loader=usr/lib64/ld-linux-x86-64.so.2
[ -f "$work/root/$loader" ] || loader=lib64/ld-linux-x86-64.so.2
cat >"$work/node" <<NODE
#!/bin/sh
# RCOD_PRELOAD: libraries that are loaded first. RCOD_NODE and RCOD_NODE_BINARY are for processes that start Node again:
# this script and what it starts. Node itself takes the dynamic linker for its executable here.
here=\$(cd "\$(dirname "\$0")" && pwd)
export RCOD_NODE="\$here/node" RCOD_NODE_BINARY="\${RCOD_NODE_BINARY:-\$(command -v node)}"
exec "\$here/root/$loader" --library-path "\$here/root/usr/lib/x86_64-linux-gnu" \${RCOD_PRELOAD:+--preload "\$RCOD_PRELOAD"} \\
  "\$RCOD_NODE_BINARY" "\$@"
NODE
chmod +x "$work/node"
rm -rf "$folder/root" "$folder/icd" "$folder/node" "$folder/complete"
mv "$work/root" "$work/icd" "$work/node" "$folder"
echo "$packages" >"$folder/complete"
