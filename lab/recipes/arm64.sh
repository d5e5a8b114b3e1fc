#!/bin/sh
# arm64.sh [FOLDER]: decode tests/golden with an emulated arm64 Python. Symbols must equal the golden ones, pixels those of
# this machine within one level. Prints both, and the time.
#
# FOLDER (arm64-root) gets 800 MB: an emulator, libc and Python for arm64 from Debian 13, and wheels for that from PyPI.
# Nothing is installed; remove FOLDER to fetch it anew. CPUS names the emulated processors: by default the oldest 64-bit
# one, without dot products, and one with all features. 23 minutes per processor on a busy machine, most of them for one
# golden file of many bands.
# Needs a Debian x86-64 machine with apt, the network, and: pip install .
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
