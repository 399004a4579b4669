package spoke_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke"
)

// A kubeconfig leads to some cluster: values of another one must not be told under the name of the one that was asked.
func TestValuesAreRevealedOnlyFromTheClusterOfTheVariables(t *testing.T) {
	b := newBench(t)
	const id, other = "0c8a7b52-3c3f-4f58-8c0e-2f1f0a3f6c11", "99999999-3c3f-4f58-8c0e-2f1f0a3f6c11"
	b.secret(b.namespace, "vars", map[string]string{"PASSWORD": "canary"})
	if _, err := b.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.system}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.secret(b.system, "flotilla-spoke", map[string]string{"cluster-id": id, "cluster-name": "prod-1"})
	for name, test := range map[string]struct {
		cluster *fleet.ClusterMark
		refuses string
	}{
		"its own":                        {&fleet.ClusterMark{ID: id, Name: "prod-1", Namespace: b.system}, ""},
		"its own, renamed since":         {&fleet.ClusterMark{ID: id, Name: "production-1", Namespace: b.system}, ""},
		"another one":                    {&fleet.ClusterMark{ID: other, Name: "prod-2", Namespace: b.system}, "the kubeconfig leads to Cluster/prod-1, and the variables are those of Cluster/prod-2"},
		"another one of its name":        {&fleet.ClusterMark{ID: other, Name: "prod-1", Namespace: b.system}, "the kubeconfig leads to Cluster/prod-1, and the variables are those of Cluster/prod-1"},
		"one that has no spoke":          {&fleet.ClusterMark{ID: id, Name: "prod-1", Namespace: b.namespace}, "the kubeconfig leads to a cluster without Secret/" + b.namespace + "/flotilla-spoke, and the variables are those of Cluster/prod-1"},
		"a list that does not say whose": {nil, "the variables do not say of which cluster they are"},
	} {
		variables := fleet.Variables{Substitutes: true, Cluster: test.cluster, Variables: []fleet.Variable{
			{Name: "PASSWORD", Value: "masked", Secret: &fleet.SecretKey{Namespace: b.namespace, Name: "vars", Key: "PASSWORD"}}}}
		err := spoke.Reveal(t.Context(), spoke.Config{REST: b.cluster.REST()}, &variables)
		switch got := variables.Variables[0].Value; {
		case test.refuses == "" && (err != nil || got != "canary"):
			t.Errorf("%s: %q, error %v", name, got, err)
		case test.refuses != "" && (got != "masked" || !strings.Contains(fmt.Sprint(err), test.refuses)):
			t.Errorf("%s: %q, error %v; want one that says %q", name, got, err, test.refuses)
		}
	}
	// Without a value to reveal there is nothing that could be another cluster's.
	open := fleet.Variables{Substitutes: true, Variables: []fleet.Variable{{Name: "A", Value: "1"}}}
	if err := spoke.Reveal(t.Context(), spoke.Config{REST: b.cluster.REST()}, &open); err != nil {
		t.Error(err)
	}
}

func TestValuesOfReleasesAreRevealedOnlyFromTheirCluster(t *testing.T) {
	b := newBench(t)
	const id, other = "0c8a7b52-3c3f-4f58-8c0e-2f1f0a3f6c11", "99999999-3c3f-4f58-8c0e-2f1f0a3f6c11"
	if _, err := b.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.system}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.secret(b.system, "flotilla-spoke", map[string]string{"cluster-id": id, "cluster-name": "prod-1"})
	config := spoke.Config{REST: b.cluster.REST()}
	for refuses, cluster := range map[string]*fleet.ClusterMark{
		"the kubeconfig leads to Cluster/prod-1, and the values are those of Cluster/prod-2": {ID: other, Name: "prod-2", Namespace: b.system},
		"the values do not say of which cluster they are":                                    nil,
		// Its own, and the program that has Helm is not beside this one.
		"flotilla-helm": {ID: id, Name: "prod-1", Namespace: b.system},
	} {
		values := fleet.HelmValues{Values: "masked", Secret: true, Cluster: cluster, Plan: []byte("{}")}
		if err := spoke.RevealValues(t.Context(), config, &values); err == nil || !strings.Contains(err.Error(), refuses) || values.Values != "masked" {
			t.Errorf("%q, error %v; want one that says %q", values.Values, err, refuses)
		}
	}
	if err := spoke.RevealValues(t.Context(), config, &fleet.HelmValues{Values: "open"}); err != nil {
		t.Errorf("without anything to reveal: %v", err)
	}
}

func (b *bench) secret(namespace, name string, data map[string]string) {
	b.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}
	if _, err := b.client.CoreV1().Secrets(namespace).Create(b.Context(), secret, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
}
