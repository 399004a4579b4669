package release_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

// What can never work as it is declared is told from what a push, another Secret or the server's return may mend.
func TestSourceThatCanNeverWorkIsTerminal(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"})
	b.apply(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"broken","namespace":"apps"},"stringData":{"ca.crt":"no certificate"}}`)
	for name, test := range map[string]struct {
		spec     string
		terminal bool
	}{
		"patterns":  {`"ref":{"branch":"main"},"ignore":"` + strings.Repeat(`a\n`, 10_001) + `"`, true},
		"authority": {`"ref":{"branch":"main"},"secretRef":{"name":"broken"}`, false},
		"absent":    {`"ref":{"branch":"not-there"}`, false},
		"secret":    {`"ref":{"branch":"main"},"secretRef":{"name":"not-there"}`, false},
	} {
		b.apply(fmt.Sprintf(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":%q,"namespace":"apps"},"spec":{"interval":"10m","url":%q,%s}}`,
			name, b.server.URL("app"), test.spec))
		lab.Eventually(t, time.Minute, "the failure of "+name+" is told", func() error {
			states, err := b.SourceStates(t.Context(), "GitRepository")
			if state := states["apps/"+name]; err == nil && (state.Reason == "" || state.Terminal != test.terminal) {
				err = fmt.Errorf("reason %q %q, terminal %t, want %t", state.Reason, state.Message, state.Terminal, test.terminal)
			}
			return err
		})
	}
}
