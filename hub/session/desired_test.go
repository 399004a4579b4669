package session_test

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// follow receives a state, in however many parts, checks what a spoke would check of it, and returns the parts. held
// becomes what the spoke then holds.
func (b *bundle) follow(s *spoke, session *stream, held map[string]fleet.Digest) []*spokev1.Desired {
	b.t.Helper()
	parts := []*spokev1.Desired{session.desired()}
	first := parts[0]
	if first.GetBase() == nil {
		clear(held)
	}
	for len(parts) < int(first.GetParts()) {
		parts = append(parts, session.desired())
	}
	for i, part := range parts {
		last := i == len(parts)-1
		if part.GetPart() != uint32(i) || part.GetParts() != first.GetParts() || !proto.Equal(part.GetResult(), first.GetResult()) || !proto.Equal(part.GetBase(), first.GetBase()) {
			b.t.Errorf("part %d of %d, %s on %s, is out of place", part.GetPart(), part.GetParts(), part.GetResult(), part.GetBase())
		}
		if (part.GetSignature() != nil) != last {
			b.t.Errorf("part %d of %d: signed is %t", i, len(parts), !last)
		}
		if size := proto.Size(part); size > 1<<20 {
			b.t.Errorf("part %d of %d has %d bytes", i, len(parts), size)
		}
		for _, key := range part.GetGone() {
			delete(held, key)
		}
		for _, item := range part.GetItems() {
			held[item.GetKey()] = fleet.DigestOf(item.GetAssignment())
		}
	}
	id := fleet.StateID{Epoch: first.GetResult().GetEpoch(), Version: first.GetResult().GetVersion(), Digest: fleet.DesiredDigest(held)}
	if !bytes.Equal(id.Digest.Bytes(), first.GetResult().GetDigest()) {
		b.t.Errorf("%d Assignments have the digest %s, not %x", len(held), id.Digest, first.GetResult().GetDigest())
	}
	signature := parts[len(parts)-1].GetSignature()
	if err := identity.VerifyState([]identity.StatePublicKey{b.root.StateKey().StatePublicKey}, signature.GetKeyId(), session.welcome.GetProtocol(),
		uuid.MustParse(s.cluster), id, signature.GetSignedAt().AsTime(), signature.GetValue()); err != nil {
		b.t.Error(err)
	}
	return parts
}

func TestStateComesInFullThenAsDeltasAndIsSigned(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	b.release("one")
	session, held := s.connect(nil), map[string]fleet.Digest{}
	full := b.follow(s, session, held)
	if len(full) != 1 || full[0].GetBase() != nil || len(full[0].GetItems()) != 1 {
		t.Fatalf("first state %v", full)
	}
	b.release("two")
	delta := b.follow(s, session, held)
	if len(delta) != 1 || !proto.Equal(delta[0].GetBase(), full[0].GetResult()) || len(delta[0].GetItems()) != 1 {
		t.Errorf("second state %v", delta)
	}
}

func TestLargeStateComesInPartsOfAMegabyteOfWhichTheLastIsSigned(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	const many = 3000
	b.sql(`INSERT INTO assignment (cluster, app, state, generation, pin, placement, payload)
		SELECT $1, 'hub/Kustomization/' || repeat('n', 200) || '/' || repeat('a', 200) || n, 'Active', n, n, '', convert_to(n || repeat('x', n % 1000), 'UTF8')
		FROM generate_series(1, $2) n`, s.cluster, many)
	session, held := s.connect(nil), map[string]fleet.Digest{}
	if parts := b.follow(s, session, held); len(parts) < 3 || len(held) != many {
		t.Errorf("%d parts with %d Assignments", len(parts), len(held))
	}
	before := maps.Clone(held)
	b.sql(`DELETE FROM assignment WHERE generation <> 1`)
	b.sql(`SELECT pg_notify('flotilla', $1)`, "cluster "+s.cluster)
	if parts := b.follow(s, session, held); len(parts) < 2 || len(held) != 1 {
		t.Errorf("%d parts leave %d Assignments", len(parts), len(held))
	}
	b.sql(`UPDATE assignment SET payload = '', generation = generation + 1`)
	b.sql(`SELECT pg_notify('flotilla', $1)`, "cluster "+s.cluster)
	if parts := b.follow(s, session, held); len(parts) != 1 || fmt.Sprint(held) == fmt.Sprint(before) {
		t.Errorf("one changed Assignment came in %d parts", len(parts))
	}
}
