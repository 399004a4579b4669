package session

import (
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

var stages = map[spokev1.Stage]fleet.Stage{
	spokev1.Stage_STAGE_RECEIVED:  fleet.StageReceived,
	spokev1.Stage_STAGE_APPLYING:  fleet.StageApplying,
	spokev1.Stage_STAGE_VERIFYING: fleet.StageVerifying,
	spokev1.Stage_STAGE_SETTLED:   fleet.StageSettled,
	spokev1.Stage_STAGE_FAILED:    fleet.StageFailed,
	spokev1.Stage_STAGE_SUSPENDED: fleet.StageSuspended,
	spokev1.Stage_STAGE_REMOVING:  fleet.StageRemoving,
	spokev1.Stage_STAGE_REMOVED:   fleet.StageRemoved,
}

var waitings = map[spokev1.Waiting]fleet.Waiting{
	spokev1.Waiting_WAITING_UNSPECIFIED: fleet.WaitingNone,
	spokev1.Waiting_WAITING_NONE:        fleet.WaitingNone,
	spokev1.Waiting_WAITING_DEPENDENCY:  fleet.WaitingDependency,
	spokev1.Waiting_WAITING_PRUNE_HELD:  fleet.WaitingPruneHeld,
	spokev1.Waiting_WAITING_HOLD:        fleet.WaitingHold,
}

var statuses = map[spokev1.Status]fleet.ConditionStatus{
	spokev1.Status_STATUS_UNSPECIFIED: fleet.Unknown,
	spokev1.Status_STATUS_TRUE:        fleet.True,
	spokev1.Status_STATUS_FALSE:       fleet.False,
	spokev1.Status_STATUS_UNKNOWN:     fleet.Unknown,
}

func conditionOf(m *spokev1.Condition) fleet.Condition {
	status, known := statuses[m.GetStatus()]
	if !known {
		status = fleet.Unknown
	}
	return fleet.Condition{Status: status, Reason: clip(m.GetReason(), 128), Message: clip(m.GetMessage(), maxText)}
}

func refOf(m *spokev1.ObjectReference) fleet.ObjectRef {
	return fleet.ObjectRef{Group: clip(m.GetGroup(), 253), Version: clip(m.GetVersion(), 63), Kind: clip(m.GetKind(), 253),
		Namespace: clip(m.GetNamespace(), 253), Name: clip(m.GetName(), 253)}
}

func factsOf(m *spokev1.Facts) fleet.ClusterFacts {
	return fleet.ClusterFacts{SpokeVersion: clip(m.GetSpokeVersion(), 64), KubernetesVersion: clip(m.GetKubernetesVersion(), 64),
		KubeSystemUID: clip(m.GetKubeSystemUid(), 64)}
}

func stateID(m *spokev1.StateID) (id fleet.StateID, err error) {
	id = fleet.StateID{Epoch: m.GetEpoch(), Version: m.GetVersion()}
	if id.Epoch > maxCount || id.Version > maxCount {
		return id, fmt.Errorf("state %s: %w: no hub counts that far", id, fleet.ErrInvalid)
	}
	id.Digest, err = fleet.DigestFromBytes(m.GetDigest())
	return id, err
}

func stateMessage(id fleet.StateID) *spokev1.StateID {
	return &spokev1.StateID{Epoch: id.Epoch, Version: id.Version, Digest: id.Digest.Bytes()}
}

// maxCount bounds the numbers that spokes give, so that the database can hold them and count on from them.
const maxCount = 1 << 62

// count is a number of objects, no more than the database can hold.
func count(n uint32) int { return int(min(n, math.MaxInt32)) }

// moment is a time that a spoke gave, as far as a clock can show it: from 1970 to now. None, and one that is no time,
// is now.
func moment(m *timestamppb.Timestamp) time.Time {
	now := time.Now()
	if !m.IsValid() || m.AsTime().After(now) {
		return now
	}
	return time.Unix(max(m.GetSeconds(), 0), int64(m.GetNanos()))
}

// maxKey bounds a key: kinds, namespaces and names have at most 63 to 253 bytes.
const maxKey = 1024

func keyOf(text string) (fleet.Key, error) {
	if clip(text, maxKey) != text {
		return fleet.Key{}, fmt.Errorf("%w: %q is no key", fleet.ErrInvalid, clip(text, maxKey))
	}
	return fleet.ParseKey(text)
}

// maxText bounds a message for people, in bytes.
const maxText = 4096

// clip bounds text that a spoke gave and drops what no database or terminal should see.
func clip(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}
