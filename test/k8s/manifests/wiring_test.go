package manifests_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"weft/test/k8s"
)

// TestWiring: each reference has a target. An API server accepts selectors that select nothing, ports without a
// listener and Secrets that do not exist.
func TestWiring(t *testing.T) {
	for _, overlay := range k8s.Overlays() {
		t.Run(overlay, func(t *testing.T) {
			components := []string{"monitoring", "dashboard", "mongodb"}
			if overlay == "gateway" {
				components = append(components, "cert-manager")
			}
			manifest := with(t, overlay, components...)
			w := wiring{T: t, pods: k8s.Pods(t, manifest), objects: k8s.Objects(t, manifest)}
			w.check()
		})
	}
}

type wiring struct {
	*testing.T
	pods    map[string]corev1.PodTemplateSpec
	objects []k8s.Object
}

func (w *wiring) check() {
	seen := map[string]int{}
	for _, o := range w.objects {
		seen[o.Kind]++
		switch o.Kind {
		case "Service":
			var s corev1.Service
			k8s.Find(w, w.objects, o.Kind, o.Metadata.Name, &s)
			for name, pod := range w.selected(o, labels.SelectorFromSet(s.Spec.Selector)) {
				for _, p := range s.Spec.Ports {
					w.listens(o, name, pod, p.TargetPort.IntValue())
				}
			}
		case "NetworkPolicy":
			var p networkingv1.NetworkPolicy
			k8s.Find(w, w.objects, o.Kind, o.Metadata.Name, &p)
			for name, pod := range w.selected(o, w.selector(&p.Spec.PodSelector)) {
				for _, rule := range p.Spec.Ingress {
					for _, port := range rule.Ports {
						if number := port.Port.IntValue(); number != 15020 { // of Istio's agent, which Istio injects
							w.listens(o, name, pod, number)
						}
					}
				}
			}
		case "PodDisruptionBudget":
			var p policyv1.PodDisruptionBudget
			k8s.Find(w, w.objects, o.Kind, o.Metadata.Name, &p)
			if n := len(w.selected(o, w.selector(p.Spec.Selector))); n != 1 {
				w.Errorf("the PodDisruptionBudget %s selects %d workloads", o.Metadata.Name, n)
			}
		case "HorizontalPodAutoscaler":
			w.autoscaler(o)
		case "Deployment":
			var d appsv1.Deployment
			k8s.Find(w, w.objects, o.Kind, o.Metadata.Name, &d)
			if !w.selector(d.Spec.Selector).Matches(labels.Set(d.Spec.Template.Labels)) {
				w.Errorf("the Deployment %s does not select its own pods", o.Metadata.Name)
			}
		case "ServiceMonitor":
			w.serviceMonitor(o)
		}
	}
	for name, pod := range w.pods {
		w.pod(name, pod)
	}
	for kind, least := range map[string]int{
		"Service": 3, "NetworkPolicy": 2, "PodDisruptionBudget": 2, "HorizontalPodAutoscaler": 1, "Deployment": 1,
		"ServiceMonitor": 1, "StatefulSet": 1,
	} {
		if seen[kind] < least {
			w.Errorf("%d objects of kind %s", seen[kind], kind)
		}
	}
}

func (w *wiring) selector(s *metav1.LabelSelector) labels.Selector {
	w.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		w.Fatal(err)
	}
	return selector
}

// selected returns the pods that an object selects: at least one, and not all.
func (w *wiring) selected(o k8s.Object, s labels.Selector) map[string]corev1.PodTemplateSpec {
	w.Helper()
	selected := maps.Clone(w.pods)
	isOther := func(_ string, pod corev1.PodTemplateSpec) bool { return !s.Matches(labels.Set(pod.Labels)) }
	maps.DeleteFunc(selected, isOther)
	if len(selected) == 0 || len(selected) == len(w.pods) {
		w.Errorf("%s %s selects %d of %d", o.Kind, o.Metadata.Name, len(selected), len(w.pods))
	}
	return selected
}

func containers(pod corev1.PodTemplateSpec) []corev1.Container {
	return slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
}

func (w *wiring) listens(o k8s.Object, name string, pod corev1.PodTemplateSpec, port int) {
	w.Helper()
	for _, c := range containers(pod) {
		for _, p := range c.Ports {
			if int(p.ContainerPort) == port {
				return
			}
		}
	}
	w.Errorf("%s %s has port %d, which has no listener in %s", o.Kind, o.Metadata.Name, port, name)
}

// autoscaler checks that all containers have CPU requests, without which there is no utilization.
func (w *wiring) autoscaler(o k8s.Object) {
	var h autoscalingv2.HorizontalPodAutoscaler
	k8s.Find(w, w.objects, o.Kind, o.Metadata.Name, &h)
	pod, ok := w.pods[h.Spec.ScaleTargetRef.Name]
	if !ok {
		w.Fatalf("it scales %s, which does not exist", h.Spec.ScaleTargetRef.Name)
	}
	k8s.WeftIn(w, pod)
	for _, c := range containers(pod) {
		if c.Resources.Requests.Cpu().IsZero() {
			w.Errorf("%s has no CPU request", c.Name)
		}
	}
	var adapter struct {
		Rules struct {
			Custom []struct {
				SeriesQuery string
				Name        struct{ As string }
			}
		}
	}
	text := read(w.T, k8s.Path(w, "k8s", "components", "monitoring", "adapter-rule.yaml"))
	if err := yaml.Unmarshal([]byte(text), &adapter); err != nil {
		w.Fatal(err)
	}
	custom := adapter.Rules.Custom[0]
	series, _, _ := strings.Cut(custom.SeriesQuery, "{")
	if !strings.Contains(read(w.T, k8s.Path(w, "docs", "reference.md")), "| `"+series+"` |") {
		w.Errorf("weft has no metric %s", series)
	}
	kinds := map[autoscalingv2.MetricSourceType]bool{}
	for _, m := range h.Spec.Metrics {
		kinds[m.Type] = true
		if m.Pods != nil && m.Pods.Metric.Name != custom.Name.As {
			w.Errorf("it uses %s, and prometheus-adapter provides %s", m.Pods.Metric.Name, custom.Name.As)
		}
	}
	if !kinds[autoscalingv2.ResourceMetricSourceType] || !kinds[autoscalingv2.PodsMetricSourceType] {
		w.Errorf("its metrics are %v", kinds)
	}
}

// serviceMonitor checks that a Service has its labels and a port with weft's metrics.
func (w *wiring) serviceMonitor(o k8s.Object) {
	var m struct {
		APIVersion, Kind string
		Metadata         struct{ Name, Namespace string }
		Spec             struct {
			Selector  metav1.LabelSelector
			Endpoints []struct{ Port, Interval string }
		}
	}
	k8s.Find(w, w.objects, o.Kind, o.Metadata.Name, &m)
	for _, service := range w.objects {
		if service.Kind != "Service" || !w.selector(&m.Spec.Selector).Matches(labels.Set(service.Metadata.Labels)) {
			continue
		}
		var s corev1.Service
		k8s.Find(w, w.objects, "Service", service.Metadata.Name, &s)
		for _, p := range s.Spec.Ports {
			if p.Name != m.Spec.Endpoints[0].Port {
				continue
			}
			for _, pod := range w.selected(service, labels.SelectorFromSet(s.Spec.Selector)) {
				for _, e := range k8s.WeftIn(w, pod).Env {
					if e.Name == "WEFT_ADMIN" && strings.HasSuffix(e.Value, ":"+p.TargetPort.String()) {
						return
					}
				}
			}
		}
	}
	w.Errorf("the ServiceMonitor selects no port of weft")
}

// pod checks the references of a pod: its own label, ports of probes, volumes, ConfigMaps, Secrets, and the service
// account.
func (w *wiring) pod(name string, pod corev1.PodTemplateSpec) {
	w.Helper()
	yours := name == "legacy" && pod.Labels["weft"] == "" // as in gateway
	if !yours && len(pod.Spec.TopologySpreadConstraints) == 0 {
		w.Errorf("the pods of %s are not spread", name)
	}
	for _, c := range pod.Spec.TopologySpreadConstraints {
		if !w.selector(c.LabelSelector).Matches(labels.Set(pod.Labels)) {
			w.Errorf("the pods of %s are not spread by %s", name, c.TopologyKey)
		}
	}
	exists := func(kind, object string) {
		w.Helper()
		if kind == "Secret" && object == "weft-tls" { // cert-manager makes it
			kind = "Certificate"
			object = "weft"
		}
		isTarget := func(o k8s.Object) bool { return o.Kind == kind && o.Metadata.Name == object }
		if !slices.ContainsFunc(w.objects, isTarget) && object != "" {
			w.Errorf("%s needs the missing %s %s", name, kind, object)
		}
	}
	exists("ServiceAccount", pod.Spec.ServiceAccountName)
	volumes := map[string]bool{"data": name == "mongodb"} // of a volumeClaimTemplate
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil {
			exists("ConfigMap", v.ConfigMap.Name)
		}
		if v.Secret != nil {
			exists("Secret", v.Secret.SecretName)
		}
	}
	for _, c := range containers(pod) {
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				w.Errorf("%s mounts %s, which is not a volume", c.Name, m.Name)
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				exists("Secret", e.ValueFrom.SecretKeyRef.Name)
			}
		}
		for _, p := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
			switch {
			case p == nil:
			case p.HTTPGet != nil:
				w.listens(k8s.Object{Kind: "probe"}, name, pod, p.HTTPGet.Port.IntValue())
			case p.TCPSocket != nil:
				w.listens(k8s.Object{Kind: "probe"}, name, pod, p.TCPSocket.Port.IntValue())
			}
		}
	}
}
