{{- /* Checks that values.schema.json cannot express. Each error says what to do. */ -}}
{{- define "weft.checks" -}}
{{- $v := .Values -}}
{{- $command := printf "\n\n    %s\n\nand add --set-file rules=rules.yaml --set-file envoyConfig=envoy.yaml" (include "weft.envoyCommand" .) -}}
{{- if and $v.rules (not $v.envoyConfig) -}}
{{- fail (printf "rules is set, but not envoyConfig, which is generated from them: run%s" $command) -}}
{{- end -}}
{{- if and $v.envoyConfig (not $v.rules) -}}
{{- fail "envoyConfig is set, but not the rules that it was generated from: add --set-file rules=rules.yaml" -}}
{{- end -}}
{{- if and (not $v.envoyConfig) (or (ne $v.legacy.name "legacy") (ne $v.legacy.selector "app=legacy") (ne (int $v.legacy.port) 8080) (ne $v.gateway.name "eg") (not (has $v.gateway.route (list "" "legacy")))) -}}
{{- fail (printf "the envoyConfig of the example is for legacy.name=legacy, legacy.selector=app=legacy, legacy.port=8080, gateway.name=eg and gateway.route=legacy: run%s" $command) -}}
{{- end -}}
{{- $sign := dict "gateway" "\nkind: EnvoyExtensionPolicy" "sidecar" "\nkind: EnvoyFilter" "standalone" "name: envoy.filters.http.ext_proc" "module" "name: envoy.filters.http.dynamic_modules" -}}
{{- if not (contains (get $sign $v.mode) (printf "\n%s" (include "weft.envoyConfig" .))) -}}
{{- fail (printf "envoyConfig is not for mode %s: run%s" $v.mode $command) -}}
{{- end -}}
{{- if and (eq $v.mode "module") (hasPrefix "envoyproxy/" $v.envoy.image) -}}
{{- fail "mode module requires an Envoy with libweft.so: set envoy.image to an image of the Dockerfile's target envoy" -}}
{{- end -}}
{{- if and $v.legacy.create (not $v.legacy.image) -}}
{{- fail "legacy.create is true, but legacy.image is empty" -}}
{{- end -}}
{{- if and (ne $v.mode "gateway") (has $v.legacy.container (list "weft" "envoy" "istio-proxy")) -}}
{{- fail (printf "legacy.container is %s, the name of another container of the pods: rename the container of the legacy service" $v.legacy.container) -}}
{{- end -}}
{{- if and (eq $v.mode "gateway") (eq $v.legacy.name "weft") -}}
{{- fail "legacy.name is weft, the name of the chart's Service: rename the legacy service" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas is %v, more than autoscaling.maxReplicas, %v" $v.autoscaling.minReplicas $v.autoscaling.maxReplicas) -}}
{{- end -}}
{{- range $list := list "containers" "initContainers" "volumes" -}}
{{- if hasKey $v.podSpec $list -}}
{{- fail (printf "podSpec.%s would replace weft's: remove it; the values env, volumes, volumeMounts and resources add to weft's" $list) -}}
{{- end -}}
{{- end -}}
{{- $own := $v.mongodb.replicaSet -}}
{{- if and $v.mongodb.existingSecret $v.mongodb.uri -}}
{{- fail "mongodb.uri and mongodb.existingSecret are both set: remove one of them" -}}
{{- end -}}
{{- if $own.enabled -}}
{{- if and $own.existingSecret (not $v.mongodb.existingSecret) (not $v.mongodb.uri) -}}
{{- fail "mongodb.replicaSet.existingSecret hides the password of weft: set mongodb.existingSecret, too, the name of a Secret whose key \"uri\" has the connection string" -}}
{{- end -}}
{{- if and (not $own.existingSecret) (not (and $own.rootPassword $own.weftPassword $own.keyfile)) -}}
{{- fail "mongodb.replicaSet requires rootPassword, weftPassword and keyfile (openssl rand -base64 756), or existingSecret" -}}
{{- end -}}
{{- else if not (or $v.mongodb.uri $v.mongodb.existingSecret) -}}
{{- fail "no connection string of MongoDB: set mongodb.uri, mongodb.existingSecret (a Secret with the key \"uri\"), or mongodb.replicaSet.enabled for a new replica set" -}}
{{- end -}}
{{- end -}}

{{- /* The command that generates envoyConfig. */ -}}
{{- define "weft.envoyCommand" -}}
{{- $l := .Values.legacy -}}
{{- if eq .Values.mode "sidecar" -}}
weft envoy --rules rules.yaml --format istio --namespace {{ .Release.Namespace }} --selector {{ $l.selector }} --port {{ $l.port }} >envoy.yaml
{{- else if eq .Values.mode "gateway" -}}
weft envoy --rules rules.yaml --format gateway --namespace {{ .Release.Namespace }} --gateway {{ .Values.gateway.name }} --attach httproute/{{ .Values.gateway.route | default $l.name }} --legacy {{ $l.name }}:{{ $l.port }} --weft weft:50051 >envoy.yaml
{{- else -}}
weft envoy --rules rules.yaml {{ if eq .Values.mode "module" }}--mode module --module-config '{"rules": "/etc/weft/rules.yaml"}' {{ end }}--listen 0.0.0.0:10000 --legacy 127.0.0.1:{{ $l.port }} >envoy.yaml
{{- end -}}
{{- end -}}

{{- /* envoyConfig; by default that of the example. */ -}}
{{- define "weft.envoyConfig" -}}
{{- .Values.envoyConfig | default (.Files.Get (printf "files/%s.yaml" .Values.mode)) -}}
{{- end -}}

{{- /* The objects in envoyConfig, in the namespace of the release. */ -}}
{{- define "weft.envoyObjects" -}}
{{- regexReplaceAll "(?m)^  namespace: .+$" (include "weft.envoyConfig" .) (printf "  namespace: %s" .Release.Namespace) -}}
{{- end -}}

{{- /* A value in a comment of envoyConfig, which weft and the Gateway need, too: (list . regular expression with a group). */ -}}
{{- define "weft.fromEnvoyConfig" -}}
{{- $config := include "weft.envoyConfig" (index . 0) -}}
{{- $found := regexFind (index . 1) $config -}}
{{- if not $found -}}
{{- fail (printf "envoyConfig does not contain %q: generate it with the weft of the chart's version" (index . 1)) -}}
{{- end -}}
{{- regexReplaceAll (index . 1) $found "${1}" -}}
{{- end -}}
