package store

import (
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestClaimsOfARemoteAreRenewedByWhoHasThem(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	s.exec(t, `INSERT INTO upstream (id, remote, claimed_by, claimed_until) VALUES
		('mine', sha256('remote'), '`+s.replica+`', now() + interval '1 second'),
		('another''s', sha256('remote'), gen_random_uuid(), now() + interval '1 second'),
		('elsewhere', sha256('other'), '`+s.replica+`', now() + interval '1 second')`)
	s.exec(t, `INSERT INTO upstream (id, remote) VALUES ('nobody''s', sha256('remote'))`)
	if err := s.KeepClaims(t.Context(), []fleet.Digest{fleet.DigestOf([]byte("remote"))}); err != nil {
		t.Fatal(err)
	}
	const renewed = `upstream WHERE claimed_until > now() + interval '9 minutes'`
	if all, mine := s.count(t, renewed), s.count(t, renewed+` AND id = 'mine'`); all != 1 || mine != 1 {
		t.Errorf("%d claims renewed, %d of them mine; want that alone", all, mine)
	}
}
