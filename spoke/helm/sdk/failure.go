package sdk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common/util"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// reasoned is an error with Flux's reason for it. Its text is ours: it has no value of a Secret.
type reasoned struct {
	reason string
	err    error
}

func (e *reasoned) Error() string { return e.err.Error() }
func (e *reasoned) Unwrap() error { return e.err }

// panicked is what a chart did to Helm. What the panic says is not shown.
type panicked struct{ value any }

func (e *panicked) Error() string {
	return "Helm panicked at this chart with these values; another version of the chart may do better"
}
func (e *panicked) Unwrap() error { return fleet.ErrInvalid }

// maxFailure bounds what is told of a failure.
const maxFailure = 4 << 10

// failing says why an action failed, without a value of a Secret.
func (a *action) failing(err error) *job.Failure {
	f := &job.Failure{Reason: a.request.Action.Failed()}
	var with *reasoned
	if errors.As(err, &with) {
		f.Reason = with.reason
	}
	f.Transient = isTransient(err)
	f.Invalid = !f.Transient && a.isInvalid(err)
	text := a.explain(err)
	if a.ctx.Err() != nil && !errors.Is(err, errCut) && !strings.Contains(text, errCut.Error()) {
		text = errCut.Error() + ": " + text
	}
	f.Message = strings.ToValidUTF8(a.subject()+strings.TrimSpace(text), "?")
	if a.prepared != nil {
		f.Message = a.prepared.values.secrets.mask(f.Message)
	}
	if len(f.Message) > maxFailure {
		f.Message = strings.ToValidUTF8(f.Message[:maxFailure], "") + "..."
	}
	return f
}

// subject says what failed of which release, where the spoke does not say it in Flux's words.
func (a *action) subject() string {
	switch a.request.Action {
	case job.Prepare, job.Observe, job.Render, job.Values:
		return fmt.Sprintf("%s of release %s/%s: ", a.request.Action, a.job.Namespace, a.job.Release)
	}
	return ""
}

// isTransient reports whether the API server, or the way to it, was in the way; or the time, which the spoke gave.
func isTransient(err error) bool {
	var network net.Error
	switch {
	case strings.Contains(err.Error(), untyped):
		return false
	case errors.Is(err, errCut), errors.Is(err, context.Canceled), errors.As(err, &network), utilnet.IsConnectionRefused(err), utilnet.IsConnectionReset(err):
		return true
	case apierrors.IsTooManyRequests(err), apierrors.IsInternalError(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsServiceUnavailable(err):
		return true
	}
	return false
}

// untyped is how the API server says, as an internal error, that an object has a field that its kind has not.
const untyped = "failed to create typed patch object"

// isInvalid reports whether the chart, the values or the spec have to change. What a template says that asks the cluster may
// be another thing tomorrow.
func (a *action) isInvalid(err error) bool {
	var schema util.JSONSchemaValidationError
	var rendered *postRenderError
	switch {
	case errors.Is(err, fleet.ErrInvalid), errors.As(err, &schema), errors.As(err, &rendered):
		return true
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), strings.Contains(err.Error(), untyped):
		return true
	}
	return ofChart.MatchString(err.Error()) && (a.prepared == nil || !a.prepared.asks && !a.lookedUp.Load())
}

// explain is the text of an error. Where a value of a Secret may be in it, it is put together of what is known to have
// none.
func (a *action) explain(err error) string {
	var ours *reasoned
	var open *waitError
	switch {
	case !a.sensitive(), errors.As(err, &ours):
		return inOrder(err.Error())
	case errors.As(err, &open) && a.unknown():
		return before(err, open) + open.states()
	case errors.As(err, &open):
		return before(err, open) + open.Error()
	}
	return a.without(err)
}

// sensitive reports whether a value of a Secret may be in what Helm and the API server say: it is among the values, a
// template has looked objects up, or one may be in a version that was stored before.
func (a *action) sensitive() bool {
	return a.unknown() || a.lookedUp.Load() || a.prepared != nil && a.prepared.values.secrets.any()
}

// unknown reports whether an action works with a version that is not known to be plain: which values are of Secrets is not
// known then, so that they cannot be masked.
func (a *action) unknown() bool {
	switch a.request.Action {
	case job.Rollback:
		return true // what is known is of the newest version, not of that one
	case job.Uninstall, job.Test:
		return !a.plain
	case job.Upgrade, job.Render:
		return a.upgradeOptions().PreserveValues && !a.plain
	}
	return false
}

// before is what Helm says in front of an error of ours: which hook it was.
func before(err, ours error) string {
	text, _, found := strings.Cut(err.Error(), ours.Error())
	if !found || !hook.MatchString(text) {
		return ""
	}
	return text
}

// without is what is known of an error that may show values.
func (a *action) without(err error) string {
	var parts []string
	add := func(part string) {
		if part != "" {
			parts = append(parts, part)
		}
	}
	text := err.Error()
	add(hook.FindString(text))
	var rendered *postRenderError
	if errors.As(err, &rendered) {
		add(rendered.field)
	}
	add(a.place(text))
	add(a.schema(text))
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		add(of(status.Status()))
	}
	for _, phrase := range harmless.FindAllString(text, maxNamed) {
		add(phrase)
	}
	said, words := a.ofTemplate(text)
	add(said)
	if words {
		return strings.Join(parts, ": ")
	}
	if errors.Is(err, fleet.ErrInvalid) && len(parts) == 0 || errors.Is(err, errCut) || isTransient(err) && len(parts) == 0 {
		add(text)
	}
	return cmp.Or(strings.Join(parts, ": "), "Helm refused it") + unshown
}

// unshown ends a text that is not Helm's own.
const unshown = " (its own words are not shown, because values of Secrets may be in them)"
