package session

import (
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
	id.Digest, err = fleet.DigestFromBytes(m.GetDigest())
	return id, err
}

func stateMessage(id fleet.StateID) *spokev1.StateID {
	return &spokev1.StateID{Epoch: id.Epoch, Version: id.Version, Digest: id.Digest.Bytes()}
}
