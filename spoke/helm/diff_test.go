package helm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func (r *real) comparison(t helm.Target) helm.Comparison {
	return helm.Comparison{Target: t, Blob: func(digest fleet.Digest) ([]byte, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.blobs[digest], nil
	}}
}

func (r *real) diff(t helm.Target) fleet.Diff {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	d, err := r.engine.Diff(ctx, r.comparison(t))
	if err != nil {
		r.Fatal(err)
	}
	return d
}

// changes are those of a diff: "created ConfigMap/it" and the texts.
func changes(d fleet.Diff) (objects, texts string) {
	var words []string
	for _, o := range d.Objects {
		words = append(words, o.Change+" "+o.Object.Kind+"/"+o.Object.Name)
		texts += o.Diff + o.Error
	}
	return strings.Join(words, ", "), texts
}

func (r *real) secret(name string, data map[string]string) {
	r.Helper()
	secrets := r.client.CoreV1().Secrets(r.namespace)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}
	if _, err := secrets.Update(r.Context(), secret, metav1.UpdateOptions{}); err != nil {
		if _, err = secrets.Create(r.Context(), secret, metav1.CreateOptions{}); err != nil {
			r.Fatal(err)
		}
	}
}

func TestDiffOfAReleaseShowsWhatAnUpgradeWouldChangeAndChangesNothing(t *testing.T) {
	r := newReal(t)
	r.plan.Spec.Values = json.RawMessage(`{"value": "one", "list": [1, 2]}`)
	first := r.target("1.0.0", map[string]string{"templates/old.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\n"})
	d := r.diff(first)
	if objects, texts := changes(d); objects != "created ConfigMap/it, created ConfigMap/old" || !strings.Contains(texts, "+  value: one") || !strings.Contains(d.Values, "+value: one") {
		t.Errorf("before the install: %s\n%s\n%s", objects, texts, d.Values)
	}
	if d.Release != first.Release.Digest() {
		t.Error("the diff is not said to be of the release")
	}
	r.deploy(first)
	if d := r.diff(first); len(d.Objects) > 0 || d.Values != "" || d.Unchanged != 2 {
		t.Errorf("after the install: %+v", d)
	}
	r.plan.Spec.Values = json.RawMessage(`{"value": "two", "list": [1]}`)
	second := r.target("1.1.0", map[string]string{"templates/new.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: new}\nstringData: {a: canary}\n"})
	d = r.diff(second)
	objects, texts := changes(d)
	if objects != "changed ConfigMap/it, created Secret/new, deleted ConfigMap/old" {
		t.Errorf("objects: %s", objects)
	}
	for _, want := range []string{"-  value: one", "+  value: two", "+  version: 1.1.0", "+  a: '***'"} {
		if !strings.Contains(texts, want) {
			t.Errorf("no %q in\n%s", want, texts)
		}
	}
	if strings.Contains(texts, "canary") {
		t.Errorf("a value of a Secret is shown:\n%s", texts)
	}
	if want := "-- 2\n-value: one\n+value: two"; !strings.Contains(d.Values, want) {
		t.Errorf("values:\n%s", d.Values)
	}
	if got := r.stored(); got != "v1:deployed" {
		t.Errorf("a diff has changed the release to %s", got)
	}
}

func TestDiffOfAReleaseHasNoValueOfASecretInIt(t *testing.T) {
	r := newReal(t)
	files := map[string]string{"templates/it.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it}\n" +
		"data: {password: '{{ .Values.password }}', sum: '{{ .Values.password | sha256sum }}', pin: '{{ .Values.pin }}', open: '{{ .Values.open }}'}\n"}
	r.secret("s", map[string]string{"password": "canary-one", "pin": "417"})
	fromSecret := []flux.HelmValuesReference{
		{Kind: "Secret", Name: "s", ValuesKey: "password", TargetPath: "password"}, {Kind: "Secret", Name: "s", ValuesKey: "pin", TargetPath: "pin"},
	}
	r.plan.Spec.ValuesFrom, r.plan.Spec.Values = fromSecret, json.RawMessage(`{"open": "old"}`)
	r.deploy(r.target("1.0.0", files))
	secretless := func(what string, d fleet.Diff) (objects, texts string) {
		objects, texts = changes(d)
		for _, secret := range []string{"canary", "417", "418", "b7ed4e", "Y2FuYXJ5"} {
			if strings.Contains(texts+d.Values, secret) {
				t.Errorf("%s: %s is shown:\n%s\n%s", what, secret, d.Values, texts)
			}
		}
		return objects, texts
	}
	r.secret("s", map[string]string{"password": "canary-two", "pin": "418"})
	r.plan.Spec.Values = json.RawMessage(`{"open": "new"}`)
	d := r.diff(r.target("1.0.0", files))
	objects, texts := secretless("another value in the Secret", d)
	for _, want := range []string{"-  password: '*** (before)'", "+  password: '*** (after)'", "+  sum: '*** (after)'"} {
		if objects != "changed ConfigMap/it" || !strings.Contains(texts, want) {
			t.Errorf("%s, no %q in\n%s", objects, want, texts)
		}
	}
	for _, want := range []string{"+open: new", "-password: '*** (before)'", "+password: '*** (Secret " + r.namespace + "/s key password)'"} {
		if !strings.Contains(d.Values, want) {
			t.Errorf("no %q in the values\n%s", want, d.Values)
		}
	}
	// What was a Secret's is hidden where it is none any more.
	r.plan.Spec.ValuesFrom, r.plan.Spec.Values = nil, json.RawMessage(`{"open": "new", "password": "public", "pin": 1}`)
	d = r.diff(r.target("1.0.0", files))
	secretless("no Secret any more", d)
	if !strings.Contains(d.Values, "+password: public") || !strings.Contains(d.Values, "-password: '*** (before)'") {
		t.Errorf("values:\n%s", d.Values)
	}
	// An upgrade that failed has the newest values: they are hidden too.
	r.deploy(r.target("1.0.0", files))
	if d := r.diff(r.target("1.0.0", files)); d.Values != "" {
		t.Errorf("values:\n%s", d.Values)
	}
	r.plan.Spec.ValuesFrom, r.plan.Spec.Values = fromSecret, json.RawMessage(`{"open": "failing"}`)
	failing := map[string]string{"templates/it.yaml": files["templates/it.yaml"], "templates/bad.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: BAD}\n"}
	if err := r.try(r.target("2.0.0", failing)); err == nil {
		t.Fatal("a bad object was deployed")
	}
	r.plan.Spec.ValuesFrom, r.plan.Spec.Values = nil, json.RawMessage(`{"open": "new", "password": "public", "pin": 1}`)
	secretless("after a failure", r.diff(r.target("1.0.0", files)))
}

func TestDiffHidesWhatATemplateMayHaveReadInTheCluster(t *testing.T) {
	r := newReal(t)
	r.secret("s", map[string]string{"password": "canary"})
	d := r.diff(r.target("1.0.0", map[string]string{"templates/it.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it}\n" +
		"data: {password: '{{ (lookup \"v1\" \"Secret\" .Release.Namespace \"s\").data.password | b64dec }}'}\n"}))
	if objects, texts := changes(d); objects != "created ConfigMap/it" || strings.Contains(texts, "canary") || !strings.Contains(texts, "password: '***'") {
		t.Errorf("%s\n%s", objects, texts)
	}
}

func TestDiffHidesWhatATemplateOfTheVersionBeforeHasReadInTheCluster(t *testing.T) {
	r := newReal(t)
	r.secret("s", map[string]string{"password": "canary"})
	r.plan.Spec.Values = json.RawMessage(`{"value": "one"}`) // the same before and after
	r.deploy(r.target("1.0.0", map[string]string{"templates/it.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it}\n" +
		"data: {password: '{{ (lookup \"v1\" \"Secret\" .Release.Namespace \"s\").data.password | b64dec }}'}\n"}))
	if r.data()["password"] != "canary" {
		t.Fatalf("it has %v", r.data())
	}
	d := r.diff(r.target("1.1.0", nil))
	if objects, texts := changes(d); objects != "changed ConfigMap/it" || strings.Contains(texts, "canary") || !strings.Contains(texts, ": '***'") {
		t.Errorf("%s\n%s", objects, texts)
	}
}

func TestValuesOfAReleaseAreShownMaskedAndRevealedByWhoMayReadThem(t *testing.T) {
	r := newReal(t)
	r.secret("s", map[string]string{"values.yaml": "password: canary\nport: 80\n"})
	r.plan.Spec.ValuesFrom = []flux.HelmValuesReference{{Kind: "Secret", Name: "s"}}
	r.plan.Spec.Values = json.RawMessage(`{"port": 8080, "open": true}`)
	v, err := r.engine.Values(t.Context(), r.comparison(r.target("1.0.0", nil)))
	masked := "*** (Secret " + r.namespace + "/s key values.yaml)"
	if want := "open: true\npassword: '" + masked + "'\nport: 8080\n"; err != nil || v.Values != want || !v.Secret || v.App != r.app() {
		t.Fatalf("%+v, error %v, want %s", v, err, want)
	}
	sent, err := json.Marshal(v)
	if err != nil || strings.Contains(string(sent), "canary") {
		t.Fatalf("%s, error %v", sent, err)
	}
	var received fleet.HelmValues
	if err := json.Unmarshal(sent, &received); err != nil {
		t.Fatal(err)
	}
	if err := helm.Reveal(t.Context(), r.runner, r.cluster.REST(), &received); err != nil || received.Values != strings.Replace(v.Values, "'"+masked+"'", "canary", 1) {
		t.Errorf("revealed %q, error %v", received.Values, err)
	}
}

func TestQuestionsOfReleasesAreAnsweredOneAtATimeAndHoldUpNoPass(t *testing.T) {
	r := newReal(t)
	target := r.target("1.0.0", nil)
	r.deploy(target)
	held := &holding{Runner: r.runner.Runner, asked: make(chan struct{}), answer: make(chan struct{})}
	r.runner.Runner = held
	done := make(chan error, 1)
	go func() {
		_, err := r.engine.Diff(t.Context(), r.comparison(target))
		done <- err
	}()
	<-held.asked
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.engine.Values(ctx, r.comparison(target)); !errors.Is(err, fleet.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), "another question about a release") {
		t.Errorf("the second question: %v", err)
	}
	r.plan.Spec.Values = json.RawMessage(`{"value": "two"}`)
	r.deploy(r.target("1.1.0", nil))
	close(held.answer)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// holding holds its first process back.
type holding struct {
	helm.Runner
	once          sync.Once
	asked, answer chan struct{}
}

func (h *holding) Start(ctx context.Context, j job.Job, archive []byte) (helm.Process, error) {
	p, err := h.Runner.Start(ctx, j, archive)
	h.once.Do(func() { p = &heldProcess{p, h} })
	return p, err
}

type heldProcess struct {
	helm.Process
	*holding
}

func (p *heldProcess) Do(ctx context.Context, r job.Request) (job.Answer, error) {
	select {
	case <-p.asked:
	default:
		close(p.asked)
		<-p.answer
	}
	return p.Process.Do(ctx, r)
}

func TestQuestionsOfReleasesAreNotAnsweredWhileMemoryIsShort(t *testing.T) {
	r := newReal(t)
	target := r.target("1.0.0", nil)
	for name, system := range map[string]fstest.MapFS{
		"the node has":              {"proc/meminfo": {Data: []byte("MemTotal: 4000000 kB\nMemAvailable:    90000 kB\n")}},
		"the spoke's container has": {"sys/fs/cgroup/memory.max": {Data: []byte("268435456\n")}, "sys/fs/cgroup/memory.current": {Data: []byte("209715200\n")}, "sys/fs/cgroup/memory.stat": {Data: []byte("anon 1\ninactive_file 20971520\n")}},
	} {
		engine, err := helm.New(helm.Config{REST: r.cluster.REST(), Runner: r.runner, Namespace: r.system, Blob: r.comparison(target).Blob, System: system})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = engine.Run(t.Context()) }()
		for range 2 { // the turn is given back
			_, err := engine.Diff(t.Context(), r.comparison(target))
			if text := fmt.Sprint(err); !errors.Is(err, fleet.ErrUnavailable) || !strings.Contains(text, "memory is short: "+name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	r.runner.mu.Lock()
	defer r.runner.mu.Unlock()
	if r.runner.started > 0 {
		t.Errorf("%d processes are started", r.runner.started)
	}
}

func TestHistoryOfAReleaseIsWhatHelmHasAndWhatIsRecorded(t *testing.T) {
	r := newReal(t)
	r.deploy(r.target("1.0.0", nil))
	r.plan.Spec.Values = json.RawMessage(`{"value": "two"}`)
	r.deploy(r.target("1.1.0", nil))
	h, err := r.engine.History(t.Context(), r.app(), r.plan)
	if err != nil || len(h.Versions) != 2 {
		t.Fatalf("%+v, error %v", h, err)
	}
	newest := h.Versions[0]
	if newest.Version != 2 || newest.Status != "deployed" || newest.Chart != "app-1.1.0" || newest.Action != "upgrade" || newest.Description != "Upgrade complete" ||
		newest.Updated.IsZero() || newest.Foreign || newest.Gone || h.Versions[1].Status != "superseded" || h.Versions[1].Action != "install" {
		t.Errorf("history is %+v", h)
	}
	if err := r.client.CoreV1().Secrets(r.namespace).Delete(t.Context(), "sh.helm.release.v1.app.v1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if h, err = r.engine.History(t.Context(), r.app(), r.plan); err != nil || len(h.Versions) != 2 || !h.Versions[1].Gone {
		t.Errorf("without the first version: %+v, error %v", h, err)
	}
	objects, err := r.engine.Objects(t.Context(), r.app())
	if err != nil || len(objects) != 1 || objects[0] != (fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: r.namespace, Name: "it"}) {
		t.Errorf("objects are %v, error %v", objects, err)
	}
	if !r.engine.Has(r.app()) || r.engine.Has(fleet.Key{Home: "hub", Kind: "HelmRelease", Namespace: r.namespace, Name: "other"}) {
		t.Error("it is not known which App has a release")
	}
}
