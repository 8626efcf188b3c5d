#!/bin/sh
# Makes .venv and installs medviewer into it. Used by the Makefile; safe to run again.
#   PYTHON       the interpreter to use (default python3, 3.11 or newer)
#   TORCH_INDEX  a package index that offers torch as a CPU build (default: what pip is set up with)
#   EXTRAS       "", "test" or "dev"
set -eu
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
EXTRAS=${EXTRAS:-}
VENV=${VENV_DIR:-.venv}

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo "$@"
    else return 1
    fi
}

# Debian packages: installed when we may, else the one line to run is printed.
need() {
    if command -v apt-get >/dev/null 2>&1; then
        say "installing system packages: $*"
        if as_root env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"' sh "$@" >&2
        then return 0; fi
        say "Please run this line, then the same make again:"
        say "    sudo apt-get install --no-install-recommends $*"
    else
        say "Please install what these Debian packages bring, then run the same make again: $*"
    fi
    exit 1
}

command -v "$PYTHON" >/dev/null 2>&1 || need python3
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "medviewer needs Python 3.11 or newer; $PYTHON is $("$PYTHON" -V 2>&1). Set PYTHON to another one: make PYTHON=python3.12 ..."
    exit 1
}

if [ ! -x "$VENV/bin/pip" ]; then
    version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || need "python$version-venv"
    "$PYTHON" -m venv "$VENV"
fi

# torch first: a plain install of the rest would bring gigabytes of CUDA packages on a machine without a GPU.
"$VENV/bin/python" -c 'import torch' 2>/dev/null || {
    say "installing torch (this is the large one)"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0
}
say "installing medviewer${EXTRAS:+ with its $EXTRAS tools}"
"$VENV/bin/pip" install --quiet --disable-pip-version-check -e ".${EXTRAS:+[$EXTRAS]}"

# Qt needs a few system libraries, even without a screen (docs/dependencies.md).
if ! QT_QPA_PLATFORM=offscreen "$VENV/bin/python" -c 'import PySide6.QtWidgets, PySide6.QtOpenGLWidgets' 2>/dev/null; then
    glib=libglib2.0-0
    apt-cache show libglib2.0-0t64 >/dev/null 2>&1 && glib=libglib2.0-0t64
    need libgl1 libegl1 "$glib" libfontconfig1 libxkbcommon0 libdbus-1-3
fi
if [ -n "${DISPLAY:-}" ] && [ -r /usr/lib ] && ! ldconfig -p 2>/dev/null | grep -q libxcb-cursor; then
    need libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xkb1 libxkbcommon-x11-0
fi
