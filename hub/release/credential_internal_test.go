package release

import (
	"maps"
	"slices"
	"testing"
)

func TestCredentialOfADeletedSecretIsForgotten(t *testing.T) {
	t.Parallel()
	l := New(Config{})
	l.credentials["apps/given"], l.credentials["apps/deleted"] = readCredential{version: "1"}, readCredential{version: "1"}
	l.forgetCredentials(&view{secrets: map[string]string{"apps/given": "2"}})
	if left := slices.Collect(maps.Keys(l.credentials)); !slices.Equal(left, []string{"apps/given"}) {
		t.Errorf("kept are those of %v", left)
	}
}
