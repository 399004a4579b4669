package lab

import (
	"strings"
	"testing"
)

func TestOnlyAPackagedPostgresThatIsNewEnoughIsInstalled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ policy, refusal string }{
		{"postgresql:\n  Installed: (none)\n  Candidate: 15+248+deb12u1\n", ""},
		{"postgresql:\n  Installed: (none)\n  Candidate: 14+238\n", "Postgres 14"},
		{"postgresql:\n  Installed: (none)\n  Candidate: (none)\n", "no package"},
		{"", "no package"},
	} {
		err := judgeCandidate(c.policy)
		if (err == nil) != (c.refusal == "") || err != nil && !strings.Contains(err.Error(), c.refusal) {
			t.Errorf("%q: %v, want %q", c.policy, err, c.refusal)
		}
	}
}
