package session

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// maxText bounds a message on the wire; more is cut.
const maxText = 4 << 10

func stateToWire(id fleet.StateID) *spokev1.StateID {
	if id.IsZero() {
		return nil
	}
	return &spokev1.StateID{Epoch: id.Epoch, Version: id.Version, Digest: id.Digest.Bytes()}
}

// stateFromWire reads a state that must be whole.
func stateFromWire(id *spokev1.StateID) (fleet.StateID, error) {
	digest, err := fleet.DigestFromBytes(id.GetDigest())
	if err != nil {
		return fleet.StateID{}, fmt.Errorf("state: %w", err)
	}
	if id.GetEpoch() == 0 || digest.IsZero() {
		return fleet.StateID{}, fmt.Errorf("state: %w: no epoch or no digest", fleet.ErrInvalid)
	}
	return fleet.StateID{Epoch: id.GetEpoch(), Version: id.GetVersion(), Digest: digest}, nil
}

func keysFromWire(keys []*spokev1.SigningKey) []identity.StatePublicKey {
	result := make([]identity.StatePublicKey, len(keys))
	for i, key := range keys {
		// The id is worked out anew: a key is what its bytes are, not what it is called.
		result[i] = identity.NewStatePublicKey(key.GetPublicKey())
	}
	return result
}

func reportToWire(r fleet.Report) *spokev1.AssignmentReport {
	wire := &spokev1.AssignmentReport{
		Key:                r.App.String(),
		Epoch:              r.Epoch,
		Generation:         r.Generation,
		Release:            r.Release.Bytes(),
		AppliedRelease:     r.Applied.Bytes(),
		Stage:              stages[r.Stage],
		Converged:          r.Converged,
		Available:          r.Available,
		Terminal:           r.Terminal,
		Waiting:            waits[r.Waiting],
		Ready:              conditionToWire(r.Ready),
		Healthy:            conditionToWire(r.Healthy),
		Objects:            uint32(r.Objects),
		ObjectsNotReady:    uint32(r.ObjectsNotReady),
		HandledReconcileAt: clean(r.HandledReconcileAt),
		ObservedAt:         timeToWire(r.ObservedAt),
		DriftCorrections:   r.DriftCorrections,
		Detail:             detailToWire(r.Detail),
	}
	for _, object := range r.NotReady[:min(len(r.NotReady), fleet.MaxNotReady)] {
		wire.NotReady = append(wire.NotReady, &spokev1.ObjectStatus{
			Object: objectToWire(object.Object), Status: clean(object.Status), Message: clean(object.Message),
		})
	}
	if held := r.HeldPrune; held != nil {
		wire.HeldPrune = &spokev1.HeldPrune{Digest: held.Digest.Bytes(), Count: uint32(held.Count), Reason: clean(held.Reason)}
	}
	return wire
}

// detailToWire shortens what is too long, and leaves it out where that does not help: a report without it is better than none.
func detailToWire(detail []byte) []byte {
	if len(detail) <= fleet.MaxDetail {
		return detail
	}
	var status fleet.HelmStatus
	if json.Unmarshal(detail, &status) != nil {
		return nil
	}
	status.Bound(fleet.MaxDetail)
	if detail, err := json.Marshal(status); err == nil && len(detail) <= fleet.MaxDetail {
		return detail
	}
	return nil
}

var stages = map[fleet.Stage]spokev1.Stage{
	fleet.StageReceived:  spokev1.Stage_STAGE_RECEIVED,
	fleet.StageApplying:  spokev1.Stage_STAGE_APPLYING,
	fleet.StageVerifying: spokev1.Stage_STAGE_VERIFYING,
	fleet.StageSettled:   spokev1.Stage_STAGE_SETTLED,
	fleet.StageFailed:    spokev1.Stage_STAGE_FAILED,
	fleet.StageSuspended: spokev1.Stage_STAGE_SUSPENDED,
	fleet.StageRemoving:  spokev1.Stage_STAGE_REMOVING,
	fleet.StageRemoved:   spokev1.Stage_STAGE_REMOVED,
}

var waits = map[fleet.Waiting]spokev1.Waiting{
	"":                      spokev1.Waiting_WAITING_NONE,
	fleet.WaitingNone:       spokev1.Waiting_WAITING_NONE,
	fleet.WaitingDependency: spokev1.Waiting_WAITING_DEPENDENCY,
	fleet.WaitingPruneHeld:  spokev1.Waiting_WAITING_PRUNE_HELD,
	fleet.WaitingHold:       spokev1.Waiting_WAITING_HOLD,
}

func conditionToWire(c fleet.Condition) *spokev1.Condition {
	status := spokev1.Status_STATUS_UNKNOWN
	switch c.Status {
	case fleet.True:
		status = spokev1.Status_STATUS_TRUE
	case fleet.False:
		status = spokev1.Status_STATUS_FALSE
	}
	return &spokev1.Condition{Status: status, Reason: clean(c.Reason), Message: clean(c.Message)}
}

func objectToWire(ref fleet.ObjectRef) *spokev1.ObjectReference {
	if ref == (fleet.ObjectRef{}) {
		return nil
	}
	return &spokev1.ObjectReference{Group: ref.Group, Version: ref.Version, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}
}

func eventToWire(e fleet.Event) *spokev1.Event {
	wire := &spokev1.Event{
		Number: e.Number, Object: objectToWire(e.Object), Warning: e.Warning,
		Reason: clean(e.Reason), Message: clean(e.Message), At: timeToWire(e.At),
	}
	if !e.App.IsZero() {
		wire.Key = e.App.String()
	}
	return wire
}

func factsToWire(f fleet.ClusterFacts) *spokev1.Facts {
	return &spokev1.Facts{SpokeVersion: f.SpokeVersion, KubernetesVersion: f.KubernetesVersion, KubeSystemUid: f.KubeSystemUID}
}

func timeToWire(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// clean makes text, which may come from any API server or webhook, fit to be sent: short enough and valid UTF-8.
func clean(text string) string {
	if len(text) > maxText {
		cut := maxText
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
