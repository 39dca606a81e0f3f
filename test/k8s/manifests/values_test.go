package manifests_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"weft/test/k8s"
)

// TestValues: each value of the chart that the overlays do not use has an effect.
func TestValues(t *testing.T) {
	const uri = "mongodb: {uri: \"mongodb://m\"}\n"
	for name, test := range map[string]struct {
		values  string
		without []string // objects that are not rendered
		want    []string // in the manifest, with white space normalized
	}{
		"image": {
			values: uri + "image: {repository: r.example/weft, tag: 1.2.3, pullPolicy: Always, pullSecrets: [pull]}",
			want:   []string{"image: r.example/weft:1.2.3", "imagePullPolicy: Always", "imagePullSecrets: - name: pull"},
		},
		"environment": {
			values: uri + `env: {WEFT_LOG_FORMAT: json, WEFT_BUDGET: 5s, GOMEMLIMIT: "1000000000"}`,
			want: []string{
				"- name: WEFT_LOG_FORMAT value: json", "- name: WEFT_BUDGET value: 5s", `- name: GOMEMLIMIT value: "1000000000"`,
			},
		},
		"no autoscaling": {
			values:  uri + "autoscaling: {enabled: false}\nreplicas: 5",
			without: []string{"HorizontalPodAutoscaler weft"},
			want:    []string{"replicas: 5"},
		},
		"autoscaling": {
			values: uri + "autoscaling: {minReplicas: 2, maxReplicas: 40, targetCPUUtilizationPercentage: 55, " +
				"targetExchangesPerSecond: 300}\nmonitoring: {enabled: true}",
			want: []string{"minReplicas: 2", "maxReplicas: 40", "averageUtilization: 55", `averageValue: "300"`},
		},
		"less": {
			values: uri + "podDisruptionBudget: {enabled: false}\nnetworkPolicy: {enabled: false}\ngateway: {create: false}",
			without: []string{
				"PodDisruptionBudget weft", "NetworkPolicy weft", "Gateway eg", "GatewayClass eg",
				"ClientTrafficPolicy weft", "HTTPRoute legacy",
			},
		},
		"disruption": {
			values: uri + "podDisruptionBudget: {maxUnavailable: 10%}",
			want:   []string{"maxUnavailable: 10%"},
		},
		"network": {
			values: uri + "networkPolicy: {monitoringNamespace: prometheus, gatewayNamespace: edge, egressPorts: [27018, 4317]}",
			want: []string{
				"kubernetes.io/metadata.name: prometheus", "kubernetes.io/metadata.name: edge",
				"- ports: - port: 27018 - port: 4317",
			},
		},
		"pod": {
			values: uri + "podAnnotations: {a.example/b: c}\npodSpec: {priorityClassName: high, " +
				"tolerations: [{key: k, operator: Exists}], terminationGracePeriodSeconds: 90}\n" +
				"resources: {requests: {cpu: 1}, limits: {memory: 1Gi}}",
			want: []string{
				"a.example/b: c", "priorityClassName: high", "tolerations: - key: k operator: Exists",
				"terminationGracePeriodSeconds: 90",
				"resources: limits: memory: 1Gi requests: cpu: 1 memory: 64Mi",
			},
		},
		"volumes": {
			values: uri + "volumes: [{name: ca, configMap: {name: mongodb-ca}}]\nvolumeMounts: [{name: ca, mountPath: /etc/ca}]",
			want: []string{
				"- mountPath: /etc/ca name: ca", "- configMap: name: mongodb-ca name: ca",
				"- mountPath: /etc/weft name: weft-rules",
			},
		},
		"volumes in the pods of the legacy service": {
			values: uri + "mode: sidecar\nlegacy: {create: true, image: l}\n" +
				"volumes: [{name: ca, configMap: {name: mongodb-ca}}]\nvolumeMounts: [{name: ca, mountPath: /etc/ca}]",
			want: []string{
				"- mountPath: /etc/ca name: ca", "- configMap: name: mongodb-ca name: ca",
				"- emptyDir: sizeLimit: 256Mi name: tmp",
			},
		},
		"secrets": {
			values:  "mongodb: {existingSecret: mine}\ntls: {secretName: cert}",
			without: []string{"Secret weft-mongodb"},
			want: []string{
				"secretKeyRef: key: uri name: mine", "secretName: cert",
				`caCertificateRefs: - group: "" kind: Secret name: cert`,
			},
		},
		"monitoring": {
			values: uri + "monitoring: {enabled: true, interval: 30s, alerts: false, labels: {release: prometheus}}\n" +
				"dashboard: {enabled: true, labels: {dashboards: grafana}}",
			without: []string{"PrometheusRule weft"},
			want: []string{
				"labels: release: prometheus", "interval: 30s", `labels: dashboards: grafana grafana_dashboard: "1"`,
			},
		},
		"replica set": {
			values: "mongodb: {existingSecret: mine, replicaSet: {enabled: true, existingSecret: theirs, " +
				"image: \"mongo:7\", storage: 1Ti, storageClassName: fast, resources: {requests: {cpu: 2}}}}",
			without: []string{"Secret mongodb", "Secret weft-mongodb"},
			want: []string{
				"secretKeyRef: key: root-password name: theirs", "secretName: theirs", "image: mongo:7", "storage: 1Ti",
				"storageClassName: fast", "requests: cpu: 2",
			},
		},
		"sidecar": {
			values: uri + "mode: sidecar\nautoscaling: {enabled: false}\nreplicas: 7\n" +
				"legacy: {create: true, image: \"l:1\", resources: {limits: {memory: 3Gi}}}\n" +
				"podSpec: {nodeSelector: {a: b}}\npodAnnotations: {a.example/b: c}",
			without: []string{"HorizontalPodAutoscaler legacy"},
			want: []string{
				"replicas: 7", "image: l:1", "memory: 3Gi", "nodeSelector: a: b", "a.example/b: c",
				"sidecar.istio.io/userVolumeMount",
			},
		},
		"standalone": {
			values: uri + "mode: standalone\nlegacy: {create: true, image: \"l:1\"}\n" +
				"envoy: {image: \"e:2\", concurrency: 4, resources: {requests: {cpu: 3}}}",
			want: []string{"image: e:2", `- --concurrency - "4"`, "requests: cpu: 3 memory: 128Mi"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			manifest := chart(t, test.values)
			if output, err := validate(t, manifest); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
			objects := byName(t, manifest)
			for _, o := range test.without {
				if objects[o] != nil {
					t.Errorf("unexpected %s", o)
				}
			}
			// Normalized YAML, with sorted keys.
			var text strings.Builder
			for _, name := range slices.Sorted(maps.Keys(objects)) {
				one, err := yaml.Marshal(objects[name])
				if err != nil {
					t.Fatal(err)
				}
				text.Write(one)
			}
			flat := strings.Join(strings.Fields(text.String()), " ")
			for _, want := range test.want {
				if !strings.Contains(flat, want) {
					t.Errorf("no %q in:\n%s", want, text.String())
				}
			}
		})
	}
	// A variable that the chart also sets appears once, because an API server merges variables by name.
	c := k8s.WeftIn(t, k8s.Pods(t, chart(t, uri+"env: {WEFT_BUDGET: 5s}"))["weft"])
	if n := len(slices.DeleteFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name != "WEFT_BUDGET" })); n != 1 {
		t.Errorf("WEFT_BUDGET appears %d times", n)
	}
}

// TestWithoutIDs: OpenShift's restricted-v2 chooses the user, the group and fsGroup of each pod, and rejects others.
func TestWithoutIDs(t *testing.T) {
	for _, mode := range k8s.Overlays() {
		for _, pod := range k8s.Pods(t, chart(t, withComponents, "--set", modeValues(mode), "--set", "fixedIDs=false")) {
			if s := pod.Spec.SecurityContext; s != nil && (s.RunAsUser != nil || s.RunAsGroup != nil || s.FSGroup != nil) {
				t.Errorf("%s: %v", mode, s)
			}
			for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
				if s := c.SecurityContext; s == nil || s.RunAsUser != nil || s.RunAsGroup != nil {
					t.Errorf("%s, %s: %v", mode, c.Name, s)
				}
			}
			if why := k8s.Restricted(t, pod); why != "" {
				t.Errorf("%s: %s", mode, why)
			}
		}
	}
	// The patch for a legacy service in the release's notes.
	notes, stderr, err := helm(t, asOverlay+"mode: sidecar\n", "install", "weft", "--dry-run=client",
		"--set", "legacy.create=false", "--set", "fixedIDs=false")
	if err != nil || !strings.Contains(notes, "# patch\n") || strings.Contains(notes, "65532") {
		t.Errorf("%v\n%s%s", err, stderr, notes)
	}
}

// TestNotesOfNewRoutes: the release's notes name the routes that no SecurityPolicy covers.
func TestNotesOfNewRoutes(t *testing.T) {
	notes, stderr, err := helm(t, asOverlay, "install", "weft", "--dry-run=client")
	const want = "New HTTPRoutes: weft-composite-profile, weft-composite-profile-other.\n"
	if err != nil || !strings.Contains(notes, "\n"+want) {
		t.Errorf("%v\n%swant %s in\n%s", err, stderr, want, notes)
	}
}

// TestInvalidValues: each values file has one error, which Helm reports.
func TestInvalidValues(t *testing.T) {
	const uri = "mongodb: {uri: \"mongodb://m\"}\n"
	const command = "run\n\n    weft envoy --rules rules.yaml --format gateway"
	for values, want := range map[string]string{
		"":                              "no connection string of MongoDB: set mongodb.uri, mongodb.existingSecret",
		"mongodb: {uri: localhost}":     "at '/mongodb/uri'",
		uri + "mode: other":             "at '/mode'",
		uri + "mode: module":            "set envoy.image to an image of the Dockerfile's target envoy",
		uri + "image: {name: weft}":     "additional properties 'name' not allowed",
		uri + "replica: 3":              "additional properties 'replica' not allowed",
		uri + "env: {WEFT_PPROF: true}": "at '/env/WEFT_PPROF'",
		uri + "env: {weft: x}":          "'weft' does not match pattern",
		uri + "legacy: {create: true}":  "legacy.create is true, but legacy.image is empty",
		uri + "mode: sidecar\nlegacy: {container: weft}": "legacy.container is weft",
		uri + "autoscaling: {minReplicas: 20}": "autoscaling.minReplicas is 20, " +
			"more than autoscaling.maxReplicas",
		uri + "podSpec: {volumes: []}":    "podSpec.volumes would replace",
		uri + "podSpec: {containers: []}": "podSpec.containers would replace",
		uri + "rules: x\nenvoyConfig: \"kind: EnvoyExtensionPolicy\"\nlegacy: {name: weft}": "legacy.name is weft",
		uri + "legacy: {selector: shop}": "at '/legacy/selector'",
		uri + "rules: x": "rules is set, but not envoyConfig, which is generated from them: " +
			command,
		uri + "envoyConfig: x":                                        "add --set-file rules=rules.yaml",
		uri + "rules: x\nenvoyConfig: x":                              "envoyConfig is not for mode gateway: " + command,
		uri + "rules: x\nenvoyConfig: \"kind: EnvoyExtensionPolicy\"": "generate it with the weft of the chart's version",
		uri + "legacy: {name: orders}": "weft envoy --rules rules.yaml --format gateway --namespace shop --gateway eg " +
			"--attach httproute/orders --legacy orders:8080 --weft weft:50051 >envoy.yaml",
		"mongodb: {uri: \"mongodb://m\", existingSecret: x}": "remove one of them",
		"mongodb: {replicaSet: {enabled: true}}": "" +
			"mongodb.replicaSet requires rootPassword, weftPassword and keyfile",
		"mongodb: {replicaSet: {enabled: true, existingSecret: x}}": "set mongodb.existingSecret, too",
		"mongodb: {replicaSet: {enabled: true, weftPassword: \"p@ss\", keyfile: \"\"}}": "at " +
			"'/mongodb/replicaSet/weftPassword'",
	} {
		if stdout, stderr, err := helm(t, values, "template", "weft"); err == nil || !strings.Contains(stderr, want) {
			t.Errorf("%s\n%v, %s\nwant %s\n%s", values, err, stderr, want, stdout)
		}
	}
}

// TestOwnRules follows the instructions of the chart for other rules, names and another namespace.
func TestOwnRules(t *testing.T) {
	dir := t.TempDir()
	rules := read(t, k8s.Path(t, "k8s", "base", "rules.yaml"))
	rules = strings.ReplaceAll(rules, "/api/v1/users", "/api/v1/orders")
	rules = "   # begins with spaces\n" + rules
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, mode := range k8s.Overlays() {
		t.Run(mode, func(t *testing.T) {
			values := "mode: " + mode + "\nmongodb: {uri: \"mongodb://m\"}\ngateway: {name: edge}\nenvoy: {image: e}\n" +
				"legacy: {name: orders, container: java, selector: app.kubernetes.io/name=orders, port: 9000, " +
				"create: true, image: orders}\n"
			_, stderr, err := helm(t, values, "template", "weft")
			_, command, found := strings.Cut(stderr, "run\n\n    ")
			command, _, end := strings.Cut(command, "\n")
			if err == nil || !found || !end {
				t.Fatalf("no command in the error: %v\n%s", err, stderr)
			}
			shell := exec.CommandContext(t.Context(), "sh", "-c", command)
			shell.Dir = dir
			shell.Env = append(os.Environ(), "PATH="+filepath.Dir(k8s.BuildWeft(t))+":"+os.Getenv("PATH"))
			if output, err := shell.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, output)
			}
			manifest := chart(t, values, "--set-file", "rules="+filepath.Join(dir, "rules.yaml"),
				"--set-file", "envoyConfig="+filepath.Join(dir, "envoy.yaml"))
			if output, err := validate(t, manifest); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
			text := string(manifest)
			for _, want := range []string{"/api/v1/orders", "9000"} {
				if !strings.Contains(text, want) {
					t.Errorf("no %s in the manifest", want)
				}
			}
			if mode != "standalone" && mode != "module" && strings.Contains(text, "8080") {
				t.Errorf("unexpected 8080 in\n%s", text)
			}
			objects := k8s.Objects(t, manifest)
			for _, o := range objects {
				if o.Metadata.Namespace != "shop" && o.Kind != "GatewayClass" {
					t.Errorf("%s %s is in the namespace %q", o.Kind, o.Metadata.Name, o.Metadata.Namespace)
				}
			}
			var config corev1.ConfigMap
			k8s.Find(t, objects, "ConfigMap", "weft-rules", &config)
			if diff := gocmp.Diff(rules, config.Data["rules.yaml"]); diff != "" {
				t.Errorf("the rules (-file +ConfigMap):\n%s", diff)
			}
			decode(t, manifest)
		})
	}
}

// TestNewPods: a change of settings that weft and Envoy read only at start replaces the pods. A change of the rules
// does not.
func TestNewPods(t *testing.T) {
	annotations := func(values string, args ...string) map[string]string {
		for _, pod := range k8s.Pods(t, chart(t, values, args...)) {
			if len(pod.Annotations) > 0 {
				return pod.Annotations
			}
		}
		t.Fatal("no pod has annotations")
		return nil
	}
	const standalone = "mode: standalone\nlegacy: {create: true, image: l}\n"
	const values = standalone + "mongodb: {uri: \"mongodb://a\"}"
	rules := k8s.Path(t, "k8s", "chart", "files", "rules.yaml")
	config := k8s.Path(t, "k8s", "chart", "files", "standalone.yaml")
	before := annotations(values)
	after := annotations(standalone + "mongodb: {uri: \"mongodb://b\"}")
	if after["checksum/mongodb"] == before["checksum/mongodb"] {
		t.Error("another URI does not replace the pods")
	}
	changed := filepath.Join(t.TempDir(), "changed")
	if err := os.WriteFile(changed, []byte("# changed\n"+read(t, config)), 0o644); err != nil {
		t.Fatal(err)
	}
	after = annotations(values, "--set-file", "rules="+rules, "--set-file", "envoyConfig="+changed)
	if after["checksum/envoy"] == before["checksum/envoy"] {
		t.Error("another Envoy configuration does not replace the pods")
	}
	if err := os.WriteFile(changed, []byte("# changed\n"+read(t, rules)), 0o644); err != nil {
		t.Fatal(err)
	}
	after = annotations(values, "--set-file", "rules="+changed, "--set-file", "envoyConfig="+config)
	if diff := gocmp.Diff(before, after); diff != "" {
		t.Errorf("other rules replace the pods:\n%s", diff)
	}
}

// TestSchema: the schema has exactly the values of values.yaml.
func TestSchema(t *testing.T) {
	var values map[string]any
	if err := yaml.Unmarshal([]byte(read(t, k8s.Path(t, "k8s", "chart", "values.yaml"))), &values); err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal([]byte(read(t, k8s.Path(t, "k8s", "chart", "values.schema.json"))), &schema); err != nil {
		t.Fatal(err)
	}
	delete(schema["properties"].(map[string]any), "global") // of Helm, for subcharts
	var inValues, inSchema []string
	var walkValues, walkSchema func(string, map[string]any)
	walkSchema = func(path string, node map[string]any) {
		properties, _ := node["properties"].(map[string]any)
		for name, child := range properties {
			inSchema = append(inSchema, path+name)
			walkSchema(path+name+".", child.(map[string]any))
		}
	}
	walkValues = func(path string, node map[string]any) {
		for name, child := range node {
			inValues = append(inValues, path+name)
			isObject := func(s string) bool { return strings.HasPrefix(s, path+name+".") }
			if object, ok := child.(map[string]any); ok && slices.ContainsFunc(inSchema, isObject) {
				walkValues(path+name+".", object)
			}
		}
	}
	walkSchema("", schema)
	walkValues("", values)
	slices.Sort(inValues)
	slices.Sort(inSchema)
	if diff := gocmp.Diff(inValues, inSchema); diff != "" || len(inValues) < 50 {
		t.Errorf("%d values (-values.yaml +values.schema.json):\n%s", len(inValues), diff)
	}
}
