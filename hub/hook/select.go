package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// selected are the objects that a good call is about, each once, and what of the Receiver's resources is amiss. One that is
// does not keep the others from being selected.
func (h *Hooks) selected(ctx context.Context, hook fleet.Webhook, spec flux.Receiver, event Event) (objects []*resource.Object, problems []string, err error) {
	var seen view
	if hasFilters(spec) {
		if seen, err = newView(event); err != nil {
			return nil, nil, err
		}
	}
	chosen := map[string]bool{}
	for i, r := range spec.Resources {
		at := fmt.Sprintf("spec.resources[%d]", i)
		filters, problem := newFilters(spec, r)
		candidates := []*resource.Object(nil)
		if problem == "" {
			candidates, problem, err = h.candidates(ctx, hook.Namespace, r)
		}
		if err != nil {
			return nil, nil, err
		}
		for _, o := range candidates {
			accepted, why := seen.accepts(filters, o)
			if why != "" && problem == "" {
				problem = o.String() + ": " + why
			}
			if accepted && !chosen[o.String()] {
				chosen[o.String()] = true
				objects = append(objects, o)
			}
			if ctx.Err() != nil {
				return nil, nil, fmt.Errorf("choose what a call is about: %w", ctx.Err())
			}
		}
		if problem != "" {
			problems = append(problems, at+": "+problem)
		}
	}
	return objects, problems, nil
}

func hasFilters(spec flux.Receiver) bool {
	return spec.ResourceFilter != "" || slices.ContainsFunc(spec.Resources, func(r flux.ReceiverResource) bool { return r.Filter != "" })
}

// candidates are the objects that an entry of spec.resources names.
func (h *Hooks) candidates(ctx context.Context, receiver string, r flux.ReceiverResource) (found []*resource.Object, problem string, err error) {
	namespace := r.NamespaceFor(receiver)
	if namespace != receiver && !h.CrossNamespaceRefs {
		return nil, fmt.Sprintf("%s is in another namespace, and references across namespaces are blocked: have a Receiver there, or start the hub with --allow-cross-namespace-refs", namespace), nil
	}
	if r.Name == "*" {
		found, err = h.Store.Labelled(ctx, r.Kind, namespace, r.MatchLabels)
		return found, "", err
	}
	object, err := h.Store.Object(ctx, r.Kind, namespace, r.Name)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return nil, fmt.Sprintf("%s/%s/%s is not declared", r.Kind, namespace, r.Name), nil
	case err != nil:
		return nil, "", err
	}
	return []*resource.Object{object}, "", nil
}

// newFilters are those that an object of an entry has to pass.
func newFilters(spec flux.Receiver, r flux.ReceiverResource) (filters []*expr.Filter, problem string) {
	for _, text := range []string{spec.ResourceFilter, r.Filter} {
		if text == "" {
			continue
		}
		filter, err := expr.NewFilter(text, spec.Type == flux.GenericOIDCReceiver)
		if err != nil {
			return nil, "a filter " + strings.TrimPrefix(err.Error(), fleet.ErrInvalid.Error()+": ")
		}
		filters = append(filters, filter)
	}
	return filters, ""
}

// view is what filters see of a call.
type view struct{ req, claims map[string]any }

// newView reads the body for the filters. As in Flux, they see one that says it is JSON, and that has to be an object.
func newView(event Event) (view, error) {
	v := view{req: map[string]any{}, claims: event.Claims}
	if event.Content == nil {
		return v, nil
	}
	if err := json.NewDecoder(strings.NewReader(string(event.Content))).Decode(&v.req); err != nil {
		return v, unwantedf("the body is not a JSON object, which the Receiver's filters look at")
	}
	return v, nil
}

// accepts reports whether an object passes the filters; why says that one could not tell.
func (v view) accepts(filters []*expr.Filter, o *resource.Object) (accepted bool, why string) {
	if len(filters) == 0 {
		return true, ""
	}
	res, err := metadataOf(o)
	if err != nil {
		return false, err.Error()
	}
	for _, filter := range filters {
		accepted, err := filter.Accepts(res, v.req, v.claims)
		if err != nil {
			return false, "a filter: " + err.Error()
		}
		if !accepted {
			return false, ""
		}
	}
	return true, ""
}

// metadataOf is what filters see of an object: neither spec nor status.
func metadataOf(o *resource.Object) (fields map[string]any, err error) {
	raw, err := json.Marshal(resource.Object{APIVersion: o.APIVersion, Kind: o.Kind, Metadata: o.Metadata})
	if err != nil {
		return nil, err
	}
	return fields, json.Unmarshal(raw, &fields)
}

// maxListed bounds the problems that an event tells.
const maxListed = 5

func listed(problems []string) string {
	if more := len(problems) - maxListed; more > 0 {
		return strings.Join(problems[:maxListed], "; ") + fmt.Sprintf("; and %d more", more)
	}
	return strings.Join(problems, "; ")
}
