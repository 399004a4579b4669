package apply

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// immutable is an answer upon which Flux deletes an object and makes it anew, where it may (ssa, IsImmutableError).
type immutable struct {
	error
	causes []metav1.StatusCause
}

func (e immutable) Unwrap() error { return e.error }

// saysImmutable is how CEL rules and admission webhooks tell.
var saysImmutable = regexp.MustCompile(`is\simmutable|immutable\sfield`)

// markImmutable marks explained, which stands for the API server's answer err, if it is such an answer.
func markImmutable(err, explained error) error {
	if !apierrors.IsConflict(err) && !apierrors.IsInvalid(err) && !saysImmutable.MatchString(err.Error()) {
		return explained
	}
	var status apierrors.APIStatus
	var causes []metav1.StatusCause
	if errors.As(err, &status) && status.Status().Details != nil {
		causes = status.Status().Details.Causes
	}
	return immutable{explained, causes}
}

// Immutable reports whether an error is an answer upon which Flux deletes an object and makes it anew, where it may.
// It takes in more than immutable fields: see Probe.
func Immutable(err error) bool { return errors.As(err, &immutable{}) }

// Probe asks, by a dry-run under a name that nothing has, whether what o says would be taken of a new object, after
// that refusal of an existing one. An error says that to delete the existing one would be in vain: a new one may not be
// created, or what was refused would be again.
func (a *Applier) Probe(ctx context.Context, o Object, refusal error) error {
	probe, err := o.renamed()
	if err != nil {
		return err
	}
	_, err = a.patch(ctx, probe, types.ApplyPatchType, probe.data, metav1.DryRunAll)
	if err == nil {
		return nil
	}
	if apierrors.IsForbidden(err) && denial.MatchString(err.Error()) {
		return o.explain("create", err)
	}
	var was, is immutable
	if !errors.As(refusal, &was) || !errors.As(markImmutable(err, err), &is) {
		return nil
	}
	for _, cause := range is.causes {
		if slices.Contains(was.causes, cause) {
			return errors.New("a new object would be refused too")
		}
	}
	return nil
}

// renamed is o under another name.
func (o Object) renamed() (Object, error) {
	var object map[string]json.RawMessage
	var metadata map[string]any
	err := json.Unmarshal(o.data, &object)
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(object["metadata"]))
		decoder.UseNumber()
		err = decoder.Decode(&metadata)
	}
	if err == nil {
		o.Ref.Name = o.Ref.Name[:min(len(o.Ref.Name), 30)] + "-" + strings.ToLower(rand.Text()[:8])
		metadata["name"] = o.Ref.Name
		object["metadata"], err = marshal(metadata)
	}
	if err == nil {
		o.data, err = marshal(object)
	}
	if err != nil {
		return Object{}, fmt.Errorf("%s: content: %w: %w", o.Ref, fleet.ErrInvalid, err)
	}
	return o, nil
}

// AwaitGone waits until the object that live is of is gone, as long as patience counts from now, or from the beginning
// of its end if that was earlier.
func (a *Applier) AwaitGone(ctx context.Context, ref fleet.ObjectRef, mapping Mapping, live *metav1.PartialObjectMetadata, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	if began := live.DeletionTimestamp; began != nil && began.Add(patience).Before(deadline) {
		deadline = began.Add(patience)
	}
	var stuck error
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		now, err := a.Get(ctx, ref, mapping)
		switch {
		case isNotFound(err):
			return nil
		case err != nil && stuck != nil:
			return fmt.Errorf("%w: %w", stuck, err)
		case err != nil:
			return err
		case now.UID != live.UID:
			return nil
		}
		stuck = fmt.Errorf("%s: it is to be made anew and is still being deleted", ref)
		if len(now.Finalizers) > 0 {
			stuck = fmt.Errorf("%w: finalizers %s have to be removed by those who set them", stuck, strings.Join(now.Finalizers, ", "))
		}
		if time.Now().After(deadline) {
			return stuck
		}
		if cause := run.Sleep(ctx, wait); cause != nil {
			return fmt.Errorf("%w: %w", stuck, cause)
		}
	}
}
