package expr_test

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
)

var widgets = fleet.ObjectRef{Group: "x.io", Version: "v1", Kind: "Widget", Name: "w"}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON([]byte(`{"apiVersion":"x.io/v1","kind":"Widget",` + text[1:])); err != nil {
		t.Fatal(err)
	}
	return u.Object
}

func health(t *testing.T, checks ...fleet.HealthCheckExpr) *expr.Health {
	t.Helper()
	h, err := expr.NewHealth(checks)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHealthIsTriedInTheOrderOfFlux(t *testing.T) {
	t.Parallel()
	h := health(t, fleet.HealthCheckExpr{APIVersion: "x.io/v1", Kind: "Widget",
		InProgress: "status.phase == 'busy'", Failed: "has(status.error) || status.phase == 'dead'", Current: "status.phase in ['up', 'dead', 'busy']"})
	for _, test := range []struct {
		name, object string
		state        expr.State
		message      string
	}{
		{name: "current", object: `{"status":{"phase":"up"}}`, state: expr.Current},
		{name: "failed before current", object: `{"status":{"phase":"dead"}}`, state: expr.Failed, message: "failed"},
		{name: "in progress before failed", object: `{"status":{"phase":"busy","error":"x"}}`, state: expr.InProgress, message: "inProgress"},
		{name: "none of them", object: `{"status":{"phase":"new"}}`, state: expr.InProgress, message: "current is not true yet"},
		{name: "a generation that is not observed comes first", object: `{"metadata":{"generation":2},"status":{"observedGeneration":1,"phase":"up"}}`, state: expr.InProgress, message: "generation 2"},
		{name: "a generation that is observed", object: `{"metadata":{"generation":2},"status":{"observedGeneration":2,"phase":"up"}}`, state: expr.Current},
		{name: "an observed generation that is no number", object: `{"metadata":{"generation":2},"status":{"observedGeneration":"1","phase":"up"}}`, state: expr.Current},
		{name: "a field that is not there yet", object: `{"metadata":{}}`, state: expr.InProgress, message: "inProgress: no such attribute"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if state, message := h.Evaluate(widgets, object(t, test.object)); state != test.state || !strings.Contains(message, test.message) {
				t.Errorf("it is %s: %s", state, message)
			}
		})
	}
}

func TestHealthIsOfTheKindWhateverItsVersionElseOfTheGroup(t *testing.T) {
	t.Parallel()
	h := health(t,
		fleet.HealthCheckExpr{APIVersion: "x.io/v1beta1", Kind: "Widget", Current: "true"},
		fleet.HealthCheckExpr{APIVersion: "x.io/v1", Current: "false"},
		fleet.HealthCheckExpr{APIVersion: "v1", Kind: "ConfigMap", Current: "data.ready == 'yes'"},
		fleet.HealthCheckExpr{APIVersion: "batch/v1", Current: "false"},
	)
	if state, _ := h.Evaluate(widgets, object(t, `{"metadata":{}}`)); state != expr.Current {
		t.Errorf("a Widget of another version is %s", state)
	}
	if state, _ := h.Evaluate(fleet.ObjectRef{Group: "x.io", Kind: "Gadget"}, object(t, `{"metadata":{}}`)); state != expr.InProgress {
		t.Errorf("another kind of the group is %s", state)
	}
	if state, _ := h.Evaluate(fleet.ObjectRef{Version: "v1", Kind: "ConfigMap"}, object(t, `{"data":{"ready":"yes"}}`)); state != expr.Current {
		t.Errorf("a ConfigMap is %s", state)
	}
	for ref, judged := range map[fleet.ObjectRef]bool{
		{Group: "batch", Kind: "CronJob"}:   true,
		{Group: "batch", Kind: "Job"}:       false, // it is healthy when it has completed, as in Flux
		{Group: "y.io", Kind: "Widget"}:     false,
		{Version: "v1", Kind: "Secret"}:     false,
		{Version: "v1", Kind: "ConfigMap"}:  true,
		{Group: "x.io", Kind: "Widget"}:     true,
		{Group: "apps", Kind: "Deployment"}: false,
	} {
		if h.Judges(ref) != judged {
			t.Errorf("%v is judged: %v", ref, !judged)
		}
	}
	if (*expr.Health)(nil).Judges(widgets) {
		t.Error("no expressions judge")
	}
}

func TestExpressionThatCannotWorkIsRefusedByName(t *testing.T) {
	t.Parallel()
	err := expr.Check([]fleet.HealthCheckExpr{
		{APIVersion: "x.io/v1", Kind: "A", Current: "status.ready ==", Failed: "true"},
		{APIVersion: "x.io/v1", Kind: "B", Current: "true", InProgress: ")", Failed: "'" + strings.Repeat("x", 20_000) + "'"},
		{APIVersion: "x.io/v2", Kind: "A", Current: "true"},
	}, []string{"", "dep.status.ready", "other == true", "dep.status.ready == true && self.metadata.name == 'x'", "dep +"})
	if !errors.Is(err, fleet.ErrInvalid) {
		t.Fatalf("it is %v", err)
	}
	for _, want := range []string{
		"spec.healthCheckExprs[0].current: does not compile as CEL: line 1, column 16: Syntax error",
		"spec.healthCheckExprs[1].inProgress: does not compile as CEL: line 1, column 1",
		"spec.healthCheckExprs[1].failed: is 20002 characters long",
		`spec.healthCheckExprs[2]: the kind "A" of "x.io" has expressions already`,
		"spec.dependsOn[1].readyExpr: is of type dyn and has to be a boolean",
		"spec.dependsOn[2].readyExpr: does not compile as CEL: line 1, column 1: undeclared reference to 'other'",
		"spec.dependsOn[4].readyExpr: does not compile as CEL",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%s", want, err)
		}
	}
	if n := strings.Count(err.Error(), "spec."); n != 7 {
		t.Errorf("%d problems in:\n%s", n, err)
	}
}

func TestReadyExprIsOverSelfAndDep(t *testing.T) {
	t.Parallel()
	var self, dep map[string]any
	for text, into := range map[string]*map[string]any{
		`{"metadata":{"labels":{"v":"2"},"generation":3}}`:                                                                    &self,
		`{"metadata":{"labels":{"v":"2"}},"status":{"observedGeneration":3,"conditions":[{"type":"Ready","status":"True"}]}}`: &dep,
	} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]bool{
		`dep.metadata.labels['v'] == self.metadata.labels['v']`:                                                                 true,
		`dep.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')`:                                              true,
		`dep.status.conditions.filter(c, c.type == 'Healthy').all(c, c.status == 'True') && dep.status.observedGeneration == 4`: false,
		`dep.status.observedGeneration == self.metadata.generation`:                                                             true,
	} {
		ready, err := expr.NewReady(text)
		if err != nil {
			t.Fatal(err)
		}
		if is, err := ready.Evaluate(self, dep); err != nil || is != want {
			t.Errorf("%s is %v, %v", text, is, err)
		}
	}
	missing, err := expr.NewReady(`dep.status.nothing == 'x'`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := missing.Evaluate(self, dep); err == nil {
		t.Error("a field that is not there is no error")
	}
}

func TestEvaluationIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 1_000_000)
	many := make([]any, 100_000)
	for i := range many {
		many[i] = long[:10]
	}
	content := map[string]any{"data": map[string]any{"long": long, "many": many}}
	doubled := "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"
	for range 60 {
		doubled += ".replace('a', 'aa')"
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, text := range []string{
		"data.many.all(a, data.many.all(b, a == b))",
		"data.long.replace('', data.long) == ''",
		"data.many.map(x, data.long).join('') == ''",
		"data.many.map(x, data.long + data.long).size() == 0",
		"data.many.map(x, data.many).map(x, json.encode(x)).size() == 0",
		"data.long.split('').size() == 0",
		"'%s'.format([data.many.map(x, data.long)]) == ''",
		"sets.contains(data.many, data.many.map(x, x + 'b'))",
		"data.many.exists(x, data.long.matches('(a|aa)+b'))",
		doubled + " == ''",
	} {
		h := health(t, fleet.HealthCheckExpr{APIVersion: "x.io/v1", Current: text})
		state, message := h.Evaluate(widgets, content)
		if state != expr.InProgress || !strings.Contains(message, "cost limit") && !strings.Contains(message, "too large") && !strings.Contains(message, "interrupted") {
			t.Errorf("%.80s: %s: %s", text, state, message)
		}
	}
	runtime.ReadMemStats(&after)
	if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 1024 {
		t.Errorf("%d MiB were allocated", made)
	}
	for _, text := range []string{
		"data.long.replace('b', 'c').size() == 1000000", "data.many.exists(x, x == 'aaaaaaaaaa')", "data.many.size() == 100000",
		"'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b' && '%d %s'.format([1, 'x']) == '1 x' && 'abc'.replace('b', 'x', 1) == 'axc'",
		"sets.contains([1, 2], [2]) && base64.encode(b'x') == 'eA=='",
	} {
		h := health(t, fleet.HealthCheckExpr{APIVersion: "x.io/v1", Current: text})
		if state, message := h.Evaluate(widgets, content); state != expr.Current {
			t.Errorf("%s: %s: %s", text, state, message)
		}
	}
}
