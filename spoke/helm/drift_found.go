package helm

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Reasons of the condition Drifted and of events, as Flux has them.
const (
	reasonDrifted          = "DriftDetected"
	reasonNoDrift          = "NoDriftDetected"
	reasonDriftCorrected   = "DriftCorrected"
	reasonCorrectionFailed = "DriftCorrectionFailed"
)

// difference is what an apply would do to an object. It has no value.
type difference struct {
	missing                 bool
	added, changed, removed int
	paths                   []string
}

func (d difference) none() bool { return !d.missing && d.added+d.changed+d.removed == 0 }

// shownPaths and shownObjects bound what is told of drift.
const (
	shownPaths   = 10
	shownObjects = 20
)

// String is Flux's summary, and where it is.
func (d difference) String() string {
	if d.missing {
		return "removed"
	}
	paths := d.paths[:min(len(d.paths), shownPaths)]
	text := fmt.Sprintf("changed (%d additions, %d changes, %d removals): %s", d.added, d.changed, d.removed, strings.Join(paths, ", "))
	if more := len(d.paths) - len(paths); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// business are fields that are the API server's, or a controller's.
var business = []string{"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}

// differenceOf compares an object with what an apply would make of it.
func differenceOf(live, applied *unstructured.Unstructured) (d difference) {
	if live == nil {
		return difference{missing: true}
	}
	for _, top := range slices.Sorted(maps.Keys(union(live.Object, applied.Object))) {
		if top != "status" && top != "metadata" {
			d.field("/"+escape(top), live.Object, applied.Object, top)
		}
	}
	a, _ := live.Object["metadata"].(map[string]any)
	b, _ := applied.Object["metadata"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(union(a, b))) {
		if !slices.Contains(business, key) {
			d.field("/metadata/"+escape(key), a, b, key)
		}
	}
	return d
}

func (d *difference) field(path string, a, b map[string]any, key string) {
	x, inA := a[key]
	y, inB := b[key]
	switch {
	case inA && inB:
		d.value(path, x, y)
	case inB:
		d.added++
		d.paths = append(d.paths, path)
	case inA:
		d.removed++
		d.paths = append(d.paths, path)
	}
}

func (d *difference) value(path string, x, y any) {
	if reflect.DeepEqual(x, y) {
		return
	}
	if a, isMap := x.(map[string]any); isMap {
		if b, isMap := y.(map[string]any); isMap {
			for _, key := range slices.Sorted(maps.Keys(union(a, b))) {
				d.field(path+"/"+escape(key), a, b, key)
			}
			return
		}
	}
	if a, isList := x.([]any); isList {
		if b, isList := y.([]any); isList && len(a) == len(b) {
			for i := range a {
				d.value(path+"/"+strconv.Itoa(i), a[i], b[i])
			}
			return
		}
	}
	d.changed++
	d.paths = append(d.paths, path)
}

func union(a, b map[string]any) map[string]bool {
	keys := make(map[string]bool, len(a)+len(b))
	for key := range a {
		keys[key] = true
	}
	for key := range b {
		keys[key] = true
	}
	return keys
}

// escape writes a key as a token of a JSON pointer (RFC 6901).
func escape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// note keeps what was found of an object; nil: it is as it should be. People are told of what is new.
func (e *Engine) note(a *app, c *look, ref fleet.ObjectRef, found *difference) {
	a.mu.Lock()
	if a.objects != c.of || a.terms != c.terms {
		a.mu.Unlock()
		return // it was found of another version, or under other terms
	}
	before, had := a.drifted[ref]
	if found == nil {
		delete(a.drifted, ref)
		delete(a.failed, ref)
	} else {
		a.drifted[ref] = *found
	}
	a.mu.Unlock()
	changed := found == nil && had || found != nil && (!had || before.String() != found.String())
	if changed && found != nil && c.terms.mode == flux.HelmDriftWarn {
		e.event(a, fleet.Event{Object: ref, Warning: true, Reason: reasonDrifted, Message: drifted(c.of.of, line(ref, *found))})
	}
	if changed {
		e.config.Changed(a.key)
	}
}

// corrected counts and tells a write that undid what others did.
func (e *Engine) corrected(a *app, c *look, ref fleet.ObjectRef, found difference) {
	a.mu.Lock()
	a.corrections++
	a.mu.Unlock()
	e.metrics.corrections.Inc()
	e.event(a, fleet.Event{Object: ref, Reason: reasonDriftCorrected, Message: fmt.Sprintf(
		"Cluster state of release %s has been corrected:\n%s", releaseOf(c.of.of), line(ref, found))})
	e.log.Info("drift corrected", "app", a.key.String(), "object", ref.String())
	e.config.Changed(a.key)
}

// failed tells of a correction that failed, once for one reason.
func (e *Engine) failed(a *app, c *look, ref fleet.ObjectRef, err error) {
	text := cut(err.Error())
	a.mu.Lock()
	told := a.failed[ref] == text
	a.failed[ref] = text
	a.mu.Unlock()
	if told {
		return
	}
	e.event(a, fleet.Event{Object: ref, Warning: true, Reason: reasonCorrectionFailed, Message: fmt.Sprintf(
		"Failed to correct cluster state of release %s:\n%s", releaseOf(c.of.of), text)})
}

// lose notes that an object is another's by its labels.
func (e *Engine) lose(a *app, ref fleet.ObjectRef, who string, here bool) {
	a.mu.Lock()
	before := a.elsewhere[ref]
	a.elsewhere[ref] = who
	delete(a.drifted, ref)
	a.mu.Unlock()
	if here {
		e.tracker.Doubt(ref)
	}
	if before != who {
		e.config.Changed(a.key)
	}
}

func (e *Engine) regain(a *app, ref fleet.ObjectRef) {
	a.mu.Lock()
	_, was := a.elsewhere[ref]
	delete(a.elsewhere, ref)
	a.mu.Unlock()
	if was {
		e.config.Changed(a.key)
	}
}

// driftCondition is the condition Drifted; zero: nobody asks for it, or it is not known yet. The caller holds the lock.
func (a *app) driftCondition(left func(fleet.ObjectRef) bool) fleet.Condition {
	if a.terms == nil || a.terms.mode == flux.HelmDriftDisabled || a.objects == nil {
		return fleet.Condition{}
	}
	var lines []string
	for _, ref := range slices.SortedFunc(maps.Keys(a.drifted), fleet.ObjectRef.Compare) {
		if !left(ref) {
			lines = append(lines, line(ref, a.drifted[ref]))
		}
	}
	if len(lines) == 0 {
		return fleet.Condition{Status: fleet.False, Reason: reasonNoDrift, Message: "No drift detected against the cluster state"}
	}
	if more := len(lines) - shownObjects; more > 0 {
		lines = append(lines[:shownObjects:shownObjects], fmt.Sprintf("and %d more objects", more))
	}
	return fleet.Condition{Status: fleet.True, Reason: reasonDrifted, Message: drifted(a.objects.of, lines...)}
}

func drifted(of fleet.HelmSnapshot, lines ...string) string {
	return cut(fmt.Sprintf("Cluster state of release %s has drifted from the desired state:\n%s", releaseOf(of), strings.Join(lines, "\n")))
}

func line(ref fleet.ObjectRef, found difference) string { return ref.String() + " " + found.String() }
