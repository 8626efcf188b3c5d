#!/bin/sh
# Builds dist/medviewer with PyInstaller and runs its own self-test with an empty environment, so that no Python of
# this machine can help it.
set -eu
cd "$(dirname "$0")/../.."
VENV=build/package-venv
EXTRAS= VENV_DIR=$VENV sh packaging/linux/setup.sh
"$VENV/bin/pip" install --quiet --disable-pip-version-check 'pyinstaller>=6.11'
rm -rf dist/medviewer
"$VENV/bin/pyinstaller" --noconfirm --log-level WARN --distpath dist --workpath build/pyinstaller packaging/linux/medviewer.spec
echo "self-test of the frozen program, without a Python on the path:"
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
(cd / && env -i HOME="$home" PATH=/nowhere QT_QPA_PLATFORM=offscreen LANG=C.UTF-8 "$OLDPWD/dist/medviewer/medviewer" self-test)
du -sh dist/medviewer
