package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/run"
)

// requestTimeout is longer than what an API server allows itself for a request (60 s), as is the wait for it when it
// is busy.
const requestTimeout = 2 * time.Minute

// Applier writes objects under one set of marks. It is safe for concurrent use; who writes the same object twice at
// once has to serialise that.
type Applier struct {
	Marks
	client metadata.Interface
	full   dynamic.Interface
	slots  chan struct{}
}

// NewApplier returns an Applier that writes by client, and reads whole objects, where it has to, by full, with at most so
// many requests under way at once: more only queue up in the API server.
func NewApplier(marks Marks, client metadata.Interface, full dynamic.Interface, parallel int) *Applier {
	return &Applier{Marks: marks, client: client, full: full, slots: make(chan struct{}, parallel)}
}

// As returns an Applier that asks by other clients, as on somebody else's behalf. The bound is one for both.
func (a *Applier) As(client metadata.Interface, full dynamic.Interface) *Applier {
	other := *a
	other.client, other.full = client, full
	return &other
}

// Preview is what a dry-run says would become of an object.
type Preview struct {
	// Create says that the object does not exist; otherwise UID and Version are its uid and resourceVersion.
	Create  bool
	UID     types.UID
	Version string
	// Leave says that the object is there and must not be touched: its mode, or the live object's own, says so.
	Leave bool
}

// DryRun asks the API server whether it would take the object. It changes nothing of the object but, where else no dry-run
// could succeed, the version in which its managedFields name fields: see migrate.
func (a *Applier) DryRun(ctx context.Context, o Object) (Preview, error) {
	meta, err := a.send(ctx, o, metav1.DryRunAll)
	if err != nil {
		return Preview{}, o.explain("dry-run", err)
	}
	preview := Preview{Create: meta.ResourceVersion == ""}
	if !preview.Create {
		preview.UID, preview.Version = meta.UID, meta.ResourceVersion
	}
	// A dry-run's answer is the live object with our fields on top, so it has the annotations that people set there, and
	// ours.
	mode := a.ModeOf(meta.Labels, meta.Annotations)
	preview.Leave = !preview.Create && (mode.Untouched() || mode.SSA == manifest.SSAIfNotPresent)
	return preview, nil
}

// Apply makes the cluster's object what o says and returns its metadata as it is then. When it is so already, nothing
// is written and the resourceVersion stays. Metadata that comes with an error is that of an object which was written,
// and from which the fields of others were not taken over. Live is the object's metadata if the caller has it, else nil:
// with it, fields of a manager that Flux takes over go in two requests instead of three.
func (a *Applier) Apply(ctx context.Context, o Object, live *metav1.PartialObjectMetadata) (*metav1.PartialObjectMetadata, error) {
	if live != nil && o.Mode.SSA != manifest.SSAMerge && a.Disowned(live) {
		if err := a.takeOver(ctx, o, live); err != nil && !isInvalid(err) {
			return nil, err
		}
	}
	const attempts = 4 // someone with kubectl may be faster; what is left then is seen by the watch
	var refused error
	for attempt := 1; ; attempt++ {
		meta, err := a.send(ctx, o)
		switch {
		case err != nil:
			return nil, o.explain("apply", err)
		case !a.Disowned(meta):
			return meta, nil
		case attempt == attempts:
			return meta, refused
		}
		if refused = a.takeOver(ctx, o, meta); refused != nil && !isInvalid(refused) {
			return meta, refused
		}
	}
}

// takeOver makes ours what Flux makes its own. That somebody wrote in between is no error: the next answer shows it.
// Where that somebody removed what the patch removes too, the error wraps fleet.ErrInvalid.
func (a *Applier) takeOver(ctx context.Context, o Object, live *metav1.PartialObjectMetadata) error {
	patch, err := a.takeover(live)
	if err != nil {
		return fmt.Errorf("%s: take over fields: %w", o.Ref, err)
	}
	_, err = a.patch(ctx, o, types.JSONPatchType, patch)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return o.explain("take over fields", err)
}

// Get returns the metadata of an object; the error wraps fleet.ErrNotFound when the object does not exist.
func (a *Applier) Get(ctx context.Context, ref fleet.ObjectRef, mapping Mapping) (*metav1.PartialObjectMetadata, error) {
	ctx, release, err := a.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	ref = mapping.Place(ref)
	meta, err := a.client.Resource(mapping.Resource).Namespace(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	return meta, Explain(ref, "get", err)
}

// Delete asks for the deletion of exactly that object in exactly that state; what depends on it goes in the
// background. The error wraps fleet.ErrNotFound when it is gone already and fleet.ErrConflict when it is another one.
func (a *Applier) Delete(ctx context.Context, ref fleet.ObjectRef, mapping Mapping, live *metav1.PartialObjectMetadata) error {
	ctx, release, err := a.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	ref = mapping.Place(ref)
	background := metav1.DeletePropagationBackground
	err = a.client.Resource(mapping.Resource).Namespace(ref.Namespace).Delete(ctx, ref.Name, metav1.DeleteOptions{
		PropagationPolicy: &background,
		Preconditions:     &metav1.Preconditions{UID: &live.UID, ResourceVersion: &live.ResourceVersion},
	})
	return Explain(ref, "delete", err)
}

func (a *Applier) patch(ctx context.Context, o Object, kind types.PatchType, body []byte, dryRun ...string) (*metav1.PartialObjectMetadata, error) {
	ctx, release, err := a.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	options := metav1.PatchOptions{FieldManager: a.Manager, DryRun: dryRun}
	if kind == types.ApplyPatchType {
		force := true
		options.Force = &force
	}
	resource := a.client.Resource(o.Mapping.Resource).Namespace(o.Ref.Namespace)
	again := kind == types.ApplyPatchType && len(o.ignored) == 0 && o.at == ""
	return persist(ctx, again, func() (*metav1.PartialObjectMetadata, error) {
		return resource.Patch(ctx, o.Ref.Name, kind, body, options)
	})
}

// persist makes a request again as long as its answer is one that passes, as a conflict does of an apply that takes fields
// from anybody and whatever the version: it is a write at the same time, or a quota's.
func persist[T any](ctx context.Context, conflictPasses bool, request func() (*T, error)) (*T, error) {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 4*time.Second) {
		answer, err := request()
		// The client itself waits out a 429 that says for how long. This is for those that do not.
		again := apierrors.IsTooManyRequests(err) && wait < 4*time.Second ||
			apierrors.IsConflict(err) && conflictPasses && wait < 2*time.Second
		if !again {
			return answer, err
		}
		if cause := run.Sleep(ctx, wait); cause != nil {
			return nil, errors.Join(err, cause)
		}
	}
}

// slot waits until one more request may be under way, and bounds its time.
func (a *Applier) slot(ctx context.Context) (bounded context.Context, release func(), err error) {
	select {
	case a.slots <- struct{}{}:
		bounded, cancel := context.WithTimeout(ctx, requestTimeout)
		return bounded, func() { cancel(); <-a.slots }, nil
	case <-ctx.Done():
		return ctx, nil, context.Cause(ctx)
	}
}

// TTL reports whether content is that of a Job that removes itself when it has finished. That it is gone is then not
// drift: as with Flux, it runs again with the next full pass.
func TTL(ref fleet.ObjectRef, content []byte) bool {
	if ref.Group != "batch" || ref.Kind != "Job" {
		return false
	}
	var job struct {
		Spec struct {
			TTL *int64 `json:"ttlSecondsAfterFinished"`
		} `json:"spec"`
	}
	return json.Unmarshal(content, &job) == nil && job.Spec.TTL != nil
}
