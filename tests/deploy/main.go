// Renders the Helm chart of a folder with the values of each case, by Helm's own engine, and checks what comes
// out: values against values.schema.json, every object strictly against the Kubernetes type that it says it is,
// so that an unknown or misplaced field is an error, and that what refers to each other is there.
//
//	check_chart CHART CASES FILE...
//
// CASES holds <case>.yaml, values. Its first line says what comes of them: "# objects: Kind Kind …", in order of
// their names, or "# refused: part of the error". FILE...: solution files, each rendered as the chart's solution,
// which must come out of the ConfigMap byte by byte.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// ScaledObject has what the chart uses of keda.sh/v1alpha1.
type ScaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount *int32 `json:"minReplicaCount"`
		MaxReplicaCount *int32 `json:"maxReplicaCount"`
		Triggers        []struct {
			Type              string            `json:"type"`
			Metadata          map[string]string `json:"metadata"`
			AuthenticationRef *struct {
				Name string `json:"name"`
			} `json:"authenticationRef"`
		} `json:"triggers"`
	} `json:"spec"`
}

// KafkaTopic has what the chart uses of kafka.strimzi.io/v1beta2.
type KafkaTopic struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Partitions int32          `json:"partitions"`
		Replicas   int32          `json:"replicas"`
		Config     map[string]any `json:"config"`
	} `json:"spec"`
}

// What one case comes to.
type rendered struct {
	kinds      []string
	deployment *appsv1.Deployment
	config     *corev1.ConfigMap
	account    *corev1.ServiceAccount
	budget     *policyv1.PodDisruptionBudget
	scaled     *ScaledObject
}

func render(c *chart.Chart, values map[string]any) (*rendered, error) {
	options := chartutil.ReleaseOptions{Name: "relay", Namespace: "streams", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return nil, err
	}
	out := &rendered{}
	var names []string
	for name := range files {
		if strings.HasSuffix(name, ".yaml") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		for _, text := range strings.Split("\n"+files[name], "\n---") {
			if strings.TrimSpace(text) == "" {
				continue
			}
			if err := out.add([]byte(text)); err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", name, err, text)
			}
		}
	}
	return out, nil
}

func (r *rendered) add(text []byte) error {
	var is metav1.TypeMeta
	if err := yaml.Unmarshal(text, &is); err != nil {
		return err
	}
	var object metav1.Object
	switch is.APIVersion + " " + is.Kind {
	case "apps/v1 Deployment":
		r.deployment = &appsv1.Deployment{}
		object = r.deployment
	case "v1 ConfigMap":
		r.config = &corev1.ConfigMap{}
		object = r.config
	case "v1 ServiceAccount":
		r.account = &corev1.ServiceAccount{}
		object = r.account
	case "policy/v1 PodDisruptionBudget":
		r.budget = &policyv1.PodDisruptionBudget{}
		object = r.budget
	case "keda.sh/v1alpha1 ScaledObject":
		r.scaled = &ScaledObject{}
		object = r.scaled
	case "kafka.strimzi.io/v1beta2 KafkaTopic":
		object = &KafkaTopic{}
	default:
		return fmt.Errorf("%s %s is not expected", is.APIVersion, is.Kind)
	}
	if err := yaml.UnmarshalStrict(text, object); err != nil {
		return err
	}
	if object.GetName() == "" || object.GetLabels()["app.kubernetes.io/instance"] != "relay" {
		return fmt.Errorf("%s: without a name or labels", is.Kind)
	}
	r.kinds = append(r.kinds, is.Kind)
	return nil
}

// What Kubernetes would find out later than its types do.
func (r *rendered) check() error {
	pod := r.deployment.Spec.Template
	for name, value := range r.deployment.Spec.Selector.MatchLabels {
		if pod.Labels[name] != value {
			return fmt.Errorf("the selector's %s is not a label of the pods", name)
		}
	}
	if r.budget != nil {
		for name, value := range r.budget.Spec.Selector.MatchLabels {
			if pod.Labels[name] != value {
				return fmt.Errorf("the disruption budget's %s is not a label of the pods", name)
			}
		}
	}
	if pod.Spec.ServiceAccountName != r.account.Name {
		return fmt.Errorf("the service account %s is not there", pod.Spec.ServiceAccountName)
	}
	if r.scaled != nil && (r.scaled.Spec.ScaleTargetRef.Name != r.deployment.Name || r.deployment.Spec.Replicas != nil) {
		return fmt.Errorf("KEDA does not scale this deployment alone")
	}
	volumes := map[string]bool{}
	for _, volume := range pod.Spec.Volumes {
		volumes[volume.Name] = true
		if volume.ConfigMap != nil && (r.config == nil || volume.ConfigMap.Name != r.config.Name) {
			return fmt.Errorf("the config map %s is not there", volume.ConfigMap.Name)
		}
	}
	container := pod.Spec.Containers[0]
	for _, mount := range container.VolumeMounts {
		if !volumes[mount.Name] {
			return fmt.Errorf("the volume %s is not there", mount.Name)
		}
	}
	safe := container.SecurityContext
	if !*pod.Spec.SecurityContext.RunAsNonRoot || !*safe.ReadOnlyRootFilesystem || *safe.AllowPrivilegeEscalation {
		return fmt.Errorf("the container may do more than it needs")
	}
	ports := map[string]bool{}
	for _, port := range container.Ports {
		ports[port.Name] = true
	}
	for _, probe := range []*corev1.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
		if probe == nil || !ports[probe.HTTPGet.Port.StrVal] {
			return fmt.Errorf("a probe asks a port that is not there")
		}
	}
	return nil
}

func checkCase(c *chart.Chart, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	values := map[string]any{}
	if err := yaml.Unmarshal(text, &values); err != nil {
		return err
	}
	made, err := render(c, values)
	if part, refused := strings.CutPrefix(first, "# refused: "); refused {
		if err == nil || !strings.Contains(err.Error(), part) {
			return fmt.Errorf("expected an error with %q, found %v", part, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	sort.Strings(made.kinds)
	if kinds := "# objects: " + strings.Join(made.kinds, " "); kinds != first {
		return fmt.Errorf("expected %q, found %q", first, kinds)
	}
	return made.check()
}

func checkSolution(c *chart.Chart, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	made, err := render(c, map[string]any{"image": map[string]any{"repository": "registry/tidemill"}, "solution": string(text)})
	if err != nil {
		return err
	}
	if made.config == nil || made.config.Data["solution.yaml"] != string(text) {
		return fmt.Errorf("the config map holds another text")
	}
	return made.check()
}

func main() {
	c, err := loader.Load(os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	cases, _ := filepath.Glob(os.Args[2] + "/*.yaml")
	failed, count := 0, 0
	report := func(path string, err error) {
		count++
		if err != nil {
			failed++
			fmt.Printf("%s: %v\n", path, err)
		}
	}
	for _, path := range cases {
		report(path, checkCase(c, path))
	}
	for _, path := range os.Args[3:] {
		report(path, checkSolution(c, path))
	}
	fmt.Printf("%d cases, %d failed\n", count, failed)
	if failed > 0 || count == 0 {
		os.Exit(1)
	}
}
