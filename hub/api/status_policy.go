package api

import (
	"context"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// policyStatus is the status of a RolloutPolicy.
type policyStatus struct {
	ObservedGeneration int64       `json:"observedGeneration"`
	Conditions         []condition `json:"conditions"`
	// UsedBy are the Placements that name it, as "namespace/name".
	UsedBy []string `json:"usedBy"`
}

// addPolicyStatus says which Placements name a RolloutPolicy. One that was deleted, or names another by now, counts for
// the version.
func (s *Server) addPolicyStatus(ctx context.Context, objects []*resource.Object) error {
	placements, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.Placement.Name, Since: 1})
	if err != nil {
		return err
	}
	users, version := map[string][]*resource.Object{}, uint64(0)
	for _, p := range placements {
		version = max(version, versionOf(p))
		spec, err := resource.Spec[fleet.Placement](p)
		if err != nil {
			return err
		}
		if !p.Gone && spec.RolloutPolicyRef != nil {
			users[spec.RolloutPolicyRef.Name] = append(users[spec.RolloutPolicyRef.Name], p)
		}
	}
	for _, o := range objects {
		if err := setStatus(o, statusOfPolicy(o, users[o.Metadata.Name]), version); err != nil {
			return err
		}
	}
	return nil
}

func statusOfPolicy(object *resource.Object, users []*resource.Object) policyStatus {
	status := policyStatus{ObservedGeneration: object.Metadata.Generation, UsedBy: []string{}}
	for _, p := range users {
		status.UsedBy = append(status.UsedBy, p.Metadata.Namespace+"/"+p.Metadata.Name)
	}
	slices.Sort(status.UsedBy)
	message := "used by " + listed(status.UsedBy)
	if len(users) == 0 {
		message = "no Placement names it"
	}
	since := time.Time{}
	if object.Metadata.CreationTimestamp != nil {
		since = *object.Metadata.CreationTimestamp
	}
	c := conditions{observed: status.ObservedGeneration}
	c.addReady(standing{fleet.Condition{Status: fleet.True, Reason: "Valid", Message: message}, since}) // else it would not have been taken in
	status.Conditions = c.list
	return status
}
