package release

import (
	"context"
	"errors"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// Reasons of a Source that is not ready, as Flux has them.
const (
	reasonAuthentication = "AuthenticationFailed"
	reasonVerification   = "VerificationError"
	reasonStorage        = "StorageOperationFailed"
	reasonInvalid        = "InvalidSpec"
	reasonProvider       = "InvalidProviderConfiguration"
)

// operationFailed are Flux's reasons for what has none of its own, by kind of Source.
var operationFailed = map[string]string{
	resource.GitRepository.Name:  "GitOperationFailed",
	resource.OCIRepository.Name:  "OCIArtifactPullFailed",
	resource.Bucket.Name:         "BucketOperationFailed",
	resource.HelmRepository.Name: "IndexationFailed",
	resource.HelmChart.Name:      "ChartPullError",
}

// contentFailed are Flux's reasons for what was fetched and cannot be used.
var contentFailed = map[string]string{
	resource.OCIRepository.Name: "OCIArtifactLayerOperationFailed",
	resource.HelmChart.Name:     "ChartPackageError",
}

// notFetchedWords is what the log says of a Source that its Secret or its upstream stands in the way of.
const notFetchedWords = "source not fetched"

// failedLook says what went wrong, without a word of the hub's own database and disk.
func failedLook(kind string, err error) fleet.Looked {
	failure := source.KindOf(err)
	look := fleet.Looked{Reason: operationFailed[kind], Message: err.Error(), Failure: string(failure)}
	var worded *source.Error
	switch {
	case failure == source.KindStore && !errors.Is(err, fleet.ErrNotFound):
		look.Reason, look.Message = reasonStorage, "the hub could not keep what it fetched; it is tried again, and the hub's log says more"
	case errors.As(err, &worded) && worded.Reason != "":
		look.Reason = worded.Reason
	case failure == source.KindSignature:
		look.Reason = reasonVerification
	case errors.Is(err, fleet.ErrDenied):
		look.Reason = reasonAuthentication
	case (failure == source.KindContent || failure == source.KindLimit) && contentFailed[kind] != "":
		look.Reason = contentFailed[kind]
	}
	look.Terminal = failure == source.KindInvalid
	return look
}

// tell logs and records what changed for the Sources by a look that was saved.
func (l *Loop) tell(ctx context.Context, sources []*declaredSource, look fleet.Looked) {
	var events []fleet.FleetEvent
	for _, s := range sources {
		if look.Reason == s.state.Reason && look.Message == s.state.Message && (look.Reason != "" || look.Revision == s.state.Revision && look.Tree == s.state.Tree) {
			continue
		}
		again := look.Revision == s.state.Revision && look.Tree == s.state.Tree
		switch {
		case look.Reason != "":
			l.Log.Warn(notFetchedWords, "source", s.name(), "reason", look.Reason, "err", look.Message)
		case again:
			l.Log.Info("source fetched again", "source", s.name(), "revision", look.Revision)
		default:
			l.Log.Info("source fetched", "source", s.name(), "revision", look.Revision)
		}
		event := eventOf(s.object.Kind, look, again)
		m := s.object.Metadata
		event.Kind, event.Namespace, event.Name = s.object.Kind, m.Namespace, m.Name
		events = append(events, event)
	}
	if err := l.Store.AddEvents(ctx, events); err != nil {
		l.Log.Error("events not stored", "source", sources[0].name(), "events", len(events), "err", err)
	}
}

// eventOf is the event of a look. Of a chart Flux says the same whether it was there before or not.
func eventOf(kind string, look fleet.Looked, again bool) fleet.FleetEvent {
	switch {
	case look.Reason != "":
		return fleet.FleetEvent{Reason: look.Reason, Message: look.Message, Warning: true}
	case kind == resource.HelmChart.Name:
		reason, message := look.Detail.Summary(look.Revision)
		return fleet.FleetEvent{Reason: reason, Message: message}
	case again:
		return fleet.FleetEvent{Reason: "Succeeded", Message: "fetched again: still revision " + string(look.Revision)}
	}
	return fleet.FleetEvent{Reason: "NewArtifact", Message: "fetched revision " + string(look.Revision)}
}
