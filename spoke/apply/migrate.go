package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// send is a server-side apply.
func (a *Applier) send(ctx context.Context, o Object, dryRun ...string) (*metav1.PartialObjectMetadata, error) {
	for first := true; ; first = false {
		meta, err := a.around(ctx, o, dryRun...)
		if !first || !outdated(err) {
			return meta, err
		}
		if moved, migrateErr := a.migrate(ctx, o); migrateErr != nil {
			return nil, fmt.Errorf("%w; %w", err, migrateErr)
		} else if !moved {
			return nil, err
		}
	}
}

// outdated reports whether an apply may have failed because managedFields name a version of the kind that it has no
// more, or in which it has not all the fields.
func outdated(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "to an invalid group/version") || strings.Contains(err.Error(), "field not declared in schema"))
}

// migrate has all managers' entries name the version in which the object is applied, as Flux does with its feature
// MigrateAPIVersion. It reports whether any did not.
func (a *Applier) migrate(ctx context.Context, o Object) (bool, error) {
	live, err := a.Get(ctx, o.Ref, o.Mapping)
	if err != nil {
		return false, err
	}
	moved := false
	for i := range live.ManagedFields {
		if entry := &live.ManagedFields[i]; entry.APIVersion != o.Ref.APIVersion() {
			entry.APIVersion, moved = o.Ref.APIVersion(), true
		}
	}
	if !moved {
		return false, nil
	}
	patch, err := json.Marshal([]operation{
		{Op: "replace", Path: "/metadata/resourceVersion", Value: live.ResourceVersion},
		{Op: "replace", Path: "/metadata/managedFields", Value: live.ManagedFields},
	})
	if err == nil {
		_, err = a.patch(ctx, o, types.JSONPatchType, patch)
	}
	return true, o.explain("move managedFields to "+o.Ref.APIVersion(), err)
}
