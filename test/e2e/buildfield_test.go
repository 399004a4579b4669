package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/test/lab"
)

// buildField is a field of a Kustomization's build, by what it does to an App of one ConfigMap, "made", and in one case a
// CronJob.
type buildField struct {
	spec  string
	files map[string]string
	// check looks at what the cluster has; NAMESPACE is the app's.
	check func(ctx context.Context, client kubernetes.Interface, namespace string) error
}

const cronJob = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: made, namespace: NAMESPACE}\nspec:\n  suspend: true\n  schedule: 0 0 1 1 *\n  jobTemplate:\n" +
	"    spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: 'example.com/app:v1'}, {name: b, image: 'example.com/side:v1'}]}}}\n"

const component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nconfigMapGenerator: "

var buildFields = map[string]buildField{
	"targetNamespace": {
		spec: "targetNamespace: NAMESPACE-target",
		check: func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			return hasConfigMap(ctx, client, namespace+"-target", "made-targetnamespace", "")
		},
	},
	"namePrefix": {
		spec: "namePrefix: before-",
		check: func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			return hasConfigMap(ctx, client, namespace, "before-made-nameprefix", "")
		},
	},
	"nameSuffix": {
		spec: "nameSuffix: -after",
		check: func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			return hasConfigMap(ctx, client, namespace, "made-namesuffix-after", "")
		},
	},
	"patches": {
		spec: "patches: [{patch: '[{\"op\": \"add\", \"path\": \"/data/value\", \"value\": \"patched\"}]', target: {kind: ConfigMap, name: made.*}}]",
		check: func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			return hasConfigMap(ctx, client, namespace, "made-patches", "patched")
		},
	},
	"images": {
		spec:  "images: [{name: example.com/app, newTag: v2}, {name: example.com/side, newName: mirror.example.com/side}]",
		files: map[string]string{"job.yaml": cronJob},
		check: func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			job, err := client.BatchV1().CronJobs(namespace).Get(ctx, "made", metav1.GetOptions{})
			if err != nil {
				return err
			}
			containers := job.Spec.JobTemplate.Spec.Template.Spec.Containers
			if got := containers[0].Image + " " + containers[1].Image; got != "example.com/app:v2 mirror.example.com/side:v1" {
				return fmt.Errorf("images %s", got)
			}
			return nil
		},
	},
	"components": {
		spec:  "components: [../parts/one]",
		files: map[string]string{"../parts/one/kustomization.yaml": component + "[{name: part, namespace: NAMESPACE, literals: [value=part], options: {disableNameSuffixHash: true}}]\n"},
		check: func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			return hasConfigMap(ctx, client, namespace, "part", "part")
		},
	},
	"ignoreMissingComponents": {
		spec:  "components: [../parts/none, ../parts/two], ignoreMissingComponents: true",
		files: map[string]string{"../parts/two/kustomization.yaml": component + "[{name: beside, namespace: NAMESPACE, literals: [value=there], options: {disableNameSuffixHash: true}}]\n"},
		check: func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			return hasConfigMap(ctx, client, namespace, "beside", "there")
		},
	},
	"buildMetadata": {
		spec: "buildMetadata: [originAnnotations]",
		check: func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			found, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, "made-buildmetadata", metav1.GetOptions{})
			if err == nil && found.Annotations["config.kubernetes.io/origin"] != "path: made.yaml\n" {
				err = fmt.Errorf("annotations %v", found.Annotations)
			}
			return err
		},
	},
}

func hasConfigMap(ctx context.Context, client kubernetes.Interface, namespace, name, value string) error {
	found, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err == nil && found.Data["value"] != value {
		err = fmt.Errorf("ConfigMap %s has %q, want %q", name, found.Data["value"], value)
	}
	return err
}

// Each field is an App's of its own, with a path of its own in the one repository, so that what the cluster has is that
// field's doing.
func TestBuildFieldsReachTheCluster(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	m := fleet.Members[0]
	expand := strings.NewReplacer("NAMESPACE", a.namespace).Replace
	files := map[string]string{"deploy/target.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + a.namespace + "-target}\n"}
	var objects, names []string
	for _, field := range slices.Sorted(maps.Keys(buildFields)) {
		name := strings.ToLower(field)
		files[name+"/made.yaml"] = a.configMap("made-"+name, "")
		for file, content := range buildFields[field].files {
			files[name+"/"+file] = expand(content)
		}
		objects = append(objects, fmt.Sprintf("apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: %s}\n"+
			"spec: {interval: 1h, retryInterval: 1h, timeout: 30s, path: ./%[1]s, prune: true, wait: true, sourceRef: {kind: GitRepository, name: app}, %s}\n", name, expand(buildFields[field].spec)))
		names = append(names, fmt.Sprintf("{kind: Kustomization, name: %s}", name))
	}
	a.push(files)
	a.settle() // the Namespaces are there
	objects = append(objects, fmt.Sprintf("apiVersion: fleet.flotilla.dev/v1alpha1\nkind: Placement\nmetadata: {name: fields}\nspec:\n  apps: [%s]\n  clusters: {names: [%s]}\n", strings.Join(names, ", "), m.Name()))
	a.apply(strings.Join(objects, "---\n"))
	client := a.client(m)
	for field, want := range buildFields {
		t.Run(field, func(t *testing.T) {
			a.in(t).says("ks/"+strings.ToLower(field), "Ready", "True")
			if err := want.check(t.Context(), client, a.namespace); err != nil {
				t.Error(err)
			}
		})
	}
}
