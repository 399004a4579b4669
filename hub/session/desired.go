package session

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

const (
	// maxPart bounds the Assignments and keys in one message, in bytes: it has 1 MiB with what frames them.
	maxPart = 1<<20 - 4<<10
	// overhead is the most that an Assignment, or a key, takes on the wire beside itself.
	overhead = 16
)

// send sends a state: as a delta when the spoke is known to hold the one sent before, in full otherwise.
func (s *session) send(desired fleet.Desired, id fleet.StateID) error {
	digests := desired.Digests()
	parts := cut(desired, changedKeys(s.digests, digests), goneKeys(s.digests, digests))
	cluster, err := s.clusterUUID()
	if err != nil {
		return err
	}
	now := time.Now()
	signature := &spokev1.Signature{
		KeyId: s.server.StateKey.ID, SignedAt: timestamppb.New(now),
		Value: identity.SignState(s.server.StateKey, Protocol, cluster, id, now),
	}
	form := "full"
	for i, part := range parts {
		part.Part, part.Parts = uint32(i), uint32(len(parts))
		part.Result = stateMessage(id)
		if s.digests != nil {
			part.Base, form = stateMessage(s.sent), "delta"
		}
		if i == len(parts)-1 {
			part.Signature = signature
		}
		if err := s.stream.Send(&spokev1.ConnectResponse{Message: &spokev1.ConnectResponse_Desired{Desired: part}}); err != nil {
			return err
		}
	}
	s.server.metrics.states.WithLabelValues(form).Inc()
	s.log.Debug("state sent", "state", id.String(), "form", form)
	s.sent, s.digests = id, digests
	return nil
}

// changedKeys are the keys that are new or whose Assignment changed, sorted.
func changedKeys(old, now map[string]fleet.Digest) []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if before, had := old[key]; !had || before != now[key] {
			keys = append(keys, key)
		}
	}
	return keys
}

// goneKeys are the keys that left the set, sorted.
func goneKeys(old, now map[string]fleet.Digest) []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(old)) {
		if _, has := now[key]; !has {
			keys = append(keys, key)
		}
	}
	return keys
}

// cut puts the Assignments of the keys, and the keys that are gone, into parts of bounded size; there is at least one
// part.
func cut(desired fleet.Desired, keys, gone []string) []*spokev1.Desired {
	parts, size := []*spokev1.Desired{{}}, 0
	with := func(bytes int) *spokev1.Desired {
		if size > 0 && size+bytes+overhead > maxPart {
			parts, size = append(parts, &spokev1.Desired{}), 0
		}
		size += bytes + overhead
		return parts[len(parts)-1]
	}
	for _, key := range gone {
		part := with(len(key))
		part.Gone = append(part.Gone, key)
	}
	for _, key := range keys {
		payload := desired[key]
		part := with(len(key) + len(payload))
		part.Items = append(part.Items, &spokev1.Item{Key: key, Assignment: payload})
	}
	return parts
}
