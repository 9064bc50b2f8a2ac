#!/usr/bin/env bash
# Builds what CI tests with beside the distribution's packages, into bin/: a current Prometheus and promtool, and pint.
# It takes Go, and some minutes the first time. Nothing is built that is there already.
set -euo pipefail
cd "$(dirname "$0")"
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0

build() { # module folder, name, package
    [ -x "bin/$2" ] || (cd "$1" && go build -trimpath -tags remove_all_sd -ldflags="-s -w" -o "$OLDPWD/bin/$2" "$3")
}

build . promtool github.com/prometheus/prometheus/cmd/promtool
build . prometheus github.com/prometheus/prometheus/cmd/prometheus
build pint pint github.com/cloudflare/pint/cmd/pint
