package hook_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"flotilla.dev/flotilla/hub/hook"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

var gitRepository = resource.GitRepository

func TestACallMakesDueWhatTheReceiverSelects(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		resources []flux.ReceiverResource
		crossing  bool
		code      int
		due       string
		problem   string
	}{
		{"one", []flux.ReceiverResource{{Kind: "GitRepository", Name: "app"}}, false, 200, "GitRepository/apps/app", ""},
		{"several", []flux.ReceiverResource{{Kind: "GitRepository", Name: "app"}, {Kind: "Kustomization", Name: "app", APIVersion: flux.KustomizeAPIVersion}}, false, 200, "GitRepository/apps/app Kustomization/apps/app", ""},
		{"one twice", []flux.ReceiverResource{{Kind: "GitRepository", Name: "app"}, {Kind: "GitRepository", Name: "*", MatchLabels: map[string]string{}}}, false, 200, "GitRepository/apps/app GitRepository/apps/web", ""},
		{"labels", []flux.ReceiverResource{{Kind: "GitRepository", Name: "*", MatchLabels: map[string]string{"team": "web"}}}, false, 200, "GitRepository/apps/web", ""},
		{"labels that none has", []flux.ReceiverResource{{Kind: "GitRepository", Name: "*", MatchLabels: map[string]string{"team": "x"}}}, false, 200, "", ""},
		{"another namespace", []flux.ReceiverResource{{Kind: "GitRepository", Name: "app", Namespace: "other"}, {Kind: "GitRepository", Name: "app"}}, false, 500, "GitRepository/apps/app", "spec.resources[0]: other is in another namespace, and references across namespaces are blocked"},
		{"another namespace by labels", []flux.ReceiverResource{{Kind: "GitRepository", Name: "*", Namespace: "other", MatchLabels: map[string]string{}}}, false, 500, "", "references across namespaces are blocked"},
		{"its own namespace by name", []flux.ReceiverResource{{Kind: "GitRepository", Name: "app", Namespace: "apps"}}, false, 200, "GitRepository/apps/app", ""},
		{"another namespace, where that is allowed", []flux.ReceiverResource{{Kind: "GitRepository", Name: "app", Namespace: "other"}}, true, 200, "GitRepository/other/app", ""},
		{"what is not there", []flux.ReceiverResource{{Kind: "Bucket", Name: "app"}, {Kind: "GitRepository", Name: "web"}}, false, 500, "GitRepository/apps/web", "spec.resources[0]: Bucket/apps/app is not declared"},
		{"a filter of one", []flux.ReceiverResource{{Kind: "GitRepository", Name: "app", Filter: "false"}, {Kind: "GitRepository", Name: "web", Filter: "res.metadata.labels.team == 'web'"}}, false, 200, "GitRepository/apps/web", ""},
		{"a filter that fails", []flux.ReceiverResource{{Kind: "GitRepository", Name: "*", MatchLabels: map[string]string{}, Filter: "res.metadata.labels.team == 'web'"}}, false, 500, "GitRepository/apps/web", "spec.resources[0]: GitRepository/apps/app: a filter: no such key"},
		{"a filter that does not compile", []flux.ReceiverResource{{Kind: "GitRepository", Name: "app", Filter: "res."}, {Kind: "GitRepository", Name: "web"}}, false, 500, "GitRepository/apps/web", "spec.resources[0]: a filter does not compile as CEL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, func(c *hook.Config) { c.CrossNamespaceRefs = test.crossing })
			b.declare(resource.GitRepository, "apps/app", nil)
			b.declare(resource.GitRepository, "apps/web", map[string]string{"team": "web"})
			b.declare(resource.GitRepository, "other/app", nil)
			b.declare(resource.Kustomization, "apps/app", nil)
			path := b.receiver("r", flux.Receiver{Type: "generic", Resources: test.resources}, map[string]string{"token": token})
			b.want(test.code, path, "")
			if got := b.taken(); got != test.due {
				t.Errorf("made due is %q, want %q", got, test.due)
			}
			told := ""
			if len(b.events) > 0 {
				told = b.events[0].Kind + " " + b.events[0].Namespace + "/" + b.events[0].Name + " " + b.events[0].Reason + " " + b.events[0].Message
			}
			if test.problem == "" && told != "" || !strings.Contains(told, test.problem) || told != "" && !strings.HasPrefix(told, "Receiver apps/r WebhookFailed ") {
				t.Errorf("people are told %q, want %q", told, test.problem)
			}
		})
	}
}

func TestFiltersSeeTheObjectTheCallAndTheClaims(t *testing.T) {
	t.Parallel()
	const body = `{"ref":"refs/heads/main","commits":[{"added":["apps/app/x.yaml"]}],"number":12}`
	for _, test := range []struct {
		filter, body, content string
		code                  int
		due                   bool
	}{
		{"req.ref == 'refs/heads/main'", body, "application/json", 200, true},
		{"req.ref == 'refs/heads/dev'", body, "application/json", 200, false},
		{"req.commits.exists(c, c.added.exists(f, f.startsWith(res.metadata.namespace + '/' + res.metadata.name)))", body, "application/json", 200, true},
		{"req.number == 12", body, "application/json; charset=utf-8", 200, true},
		{"res.kind == 'GitRepository' && res.apiVersion == 'source.toolkit.fluxcd.io/v1' && res.metadata.labels.team == 'web'", body, "text/plain", 200, true},
		{"!has(res.spec) && !has(res.status)", body, "application/json", 200, true},
		{"size(req) == 0", body, "text/plain", 200, true},
		{"size(req) == 0", "null", "application/json", 200, true},
		{"has(req.ref)", "", "application/json", 400, false},
		{"has(req.ref)", "[1]", "application/json", 400, false},
		{"has(req.ref)", `{"ref":`, "application/json", 400, false},
		{"req.missing == 'x'", body, "application/json", 500, false},
		{"req.ref.matches('^(a+)+$')", `{"ref":"` + strings.Repeat("a", 100_000) + `!"}`, "application/json", 200, false},
		{"req.commits.all(a, req.commits.all(b, req.commits.all(c, a != b + c)))", `{"commits":[` + strings.Repeat("1,", 999) + `1]}`, "application/json", 500, false},
	} {
		b := newBundle(t)
		b.declare(resource.GitRepository, "apps/app", map[string]string{"team": "web"})
		path := b.receiver("r", flux.Receiver{Type: "generic", ResourceFilter: test.filter}, map[string]string{"token": token})
		b.want(test.code, path, test.body, "Content-Type", test.content)
		if got := b.taken() != ""; got != test.due {
			t.Errorf("%s: made due: %t", test.filter, got)
		}
	}
}

// Whoever lacks the token is not told that the Receiver is there.
func TestACallOfASuspendedReceiverIsPutOff(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	path := b.receiver("r", flux.Receiver{Type: "gitlab", Suspend: true}, map[string]string{"token": token})
	b.want(http.StatusServiceUnavailable, path, push, "X-Gitlab-Token", token)
	b.want(http.StatusNotFound, path, push, "X-Gitlab-Token", "x")
	if got := b.taken(); got != "" {
		t.Errorf("made due is %q", got)
	}
}

func TestARefusalIsToldAsAPathThatNobodyHas(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	path := b.receiver("r", flux.Receiver{Type: "gitlab"}, map[string]string{"token": token})
	code, text := b.call(path, push, "X-Gitlab-Token", "x")
	for _, unknown := range []string{path[:len(path)-1] + "x", path + "0", strings.ToUpper(path), flux.WebhookPrefix, "/hook", "", flux.WebhookPath("x", "r", "apps")} {
		if c, s := b.call(unknown, push, "X-Gitlab-Token", token); c != code || s != text || code != http.StatusNotFound {
			t.Errorf("%q is told %d %q, a call that is refused %d %q", unknown, c, s, code, text)
		}
	}
	if b.lookups != 2 {
		t.Errorf("%d lookups: what has not the form of a path is not looked up", b.lookups)
	}
	large := func() io.Reader { return http.MaxBytesReader(nil, io.NopCloser(strings.NewReader(push)), 5) }
	for _, p := range []string{path, flux.WebhookPath("x", "r", "apps")} {
		if code, _ := b.Call(t.Context(), p, nil, large()); code != http.StatusRequestEntityTooLarge {
			t.Errorf("what is too large is told %d", code)
		}
		if code, _ := b.Call(t.Context(), p, nil, io.MultiReader(strings.NewReader("x"), broken{})); code != http.StatusBadRequest {
			t.Errorf("what ends early is told %d", code)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestWhileTheDatabaseIsAwaySendersAreToldToTryAgain(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	path := b.receiver("r", flux.Receiver{Type: "generic"}, map[string]string{"token": token})
	b.declare(resource.GitRepository, "apps/app", nil)
	b.away = fmt.Errorf("postgres://secret: %w", fleet.ErrUnavailable)
	for _, p := range []string{path, flux.WebhookPath("x", "r", "apps")} {
		if code, text := b.call(p, ""); code != http.StatusServiceUnavailable || strings.Contains(text, "secret") {
			t.Errorf("answered %d %s", code, text)
		}
	}
}

// A tenant that has another's path by the letters of its names gets none of its calls, and keeps none.
func TestEachReceiverOfAPathJudgesACall(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for _, object := range []string{"team-b/app", "am-b/app"} {
		b.declare(resource.GitRepository, object, nil)
	}
	secret := map[string]string{"token": token}
	path := b.receiverIn("team-b", "app", flux.Receiver{Type: "gitlab"}, secret)
	if other := b.receiverIn("am-b", "appte", flux.Receiver{Type: "generic-hmac"}, secret); other != path {
		t.Fatal("they have two paths")
	}
	b.want(http.StatusOK, path, push, "X-Gitlab-Token", token)
	if got := b.taken(); got != "GitRepository/team-b/app" {
		t.Errorf("made due is %q", got)
	}
	b.want(http.StatusOK, path, push, "X-Signature", "sha256="+sign(sha256.New, token, push))
	if got := b.taken(); got != "GitRepository/am-b/app" {
		t.Errorf("made due is %q", got)
	}
	b.want(http.StatusOK, path, push, "X-Gitlab-Token", token, "X-Signature", "sha256="+sign(sha256.New, token, push))
	if got := b.taken(); got != "GitRepository/team-b/app GitRepository/am-b/app" {
		t.Errorf("made due is %q", got)
	}
	b.want(http.StatusNotFound, path, push)
}

func TestHostileCallsAreToldOfOnceInAWhileAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBundle(t)
		secret := map[string]string{"token": token}
		path := b.receiver("r", flux.Receiver{Type: "github", Events: []string{"push"}}, secret)
		b.receiver("s", flux.Receiver{Type: "gitlab"}, secret)
		for range 500 {
			b.want(http.StatusNotFound, path, push, "X-Hub-Signature-256", "sha256=00", "Content-Type", "application/json")
		}
		b.want(http.StatusNotFound, flux.WebhookPath(token, "s", "apps"), push)
		if len(b.events) != 2 || b.events[0].Reason != "WebhookRefused" || !strings.Contains(b.events[0].Message, "X-Hub-Signature-256 is not the signature") {
			t.Fatalf("500 calls of one Receiver and 1 of another made the events %+v", b.events)
		}
		time.Sleep(10 * time.Minute)
		b.want(http.StatusNotFound, path, push)
		if len(b.events) != 3 || !strings.Contains(b.events[2].Message, "(and 499 calls before") {
			t.Errorf("after a while the events are %+v", b.events[2:])
		}
		b.want(http.StatusBadRequest, path, push, "X-Hub-Signature-256", "sha256="+sign(sha256.New, token, push), "Content-Type", "application/json", "X-GitHub-Event", "star\n\x1b[31m"+strings.Repeat("x", 500))
		want := `
			# HELP flotilla_hub_webhooks_total Calls of webhooks by type (empty: no Receiver was looked at) and by result: done, partly, unwanted, refused, unknown (path), limited, suspended, or failed by something that is not available.
			# TYPE flotilla_hub_webhooks_total counter
			flotilla_hub_webhooks_total{result="refused",type="github"} 501
			flotilla_hub_webhooks_total{result="refused",type="gitlab"} 1
			flotilla_hub_webhooks_total{result="unwanted",type="github"} 1
		`
		if err := testutil.GatherAndCompare(b.registry, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}

func TestAPathTakesABurstAndThenSoManyCallsASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBundle(t, func(c *hook.Config) { c.Rate, c.Burst = 2, 10 })
		secret := map[string]string{"token": token}
		b.declare(resource.GitRepository, "apps/app", nil)
		paths := map[string]int{b.receiver("r", flux.Receiver{Type: "generic"}, secret): http.StatusOK, flux.WebhookPath("x", "r", "apps"): http.StatusNotFound}
		for path, code := range paths {
			for range 10 {
				b.want(code, path, "")
			}
			b.want(http.StatusTooManyRequests, path, "")
		}
		b.want(http.StatusOK, b.receiver("s", flux.Receiver{Type: "generic"}, secret), "")
		time.Sleep(time.Second)
		for path, code := range paths {
			b.want(code, path, "")
			b.want(code, path, "")
			b.want(http.StatusTooManyRequests, path, "")
		}
		time.Sleep(time.Hour)
		for n := range 10_000 { // more paths than are remembered
			b.want(http.StatusNotFound, flux.WebhookPath(fmt.Sprint(n), "r", "apps"), "")
		}
		for path, code := range paths {
			b.want(code, path, "")
		}
		time.Sleep(time.Hour)
		late := flux.WebhookPath("late", "r", "apps")
		for range 10 {
			b.want(http.StatusNotFound, late, "")
		}
		b.want(http.StatusTooManyRequests, late, "")
	})
}

func TestNoPathAndNoTokenIsLoggedOrTold(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.declare(resource.GitRepository, "apps/app", nil)
	path := b.receiver("r", flux.Receiver{Type: "gitlab", Events: []string{"Push Hook"}}, map[string]string{"token": token})
	b.call(path, push, "X-Gitlab-Token", token, "X-Gitlab-Event", "Push Hook")
	b.call(path, push, "X-Gitlab-Token", token, "X-Gitlab-Event", "Note Hook")
	b.call(path, push, "X-Gitlab-Token", token+"x")
	b.away = errors.New("away")
	b.call(path, push, "X-Gitlab-Token", token)
	b.call(flux.WebhookPath("other", "r", "apps"), push)
	told := b.log.String() + fmt.Sprint(b.events)
	if len(b.events) == 0 || !strings.Contains(told, "webhook called") {
		t.Fatalf("nothing is told: %s", told)
	}
	for _, secret := range []string{token, path, strings.TrimPrefix(path, flux.WebhookPrefix), flux.WebhookPrefix} {
		if strings.Contains(told, secret) {
			t.Errorf("%s is told: %s", secret, told)
		}
	}
}
