package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	policies = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicies"}
	bindings = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicybindings"}
)

const (
	mutatingPolicy = `{"apiVersion":"admissionregistration.k8s.io/v1","kind":"MutatingAdmissionPolicy","metadata":{"name":%[1]q},"spec":{
		"matchConstraints":{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":%[1]q}},
			"resourceRules":[{"apiGroups":[%[2]q],"apiVersions":["v1"],"operations":["CREATE","UPDATE"],"resources":[%[3]q]}]},
		"matchConditions":[{"name":"whose","expression":%[4]q},{"name":"which","expression":"!object.metadata.name.startsWith('canary')"}],
		"reinvocationPolicy":"Never","mutations":[{"patchType":"JSONPatch","jsonPatch":{"expression":%[5]q}}]}}`
	mutatingBinding = `{"apiVersion":"admissionregistration.k8s.io/v1","kind":"MutatingAdmissionPolicyBinding",
		"metadata":{"name":%[1]q},"spec":{"policyName":%[1]q}}`

	// Conditions of a policy: whose writes it changes.
	someones  = `request.options.fieldManager == "someone"`
	everyones = `true`
)

// mutate has admission give the field of the kind that we own another value, a CEL expression, with every write that
// the condition holds for, and waits until it does.
func (b *bundle) mutate(k driftKind, condition, value string) {
	b.Helper()
	patch := fmt.Sprintf(`[JSONPatch{op: "add", path: %q, value: %s}]`, "/"+strings.Join(k.owned, "/"), value)
	policy := fmt.Sprintf(mutatingPolicy, b.namespace, k.resource.Group, k.resource.Resource, condition, patch)
	b.createUntilEnd(policies, policy)
	b.createUntilEnd(bindings, fmt.Sprintf(mutatingBinding, b.namespace))
	probe := b.unstructured(k.object)
	probe.SetName("probe")
	b.eventually("the policy is in force", func() error {
		created, err := b.client.Resource(k.resource).Namespace(b.namespace).
			Create(b.Context(), probe, metav1.CreateOptions{FieldManager: "someone", DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err
		}
		if have, _, err := unstructured.NestedFieldNoCopy(created.Object, k.owned...); err != nil || fmt.Sprint(have) == fmt.Sprint(k.want) {
			return fmt.Errorf("the field is %v (%w)", have, err)
		}
		return nil
	})
}

// createUntilEnd makes a cluster-scoped object, which the test does not leave behind.
func (b *bundle) createUntilEnd(resource schema.GroupVersionResource, object string) {
	b.Helper()
	if err := b.create(resource, object); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		err := b.client.Resource(resource).Delete(context.Background(), b.unstructured(object).GetName(), metav1.DeleteOptions{})
		if err != nil {
			b.Error(err)
		}
	})
}

// mutated are a kind without a generation and one with, and expressions for values of the owned field: one that is
// always the same, and one that is another with every write.
func (b *bundle) mutated(play func(b *bundle, k driftKind, same, another string)) {
	for _, name := range []string{"ConfigMap", "Deployment"} {
		b.Run(name, func(t *testing.T) {
			b := newBundle(t).start()
			k := b.driftKind(name)
			before := "oldObject." + strings.Join(k.owned, ".")
			same, another := `"forced"`, before+` + "x"`
			if name == "Deployment" {
				same, another = `7`, before+` + 1`
			}
			play(b, k, same, `oldObject == null ? `+same+` : `+another)
		})
	}
}

const annotated = `{"metadata":{"annotations":{"x":"y"}}}`

func TestWhatAdmissionChangesWithAWriteOfOthersIsPutBack(t *testing.T) {
	newBundle(t).mutated(func(b *bundle, k driftKind, same, _ string) {
		b.deploy(k.object)
		b.mutate(k, someones, same)
		b.judged()
		written := b.patch(k.resource, "it", "someone", annotated)
		if have, _, _ := unstructured.NestedFieldNoCopy(written.Object, k.owned...); fmt.Sprint(have) == fmt.Sprint(k.want) {
			b.Fatal("admission did not change it")
		}
		b.value(k.resource, "it", k.want, k.owned...)
		b.value(k.resource, "it", "y", "metadata", "annotations", "x")
		b.eventually("it is told", func() error {
			if n := b.status().DriftCorrections; n != 1 {
				return fmt.Errorf("%d corrections", n)
			}
			return nil
		})
	})
}

// Where admission has the last word there is nothing to put back, and nothing is written in vain.
func TestWhatAdmissionChangesWithEveryWriteIsNoDrift(t *testing.T) {
	newBundle(t).mutated(func(b *bundle, k driftKind, same, _ string) {
		b.mutate(k, everyones, same)
		target := b.deploy(k.object)
		b.judged()
		b.patch(k.resource, "it", "someone", annotated)
		b.judged()
		entry := b.entry(k)
		target.Verify = true
		if err := b.try(target); err != nil {
			b.Fatal(err)
		}
		b.sameEntry(k, entry)
		b.quiet()
		if have := b.field(k); fmt.Sprint(have) == fmt.Sprint(k.want) {
			b.Error("admission did not change it")
		}
		if s := b.status(); s.DriftCorrections != 0 || len(s.Conflicts) != 0 {
			b.Errorf("the status is %+v", s)
		}
	})
}

// Our own write is changed as well, to something else again: that calls for no further one.
func TestAdmissionThatChangesEveryWriteOtherwiseIsNotWrittenAgainstForEver(t *testing.T) {
	newBundle(t).mutated(func(b *bundle, k driftKind, _, another string) {
		b.mutate(k, everyones, another)
		b.deploy(k.object)
		b.judged()
		b.quiet()
		sent := b.writesOf(func() {
			b.patch(k.resource, "it", "someone", annotated)
			b.judged()
			b.quiet()
		})
		if sent != 1 {
			b.Errorf("a write of others had %d of ours follow", sent)
		}
		if conflicts := b.status().Conflicts; len(conflicts) != 0 {
			b.Errorf("conflicts: %v", conflicts)
		}
	})
}

// writesOf counts the engine's writes while f ran.
func (b *bundle) writesOf(f func()) int {
	b.Helper()
	return len(b.requests(f).Where(func(r labRequest) bool { return r.Verb == "patch" && !r.DryRun }))
}

// quiet fails if the engine writes anything while there is nothing to do for the App.
func (b *bundle) quiet() {
	b.Helper()
	if n := b.writesOf(b.atRest); n != 0 {
		b.Errorf("at rest there are %d writes", n)
	}
}

func (b *bundle) field(k driftKind) any {
	b.Helper()
	have, _, err := unstructured.NestedFieldNoCopy(b.get(k.resource, "it").Object, k.owned...)
	if err != nil {
		b.Fatal(err)
	}
	return have
}
