#!/usr/bin/env bash
# Make a virtual environment with the plugin, all it can use and its tests.
# Usage: scripts/bootstrap.sh .venv
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}

# What Qt and OpenGL need under Linux, as file and Debian package.
libraries=(
    libGL.so.1:libgl1
    libEGL.so.1:libegl1
    libdbus-1.so.3:libdbus-1-3
    libxkbcommon-x11.so.0:libxkbcommon-x11-0
    libxcb-cursor.so.0:libxcb-cursor0
    libxcb-icccm.so.4:libxcb-icccm4
    libxcb-image.so.0:libxcb-image0
    libxcb-keysyms.so.1:libxcb-keysyms1
    libxcb-render-util.so.0:libxcb-render-util0
    libxcb-shape.so.0:libxcb-shape0
    libxcb-xinerama.so.0:libxcb-xinerama0
)

say() { echo "bootstrap: $*" >&2; }

# Install Debian packages if that can be done without asking; returns 1 where it cannot.
apt_install() {
    local run=()
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || return 1
        run=(sudo -n)
    fi
    say "installing $* with apt"
    "${run[@]}" apt-get update -qq >/dev/null || true
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# The first Python of at least 3.11; newer than 3.13 only if there is no other.
find_python() {
    local name
    for name in python3.13 python3.12 python3.11 python3 python3.14 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    say "no Python 3.11 or newer was found; install one (Debian: apt-get install python3 python3-venv)."
    return 1
}

missing_packages() {
    local known entry
    known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p)
    for entry in "${libraries[@]}"; do
        grep -qF "${entry%%:*} " <<<"$known" || echo "${entry#*:}"
    done
    # The software renderer, for machines without a graphics card.
    grep -qF libgallium <<<"$known" || compgen -G '/usr/lib*/*/dri/swrast_dri.so' >/dev/null ||
        compgen -G '/usr/lib*/*/libgallium*' >/dev/null || compgen -G '/usr/lib64/dri/swrast_dri.so' \
        >/dev/null || echo libgl1-mesa-dri
    command -v Xvfb >/dev/null || echo xvfb
}

install_libraries() {
    local packages
    [ "$(uname)" = Linux ] || return 0
    mapfile -t packages < <(missing_packages)
    [ ${#packages[@]} -eq 0 ] && return
    apt_install "${packages[@]}" && return
    say "windows cannot be shown or tested yet: install ${packages[*]}" \
        "(Debian: sudo apt-get install ${packages[*]})."
}

make_environment() {
    local python version
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return
    python=$(find_python)
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        apt_install "$version-venv" || {
            say "$python has no module venv; install it (Debian: sudo apt-get install $version-venv)."
            return 1
        }
    fi
    "$python" -m venv --clear "$venv"
}

install_libraries
make_environment
say "installing the plugin into $venv; torch is large, so the first time takes some minutes"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --editable ".[all,test]"
