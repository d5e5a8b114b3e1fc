#!/bin/sh
# arm64.sh [FOLDER]: decode tests/golden with an arm64 Python under emulation: its symbols must be those of old, its
# pixels those of this machine up to one level. Prints both, and the time that the emulation takes.
#
# Puts 800 MB into FOLDER (arm64-root): from Debian 13 an emulator, and libc and Python for arm64; from PyPI the
# wheels for that. Nothing is installed, and nothing there is kept up to date: remove FOLDER to fetch it anew. CPUS
# names the processors to be emulated: the oldest with 64 bits, without dot products, and one that has everything.
# Needs a Debian x86-64 machine with apt, the network, and: pip install cotam. Beside other work it took 23 minutes for a
# processor, most of them for one golden file of many bands.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
mkdir -p "${1:-arm64-root}"
root=$(cd "${1:-arm64-root}" && pwd)

# apt with folders of its own, so that the machine's stay what they are: fetch ARCHITECTURE INTO PACKAGE…
fetch() (
    apt="$root/apt-$1"
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$2"
    : >"$apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site trixie main" >"$apt/sources.list"
    cat >"$apt/conf" <<END
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Architecture "$1";
APT::Architectures { "$1"; };
APT::Sandbox::User "";
END
    export APT_CONFIG="$apt/conf"
    into=$2
    shift 2
    apt-get -qq update
    cd "$apt"
    apt-get -qq download "$@"
    for package in ./*.deb; do dpkg -x "$package" "$into"; done
)

if [ ! -e "$root/complete" ]; then
    site=$(apt-get indextargets --format '$(SITE)' | grep -m1 '/debian/*$')
    fetch amd64 "$root/emulator" qemu-user
    fetch arm64 "$root/system" libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libbz2-1.0 liblzma5 libffi8 libuuid1 \
        libssl3t64 libzstd1 python3.13-minimal libpython3.13-minimal libpython3.13-stdlib
    ln -sfn usr/lib "$root/system/lib" # the packages leave that to the system
    "$python" -m pip -q install --target "$root/site" --only-binary :all: --python-version 3.13 \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
        numpy pillow onnxruntime click
    touch "$root/complete"
fi

PYTHONPATH="$here/src" "$python" "$here/tests/golden/check.py" --write "$root/here.npz"
for cpu in ${CPUS:-cortex-a53 max}; do
    echo "emulated: $cpu"
    PYTHONPATH="$here/src:$root/site" "$root/emulator/usr/bin/qemu-aarch64" -L "$root/system" -cpu "$cpu" \
        "$root/system/usr/bin/python3.13" "$here/tests/golden/check.py" --compare "$root/here.npz"
done
