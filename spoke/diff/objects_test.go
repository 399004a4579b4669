package diff_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/spoke/diff"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func objects(t *testing.T, before, after *unstructured.Unstructured) string {
	t.Helper()
	text, err := diff.Objects(before, after, nil)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestValuesOfASecretAreNeverShownAndTheirChangeIs(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{\"data\":\"Y2FuYXJ5\"}'}\n"
	before := object(t, head+"data: {same: Y2FuYXJ5, other: Y2FuYXJ5MQ==, gone: Y2FuYXJ5, odd: {a: Y2FuYXJ5}}\n")
	after := object(t, head+"data: {same: Y2FuYXJ5, other: Y2FuYXJ5Mg==, new: Y2FuYXJ5}\nstringData: Y2FuYXJ5\n")
	for name, text := range map[string]string{
		"changed": objects(t, before, after), "new": objects(t, nil, after), "gone": objects(t, before, nil),
	} {
		if strings.Contains(text, "Y2FuYXJ5") || text == "" {
			t.Errorf("%s:\n%s", name, text)
		}
	}
	text := objects(t, before, after)
	for _, want := range []string{"-  other: '*** (before)'\n", "+  other: '*** (after)'\n", "-  gone: '***'\n", "+  new: '***'\n", "   same: '***'\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if before.Object["data"].(map[string]any)["same"] != "Y2FuYXJ5" {
		t.Error("the object itself was masked")
	}
}

func TestWhatTheAPIServerKeepsIsNoDifference(t *testing.T) {
	t.Parallel()
	before := object(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, uid: a, resourceVersion: '1', generation: 1, managedFields: [{manager: x}]}\nstatus: {a: 1}\ndata: {k: v}\n")
	after := object(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, uid: b, resourceVersion: '2'}\ndata: {k: v}\n")
	if text := objects(t, before, after); text != "" {
		t.Errorf("got\n%s", text)
	}
	after.Object["data"] = map[string]any{"k": "w"}
	if text := objects(t, before, after); !strings.Contains(text, "-  k: v\n+  k: w\n") {
		t.Errorf("got\n%s", text)
	}
}

func TestNothingThatASealedObjectHoldsIsShown(t *testing.T) {
	t.Parallel()
	before := object(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: apps, labels: {a: canary}}\ndata: {same: canary, other: canary1, gone: canary}\nlist: [canary, canary2, {deep: canary}]\nnumber: 4711\n")
	after := object(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: apps, labels: {a: canary}}\ndata: {same: canary, other: canary3, new: canary}\nlist: [canary, canary4]\nnumber: 4712\n")
	known := diff.Keys{}
	known.Add(before.Object)
	known.Add(after.Object)
	for name, pair := range map[string][2]*unstructured.Unstructured{"changed": {before, after}, "new": {nil, after}, "gone": {before, nil}} {
		text, err := diff.Objects(pair[0], pair[1], known)
		if err != nil || text == "" || strings.Contains(text, "canary") || strings.Contains(text, "471") {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		if name != "changed" {
			continue
		}
		for _, want := range []string{"-  other: '*** (before)'\n", "+  other: '*** (after)'\n", "-number: '*** (before)'\n", "-  gone: '***'\n", "+  new: '***'\n", "-- deep: '***'\n", "   same: '***'\n", "   name: c\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
	if text, err := diff.Objects(before, before, known); text != "" || err != nil {
		t.Errorf("of the same: %q, %v", text, err)
	}
}

func TestKeysOfASealedObjectAreShownWhereTheDocumentHasThem(t *testing.T) {
	t.Parallel()
	before := object(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: {canary0: a}}\ndata: {same: a, canary1: a, canary2: a}\n")
	after := object(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: {canary0: a}}\ndata: {same: b, canary2: b, canary3: a}\nlist: [{canary4: a}]\n")
	known := diff.Keys{"data": true, "same": true, "list": true}
	for name, pair := range map[string][2]*unstructured.Unstructured{"changed": {before, after}, "new": {nil, after}, "gone": {before, nil}} {
		text, err := diff.Objects(pair[0], pair[1], known)
		if err != nil || !strings.Contains(text, "same: '***") || strings.Contains(text, "canary") {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		if name != "changed" {
			continue
		}
		for _, want := range []string{"-  '***': '***'\n", "-  '*** (2)': '*** (before)'\n", "+  '*** (2)': '*** (after)'\n", "+  '*** (3)': '***'\n", "     '***': '***'\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
}
