package release

import (
	"maps"
	"slices"
	"testing"
)

func TestContentOfADeletedSecretIsForgotten(t *testing.T) {
	t.Parallel()
	l := New(Config{})
	l.secrets["apps/given"], l.secrets["apps/deleted"] = readSecret{version: "1"}, readSecret{version: "1"}
	l.forgetSecrets(&view{secrets: map[string]string{"apps/given": "2"}})
	if left := slices.Collect(maps.Keys(l.secrets)); !slices.Equal(left, []string{"apps/given"}) {
		t.Errorf("kept are those of %v", left)
	}
}
