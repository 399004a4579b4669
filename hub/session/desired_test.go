package session_test

import (
	"testing"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
)

func TestStateComesInFullThenAsDeltasAndIsSigned(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	b.release("one")
	session := s.connect(nil)
	full := session.desired()
	if full.GetBase() != nil || len(full.GetItems()) != 1 {
		t.Fatalf("first state %v", full)
	}
	b.release("two")
	delta := session.desired()
	if delta.GetBase().GetVersion() != full.GetResult().GetVersion() || len(delta.GetItems()) != 1 {
		t.Errorf("second state %v", delta)
	}
	digest, err := fleet.DigestFromBytes(delta.GetResult().GetDigest())
	if err != nil {
		t.Fatal(err)
	}
	if want := fleet.DesiredDigest(map[string]fleet.Digest{appKey.String(): fleet.DigestOf(delta.GetItems()[0].GetAssignment())}); digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
	id := fleet.StateID{Epoch: delta.GetResult().GetEpoch(), Version: delta.GetResult().GetVersion(), Digest: digest}
	signature := delta.GetSignature()
	if err := identity.VerifyState([]identity.StatePublicKey{b.root.StateKey().StatePublicKey}, signature.GetKeyId(), session.welcome.GetProtocol(),
		uuid.MustParse(s.cluster), id, signature.GetSignedAt().AsTime(), signature.GetValue()); err != nil {
		t.Error(err)
	}
}
