#!/bin/sh
# arm64.sh [FOLDER]: decode tests/golden with an arm64 Python under emulation; symbols must be equal, pixels too
# up to 1 level of what this machine decodes.
#
# Puts 400 MB into FOLDER (arm64-root): Debian's arm64 libc and Python, and the arm64 wheels that pip finds. Nothing
# is installed, no root is needed. CPUS names the processors to be, of `qemu-aarch64-static -cpu help`.
# Needs Debian 12 or Ubuntu with qemu-user-static, the network, and: pip install cotam.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
root=${1:-arm64-root}
python=${PYTHON:-python3}
mkdir -p "$root"
root=$(cd "$root" && pwd)

if [ ! -e "$root/done" ]; then
    # apt with folders and an architecture of its own, so that the machine's stay what they are
    mkdir -p "$root/apt/lists/partial" "$root/apt/archives/partial" "$root/debs"
    : >"$root/apt/status"
    cat >"$root/apt/conf" <<END
Dir::State "$root/apt";
Dir::State::status "$root/apt/status";
Dir::Cache "$root/apt";
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "";
END
    export APT_CONFIG="$root/apt/conf"
    apt-get -qq update
    (cd "$root/debs" && apt-get -qq download libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libbz2-1.0 liblzma5 \
        libffi8 libuuid1 libssl3 python3-minimal libpython3-stdlib \
        $(apt-cache depends python3-minimal libpython3-stdlib | sed -n 's/.*Depends: \(.*python3\.[0-9].*\)/\1/p') \
        $(apt-cache depends $(apt-cache depends python3-minimal | sed -n 's/.*Depends: \(python3\.[0-9].*\)/\1/p') |
            sed -n 's/.*Depends: \(libpython3\.[0-9].*\)/\1/p'))
    unset APT_CONFIG
    for package in "$root"/debs/*.deb; do dpkg -x "$package" "$root"; done
    version=$(basename "$(ls "$root"/usr/bin/python3.*)" | sed s/python//)
    "$python" -m pip -q install --target "$root/site" --only-binary :all: --python-version "$version" \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
        numpy pillow onnxruntime click
    touch "$root/done"
fi

PYTHONPATH="$here/src" "$python" "$here/tests/golden/check.py" --write "$root/here.npz"
for cpu in ${CPUS:-cortex-a53 max}; do
    PYTHONPATH="$here/src:$root/site" qemu-aarch64-static -L "$root" -cpu "$cpu" "$root"/usr/bin/python3.[0-9]* \
        "$here/tests/golden/check.py" --compare "$root/here.npz"
done
