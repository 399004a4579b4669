package apply

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Explain names the object in an API server's answer and says which of fleet's sentinels it is.
func Explain(ref fleet.ObjectRef, operation string, err error) error {
	return explain(ref, operation, err, false)
}

func (o Object) explain(operation string, err error) error {
	return explain(o.Ref, operation, err, o.Sealed)
}

func explain(ref fleet.ObjectRef, operation string, err error, sealed bool) error {
	if err == nil {
		return nil
	}
	text := error(err)
	if sealed || ref.Group == "" && ref.Kind == "Secret" {
		text = withoutValues(err)
	}
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		text = fmt.Errorf("%w; its namespace has to be gone first: the conditions of Namespace/%s say what that waits for", text, ref.Namespace)
	}
	if sentinel := sentinelOf(err); sentinel != nil {
		return markImmutable(err, fmt.Errorf("%s: %s: %w: %w", ref, operation, sentinel, text))
	}
	return markImmutable(err, fmt.Errorf("%s: %s: %w", ref, operation, text))
}

func sentinelOf(err error) error {
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err), malformed(err):
		return fleet.ErrInvalid
	case apierrors.IsNotFound(err) && !unserved(err):
		return fleet.ErrNotFound
	case apierrors.IsConflict(err):
		return fleet.ErrConflict
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fleet.ErrDenied
	}
	return nil
}

// unserved reports whether a 404 is about the kind, not about the object. That is never taken for the object's absence.
func unserved(err error) bool {
	return apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// malformed reports whether an object does not fit its kind's schema, which the API server answers with a plain 500.
func malformed(err error) bool {
	return strings.Contains(err.Error(), "failed to create typed patch object") ||
		strings.Contains(err.Error(), "field not declared in schema")
}

// denial is what the API server says of who may not do what: names alone.
var denial = regexp.MustCompile(`User "[^"\n]*" cannot [a-z:-]+ resource "[^"\n]*" in API group "[^"\n]*"( in the namespace "[^"\n]*"| at the cluster scope)?`)

// withoutValues keeps of an answer about an object with secrets what cannot hold a part of it: the reason and the fields,
// without keys of maps, which values of Secrets may be too.
func withoutValues(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return errors.New("the request did not get through")
	}
	s := status.Status()
	var fields []string
	if s.Details != nil {
		for _, cause := range s.Details.Causes {
			field, _, _ := strings.Cut(cause.Field, "[")
			field, _, _ = strings.Cut(field, "(")
			fields = append(fields, field)
		}
	}
	text := "the API server answered " + string(s.Reason)
	if s.Reason == metav1.StatusReasonUnknown {
		text = fmt.Sprintf("the API server answered %d", s.Code)
	}
	if len(fields) > 0 {
		text += " (" + strings.Join(fields, ", ") + ")"
	}
	if who := denial.FindString(s.Message); who != "" {
		text += ": " + who
	}
	return errors.New(text)
}

func isNotFound(err error) bool { return errors.Is(err, fleet.ErrNotFound) }

func isInvalid(err error) bool { return errors.Is(err, fleet.ErrInvalid) }
