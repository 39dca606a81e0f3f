package k8s

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// Pods returns the pod templates of Deployments and StatefulSets, by name.
func Pods(t testing.TB, manifest []byte) map[string]corev1.PodTemplateSpec {
	t.Helper()
	pods := map[string]corev1.PodTemplateSpec{}
	objects := Objects(t, manifest)
	for _, o := range objects {
		switch o.Kind {
		case "Deployment":
			var d appsv1.Deployment
			Find(t, objects, o.Kind, o.Metadata.Name, &d)
			pods[o.Metadata.Name] = d.Spec.Template
		case "StatefulSet":
			var s appsv1.StatefulSet
			Find(t, objects, o.Kind, o.Metadata.Name, &s)
			pods[o.Metadata.Name] = s.Spec.Template
		}
	}
	return pods
}

// WeftIn returns the container with weft: its own, or Envoy's.
func WeftIn(t testing.TB, pod corev1.PodTemplateSpec) corev1.Container {
	t.Helper()
	containers := slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
	for _, name := range []string{"weft", "envoy"} {
		for _, c := range containers {
			if c.Name == name {
				return c
			}
		}
	}
	t.Fatal("weft is not in this pod")
	return corev1.Container{}
}

// Restricted returns why a pod violates the level "restricted" of the API server's PodSecurity admission, or "".
func Restricted(t testing.TB, pod corev1.PodTemplateSpec) string {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
	return result.ForbiddenDetail()
}
