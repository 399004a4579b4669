package worker

import (
	"encoding/json"
	"fmt"
	"time"

	kjson "sigs.k8s.io/json"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// dependencyPeriod is how often a pass that waits for a dependency looks again without being woken.
const dependencyPeriod = 30 * time.Second

// standing is how an App of this cluster is, for those that depend on it.
type standing struct {
	fleet.Assignment
	report fleet.Report
}

// sameTo reports whether two reports of an App are the same to those that depend on it.
func sameTo(a, b fleet.Report) bool {
	return a.Generation == b.Generation && a.Release == b.Release && a.Applied == b.Applied && a.Stage == b.Stage &&
		a.Ready == b.Ready && a.Healthy == b.Healthy
}

// hindrance is why a pass cannot begin.
type hindrance struct {
	reason, message string
	// terminal: no change of the dependency will do.
	terminal bool
}

// hindered looks for a dependency of an App, which is self, that is not ready. Compile compiles a readyExpr.
func hindered(self standing, others map[fleet.Key]standing, compile func(string) (*expr.Ready, error)) *hindrance {
	for i, d := range self.Release.DependsOn {
		dep, there := others[d.App(self.App.Home)]
		name := d.Kind + "/" + d.Namespace + "/" + d.Name
		var why string
		switch {
		case !there:
			return notReady("dependency %s is not in this cluster: have its Placement choose this cluster too, or do not depend on it", name)
		case d.ReadyExpr == "":
			why = dep.lacks()
		default:
			ready, err := compile(d.ReadyExpr)
			if err != nil {
				message := fmt.Sprintf("spec.dependsOn[%d].readyExpr: %s", i, err)
				return &hindrance{reason: fleet.ReasonInvalidExpression, message: message, terminal: true}
			}
			why = judge(ready, self, dep)
		}
		if why != "" {
			return notReady("dependency %s is not ready: %s", name, why)
		}
	}
	return nil
}

func notReady(format string, args ...any) *hindrance {
	return &hindrance{reason: fleet.ReasonDependency, message: fmt.Sprintf(format, args...)}
}

// lacks says why a dependency is not ready; empty: it is, at what is assigned now.
func (s standing) lacks() string {
	release := s.Release.Digest()
	switch {
	case s.report.Ready.Status == fleet.False:
		return s.report.Ready.Reason
	case s.report.Generation != s.Generation || s.report.Release != release:
		return "its Assignment was not looked at yet"
	case s.report.Applied != release:
		return "its release is not applied yet"
	case s.report.Ready.Status != fleet.True:
		return s.report.Ready.Reason
	}
	return ""
}

// judge says why a dependency is not ready by an expression; empty: it is.
func judge(ready *expr.Ready, self, dep standing) string {
	objects := [2]map[string]any{}
	for i, s := range [2]standing{self, dep} {
		object, err := s.object()
		if err != nil {
			return err.Error()
		}
		objects[i] = object
	}
	switch is, err := ready.Evaluate(objects[0], objects[1]); {
	case err != nil:
		return "its readyExpr cannot be evaluated: " + err.Error()
	case !is:
		return "its readyExpr is not true"
	}
	return ""
}

// object is the App as expressions see it: the declared object, with the status that it has in this cluster.
func (s standing) object() (map[string]any, error) {
	if s.Declared == nil {
		return nil, fmt.Errorf("the hub has not sent the declaration of %s: it comes with what is assigned, where both fit into one message", s.App.Words())
	}
	var spec any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(s.Declared.Spec, &spec); err != nil {
		return nil, fmt.Errorf("the declaration of %s is not understood: %w", s.App.Words(), err)
	}
	return map[string]any{
		"apiVersion": apiVersions[s.App.Kind],
		"kind":       s.App.Kind,
		"metadata": map[string]any{
			"name": s.App.Name, "namespace": s.App.Namespace, "generation": s.Declared.Generation,
			"labels": values(s.Declared.Labels), "annotations": values(s.Declared.Annotations),
		},
		"spec":   spec,
		"status": s.status(),
	}, nil
}

var apiVersions = map[string]string{flux.KustomizationKind: flux.KustomizeAPIVersion, flux.HelmReleaseKind: flux.HelmAPIVersion}

// status is that of the App in this cluster. Revisions are the hub's to know.
func (s standing) status() map[string]any {
	status := map[string]any{}
	var helm fleet.HelmStatus
	if s.App.Kind == flux.HelmReleaseKind && len(s.report.Detail) > 0 {
		// Its own conditions are among the others, as in Flux. What is not understood is not there.
		_ = kjson.UnmarshalCaseSensitivePreserveInts(s.report.Detail, &status)
		_ = json.Unmarshal(s.report.Detail, &helm)
		for _, name := range []string{"released", "testSuccess", "remediated", "drifted", "stalled"} {
			delete(status, name)
		}
	}
	conditions := []any{}
	for _, c := range []struct {
		name string
		fleet.Condition
	}{
		{"Ready", s.report.Ready}, {"Healthy", s.report.Healthy}, {"Released", helm.Released}, {"TestSuccess", helm.TestSuccess},
		{"Remediated", helm.Remediated}, {"Drifted", helm.Drifted}, {"Stalled", helm.Stalled},
	} {
		if c.Status != "" {
			conditions = append(conditions, map[string]any{
				"type": c.name, "status": string(c.Status), "reason": c.Reason, "message": c.Message,
			})
		}
	}
	status["observedGeneration"], status["conditions"] = s.observed(), conditions
	return status
}

// observed is the generation of the declaration that the status is about; -1: of none, as in Flux.
func (s standing) observed() int64 {
	taken := s.report.Generation == s.Generation && s.report.Applied == s.Release.Digest() && s.report.Applied == s.report.Release
	switch observed := s.Declared.Observed; {
	case taken && observed > 0:
		return observed
	case observed > 1:
		return observed - 1
	}
	return -1
}

func values(m map[string]string) map[string]any {
	result := make(map[string]any, len(m))
	for key, value := range m {
		result[key] = value
	}
	return result
}

// findHindrance looks for what keeps a pass of the App from beginning.
func (w *worker) findHindrance() *hindrance {
	if len(w.want.Release.DependsOn) == 0 {
		return nil
	}
	return hindered(standing{w.want.Assignment, w.told}, w.pool.standingsOf(w.want), w.compile)
}

// compile keeps what it compiled: a dependency is looked at many times.
func (w *worker) compile(text string) (*expr.Ready, error) {
	if ready := w.compiled[text]; ready != nil {
		return ready, nil
	}
	ready, err := expr.NewReady(text)
	if err != nil {
		return nil, err
	}
	if w.compiled == nil || len(w.compiled) > len(w.want.Release.DependsOn) {
		w.compiled = map[string]*expr.Ready{} // of Releases before
	}
	w.compiled[text] = ready
	return ready, nil
}

// dependsOn reports whether the App's newest Assignment depends on another App.
func (w *worker) dependsOn(other fleet.Key) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.given.Release.DependsOn {
		if other == d.App(w.app.Home) {
			return true
		}
	}
	return false
}

// standingsOf are those of the Apps that want depends on and that this cluster is to run: what is assigned, though its
// worker may not have looked at it, and what was last said of it.
func (p *Pool) standingsOf(want Assigned) map[fleet.Key]standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := map[fleet.Key]standing{}
	for _, d := range want.Release.DependsOn {
		key := d.App(want.App.Home)
		if dep, there := p.assigned[key]; there && !dep.Kept && !dep.tombstone() {
			found[key] = standing{dep.Assignment, p.reports[key]}
		}
	}
	return found
}

// said takes note of an App's report, and wakes those that depend on it when they may see it otherwise.
func (p *Pool) said(now fleet.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.reports[now.App]
	p.reports[now.App] = now
	if !sameTo(before, now) {
		p.wakeDependents(now.App)
	}
}

// unsaid forgets what was said of an App.
func (p *Pool) unsaid(app fleet.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.reports, app)
}

// wakeDependents wakes the Apps that depend on one; the caller holds the lock.
func (p *Pool) wakeDependents(app fleet.Key) {
	for _, w := range p.workers {
		if w.dependsOn(app) {
			w.wake.Set()
		}
	}
}
