package apply

import (
	"fmt"
	"regexp"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// Ignore are the fields of an App's objects that are left to others (Kustomization spec.ignore).
type Ignore []ignoreRule

type ignoreRule struct {
	paths []string
	// group, version, kind, namespace and name are nil where all match.
	group, version, kind, namespace, name *regexp.Regexp
	labels, annotations                   fleet.Selector
}

// NewIgnore reads the rules of a Release. The error wraps fleet.ErrInvalid.
func NewIgnore(rules []fleet.IgnoreRule) (Ignore, error) {
	var ignore Ignore
	for i, rule := range rules {
		target := rule.Target
		if target == nil {
			target = &fleet.PatchTarget{}
		}
		r := ignoreRule{paths: rule.Paths}
		for _, field := range []struct {
			name, pattern string
			into          **regexp.Regexp
		}{
			{"group", target.Group, &r.group}, {"version", target.Version, &r.version}, {"kind", target.Kind, &r.kind},
			{"namespace", target.Namespace, &r.namespace}, {"name", target.Name, &r.name},
		} {
			if field.pattern == "" {
				continue
			}
			pattern, err := regexp.Compile("^(?:" + field.pattern + ")$")
			if err != nil {
				return nil, fmt.Errorf("ignore[%d].target.%s: %w: %w", i, field.name, fleet.ErrInvalid, err)
			}
			*field.into = pattern
		}
		var err error
		if r.labels, err = fleet.ParseSelector(target.LabelSelector); err != nil {
			return nil, fmt.Errorf("ignore[%d].target.labelSelector: %w", i, err)
		}
		if r.annotations, err = fleet.ParseSelector(target.AnnotationSelector); err != nil {
			return nil, fmt.Errorf("ignore[%d].target.annotationSelector: %w", i, err)
		}
		ignore = append(ignore, r)
	}
	return ignore, nil
}

// of are the rules that may be about an object: its labels and annotations, as they will be, have their say later.
func (ignore Ignore) of(ref fleet.ObjectRef) Ignore {
	var about Ignore
	for _, r := range ignore {
		if matches(r.group, ref.Group) && matches(r.version, ref.Version) && matches(r.kind, ref.Kind) &&
			matches(r.namespace, ref.Namespace) && matches(r.name, ref.Name) {
			about = append(about, r)
		}
	}
	return about
}

func matches(pattern *regexp.Regexp, text string) bool {
	return pattern == nil || pattern.MatchString(text)
}

// Whole reports whether an apply of o takes away what one before it brought: nothing of it is left to others, or as it is.
func (o Object) Whole() bool { return len(o.ignored) == 0 && o.Mode.SSA != manifest.SSAIfNotPresent }

// Leaving returns o so that, where it exists already, it is applied around what those rules leave to others.
func (o Object) Leaving(ignore Ignore) Object {
	o.ignored = ignore.of(o.Ref)
	return o
}

// At returns o so that it is applied to that version of what is there, and to no other: the error wraps fleet.ErrConflict.
// O has to be Whole.
func (o Object) At(resourceVersion string) Object {
	o.at = resourceVersion
	return o
}
