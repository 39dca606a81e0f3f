{{- /* weft's container: in its Deployment for gateway, otherwise a native sidecar. */ -}}
{{- define "weft.container" -}}
{{- $gateway := eq .Values.mode "gateway" -}}
name: weft
image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- if not $gateway }}
restartPolicy: Always
{{- end }}
args: [serve, --rules=/etc/weft/rules.yaml]
env:
  {{- include "weft.envList" . | nindent 2 }}
ports:
  {{- if $gateway }}
  - {name: grpc, containerPort: 50051}
  {{- end }}
  - {name: weft-admin, containerPort: 9902}
{{- if $gateway }}
readinessProbe:
  httpGet: {path: /readyz, port: 9902}
  periodSeconds: 2
{{- end }}
livenessProbe:
  httpGet: {path: /livez, port: 9902}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "weft.securityContext" (list . 65532) | nindent 2 }}
volumeMounts:
  {{- if $gateway }}
  - {name: weft-tls, mountPath: /etc/weft-tls, readOnly: true}
  {{- else }}
  - {name: weft-socket, mountPath: /run/weft}
  {{- end }}
  - {name: weft-rules, mountPath: /etc/weft, readOnly: true}
  {{- with .Values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* weft's environment, as the list in a container. */ -}}
{{- define "weft.envList" -}}
{{- range $name, $value := mergeOverwrite (include "weft.env" . | fromYaml) .Values.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
- name: WEFT_MONGODB_URI
  valueFrom:
    secretKeyRef: {name: {{ .Values.mongodb.existingSecret | default "weft-mongodb" }}, key: uri}
{{- end -}}

{{- /* weft's environment, without the URI. */ -}}
{{- define "weft.env" -}}
WEFT_ADMIN: "0.0.0.0:9902"
{{- if eq .Values.mode "gateway" }}
WEFT_LISTEN: "0.0.0.0:50051"
WEFT_BUDGET: {{ include "weft.fromEnvoyConfig" (list . "--budget ([0-9a-z]+)") }}
WEFT_TLS_CERT: /etc/weft-tls/tls.crt
WEFT_TLS_KEY: /etc/weft-tls/tls.key
{{- else if ne .Values.mode "module" }}
WEFT_LISTEN: "unix:///run/weft/weft.sock"
WEFT_DRAIN_WINDOW: 0s # when it stops, its clients have stopped already
{{- end }}
{{- end -}}

{{- /* Envoy in the pods of standalone and module, where it has weft's environment and rules. */ -}}
{{- define "weft.envoyContainer" -}}
name: envoy
image: {{ .Values.envoy.image }}
args: [-c, /etc/envoy/envoy.yaml, --disable-hot-restart, --log-level, warning, --concurrency, {{ .Values.envoy.concurrency | quote }}]
{{- if eq .Values.mode "module" }}
env:
  {{- include "weft.envList" . | nindent 2 }}
{{- end }}
ports:
  - {name: envoy, containerPort: 10000}
  {{- if eq .Values.mode "module" }}
  - {name: weft-admin, containerPort: 9902}
  {{- end }}
readinessProbe:
  tcpSocket: {port: 10000}
lifecycle:
  preStop:
    sleep: {seconds: 10}
resources:
  {{- toYaml .Values.envoy.resources | nindent 2 }}
securityContext:
  {{- include "weft.securityContext" (list . 65533) | nindent 2 }}
volumeMounts:
  - {name: weft-envoy, mountPath: /etc/envoy, readOnly: true}
  {{- if eq .Values.mode "module" }}
  - {name: weft-rules, mountPath: /etc/weft, readOnly: true}
  {{- with .Values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- else }}
  - {name: weft-socket, mountPath: /run/weft}
  {{- end }}
{{- end -}}

{{- /* The security context that PodSecurity's "restricted" requires: (list . user and group). */ -}}
{{- define "weft.securityContext" -}}
runAsNonRoot: true
{{- if (index . 0).Values.fixedIDs }}
runAsUser: {{ index . 1 }}
runAsGroup: {{ index . 1 }}
{{- end }}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Spreads pods over zones and nodes, for a label as label=value. */ -}}
{{- define "weft.spread" -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{ include "weft.label" $ }}
{{- end }}
{{- end -}}

{{- /* label=value as YAML. */ -}}
{{- define "weft.label" -}}
{{- $pair := splitn "=" 2 . -}}
{{ dict $pair._0 $pair._1 | toJson }}
{{- end -}}

{{- /* Annotations of a pod: checksums of settings that it reads only at start, so that a change replaces the pods. It reloads the rules. */ -}}
{{- define "weft.annotations" -}}
{{- if not .Values.mongodb.existingSecret }}
checksum/mongodb: {{ include "weft.mongodbURI" . | sha256sum }}
{{- end }}
{{- if has .Values.mode (list "standalone" "module") }}
checksum/envoy: {{ include "weft.envoyConfig" . | sha256sum }}
{{- else if eq .Values.mode "sidecar" }}
# Istio's container can open weft's socket.
sidecar.istio.io/userVolumeMount: '[{"name": "weft-socket", "mountPath": "/run/weft"}]'
# Prometheus scrapes the admin port without mTLS. It serves only health and metrics.
traffic.sidecar.istio.io/excludeInboundPorts: "9902"
{{- end }}
{{- end -}}

{{- /* The strategic merge patch that adds weft to the spec of the legacy service's pods. */ -}}
{{- define "weft.inPod" -}}
topologySpreadConstraints:
  {{- include "weft.spread" .Values.legacy.selector | trim | nindent 2 }}
{{- if and .Values.fixedIDs (ne .Values.mode "module") }}
securityContext:
  fsGroup: 65532 # the socket's group, which Envoy needs to connect
{{- end }}
{{- if has .Values.mode (list "standalone" "module") }}
terminationGracePeriodSeconds: 45
containers:
  - {{ include "weft.envoyContainer" . | nindent 4 | trim }}
  - name: {{ .Values.legacy.container }}
    lifecycle:
      preStop:
        sleep: {seconds: 15}
{{- end }}
{{- if ne .Values.mode "module" }}
initContainers:
  - {{ include "weft.container" . | nindent 4 | trim }}
{{- end }}
volumes:
  {{- if has .Values.mode (list "standalone" "module") }}
  - name: weft-envoy
    configMap: {name: weft-envoy}
  {{- end }}
  {{- if ne .Values.mode "module" }}
  - name: weft-socket
    emptyDir: {medium: Memory, sizeLimit: 1Mi}
  {{- end }}
  - name: weft-rules
    configMap: {name: weft-rules} # as a directory: with subPath it would never be updated
  {{- with .Values.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* The name and label of the Deployment with weft. */ -}}
{{- define "weft.workload" -}}
{{- eq .Values.mode "gateway" | ternary "weft" .Values.legacy.name -}}
{{- end -}}
{{- define "weft.selector" -}}
{{- eq .Values.mode "gateway" | ternary "app=weft" .Values.legacy.selector -}}
{{- end -}}

{{- define "weft.mongodbURI" -}}
{{- $own := .Values.mongodb.replicaSet -}}
{{- if .Values.mongodb.uri -}}
{{ .Values.mongodb.uri }}
{{- else if $own.enabled -}}
mongodb://weft:{{ $own.weftPassword }}@mongodb-0.mongodb,mongodb-1.mongodb,mongodb-2.mongodb/?replicaSet=rs0&authSource=admin&serverSelectionTimeoutMS=2000&connectTimeoutMS=2000
{{- end -}}
{{- end -}}
