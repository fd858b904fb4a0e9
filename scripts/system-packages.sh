#!/bin/sh
# System libraries the tests and the renderer need: EGL and Mesa's software rasteriser (pictures without a display).
set -eu
missing=""
have() { ldconfig -p | grep -q "$1"; }
have libEGL.so.1 || missing="$missing libegl1"
have libEGL_mesa.so.0 || missing="$missing libegl-mesa0"
have libGL.so.1 || missing="$missing libgl1"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "install these first (as root: apt-get install$missing)" >&2
    exit 2
fi
