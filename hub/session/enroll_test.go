package session_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

func TestTokenIsGoodForOneKeyAsOftenAsItAsks(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	token := b.token("prod-1", false)
	_, request := newKey(t)
	var ids []string
	for range 2 {
		resp, err := b.dial(nil).Enroll(t.Context(), &spokev1.EnrollRequest{Token: token, CertificateRequest: request})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, resp.GetClusterId())
	}
	if ids[0] != ids[1] {
		t.Errorf("two identities: %v", ids)
	}
	_, other := newKey(t)
	_, err := b.dial(nil).Enroll(t.Context(), &spokev1.EnrollRequest{Token: token, CertificateRequest: other})
	wantCode(t, err, codes.PermissionDenied)
}
