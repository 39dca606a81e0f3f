#!/bin/sh
# Writes everything in the manifests and the chart that has its source elsewhere: of Envoy's, from k8s/base/rules.yaml, and the chart's
# copies, since a chart can read only what is in its folder. It wants weft on the PATH; "make k8s" builds it.
#
#     k8s/generate.sh [FOLDER]     FOLDER gets the files, in place of this one
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
rules=$here/base/rules.yaml
overlays=$out/overlays
chart=$out/chart/files
mkdir -p "$overlays/sidecar" "$overlays/gateway" "$overlays/standalone" "$chart"

weft envoy --rules "$rules" --format istio --namespace shop --selector app=legacy --port 8080 >"$overlays/sidecar/envoyfilter.yaml"
weft envoy --rules "$rules" --format gateway --namespace shop --gateway eg --attach httproute/legacy --legacy legacy:8080 --weft weft:50051 >"$overlays/gateway/routes.yaml"
weft envoy --rules "$rules" --listen 0.0.0.0:10000 --legacy 127.0.0.1:8080 >"$overlays/standalone/envoy.yaml"

cp "$overlays/sidecar/envoyfilter.yaml" "$chart/sidecar.yaml"
cp "$overlays/gateway/routes.yaml" "$chart/gateway.yaml"
cp "$overlays/standalone/envoy.yaml" "$chart/standalone.yaml"
cp "$rules" "$here/components/mongodb/initiate.js" "$chart/"

# Alerts as the Prometheus operator has them, and the dashboard.
dashboards=$here/../docs/dashboards
mkdir -p "$out/components/monitoring" "$out/components/dashboard"
sed '/^#/d' "$dashboards/weft-alerts.yaml" >"$chart/alerts.yaml"
{
  printf '# Made by generate.sh of docs/dashboards/weft-alerts.yaml.\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: weft\nspec:\n'
  sed 's/^./  &/' "$chart/alerts.yaml"
} >"$out/components/monitoring/alerts.yaml"
cp "$dashboards/weft.json" "$out/components/dashboard/"
cp "$dashboards/weft.json" "$chart/dashboard.json"
