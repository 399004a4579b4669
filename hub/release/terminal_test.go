package release_test

import (
	"fmt"
	"testing"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

// A spec that can never work is told from what a push, or the server's return, may mend.
func TestSpecThatCanNeverWorkIsTerminal(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"})
	for name, test := range map[string]struct {
		query, branch string
		terminal      bool
	}{
		"query":  {"?depth=1", "main", true},
		"name":   {"", "a..b", true},
		"absent": {"", "not-there", false},
	} {
		b.apply(fmt.Sprintf(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":%q,"namespace":"apps"},"spec":{"interval":"10m","url":%q,"ref":{"branch":%q}}}`,
			name, b.server.URL("app")+test.query, test.branch))
		lab.Eventually(t, time.Minute, "the failure of "+name+" is told", func() error {
			states, err := b.SourceStates(t.Context(), "GitRepository")
			if state := states["apps/"+name]; err == nil && (state.Reason == "" || state.Terminal != test.terminal) {
				err = fmt.Errorf("reason %q %q, terminal %t, want %t", state.Reason, state.Message, state.Terminal, test.terminal)
			}
			return err
		})
	}
}
