#!/bin/sh
# Writes everything of Envoy's in the manifests from k8s/base/rules.yaml. It wants weft on the PATH; "make k8s" builds it.
#
#     k8s/generate.sh [FOLDER]     FOLDER gets the files, in place of this one
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/overlays}
rules=$here/base/rules.yaml

weft envoy --rules "$rules" --format istio --namespace shop --selector app=legacy --port 8080 >"$out/sidecar/envoyfilter.yaml"
weft envoy --rules "$rules" --format gateway --namespace shop --gateway eg --legacy legacy:8080 --weft weft:50051 >"$out/gateway/routes.yaml"
weft envoy --rules "$rules" --listen 0.0.0.0:10000 --legacy 127.0.0.1:8080 >"$out/standalone/envoy.yaml"
