package hook_test

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/hook"
	"flotilla.dev/flotilla/pkg/flux"
)

const (
	push = `{"ref":"refs/heads/main","repository":{"full_name":"a/b"}}`

	good     = "good"
	refused  = "refused"
	unwanted = "unwanted"
)

func cdEvent(kind, subject, content string) string {
	return `{"context":{"version":"0.4.1","id":"1","source":"/ci","type":"` + kind + `","timestamp":"2026-01-02T15:04:05Z"},
		"subject":{"id":"s","type":"` + subject + `","content":` + content + `}}`
}

// What Flux's notification-controller takes and refuses. Calls of types gcr and generic-oidc have tests of their own: see
// issuer_test.go.
func TestCallsOfEveryType(t *testing.T) {
	t.Parallel()
	const jsonBody = "application/json"
	sha256Of := func(key, body string) string { return "sha256=" + sign(sha256.New, key, body) }
	sha1Of := func(key, body string) string { return "sha1=" + sign(sha1.New, key, body) }
	form := "payload=" + strings.ReplaceAll(push, `"`, "%22")
	pushes := []string{"push", "ping"}
	huge := strings.Repeat("[", 500_000)
	for _, test := range []struct {
		name, kind string
		events     []string
		body       string
		headers    []string
		want       string
		event      string
	}{
		{"anything", "generic", nil, push, nil, good, ""},
		{"nothing", "generic", nil, "", nil, good, ""},
		{"what is no JSON", "generic", nil, "\xff\xfe{", []string{"Content-Type", jsonBody}, good, ""},

		{"SHA-256", "generic-hmac", nil, push, []string{"X-Signature", sha256Of(token, push)}, good, ""},
		{"SHA-1", "generic-hmac", nil, push, []string{"X-Signature", sha1Of(token, push)}, good, ""},
		{"SHA-512", "generic-hmac", nil, push, []string{"X-Signature", "sha512=" + sign(sha512.New, token, push)}, good, ""},
		{"an empty body", "generic-hmac", nil, "", []string{"X-Signature", sha256Of(token, "")}, good, ""},
		{"capital digits", "generic-hmac", nil, push, []string{"X-Signature", "sha256=" + strings.ToUpper(sign(sha256.New, token, push))}, good, ""},
		{"no signature", "generic-hmac", nil, push, nil, refused, ""},
		{"an empty signature", "generic-hmac", nil, push, []string{"X-Signature", ""}, refused, ""},
		{"another token", "generic-hmac", nil, push, []string{"X-Signature", sha256Of("hunter3", push)}, refused, ""},
		{"no token", "generic-hmac", nil, push, []string{"X-Signature", sha256Of("", push)}, refused, ""},
		{"another body", "generic-hmac", nil, push + " ", []string{"X-Signature", sha256Of(token, push)}, refused, ""},
		{"a hash that is broken", "generic-hmac", nil, push, []string{"X-Signature", "md5=" + sign(md5.New, token, push)}, refused, ""},
		{"no hash", "generic-hmac", nil, push, []string{"X-Signature", sign(sha256.New, token, push)}, refused, ""},
		{"nothing before the digits", "generic-hmac", nil, push, []string{"X-Signature", "=" + sign(sha256.New, token, push)}, refused, ""},
		{"a hash in capitals", "generic-hmac", nil, push, []string{"X-Signature", "SHA256=" + sign(sha256.New, token, push)}, refused, ""},
		{"another hash's name", "generic-hmac", nil, push, []string{"X-Signature", "sha1=" + sign(sha256.New, token, push)}, refused, ""},
		{"no digits", "generic-hmac", nil, push, []string{"X-Signature", "sha256="}, refused, ""},
		{"digits that are none", "generic-hmac", nil, push, []string{"X-Signature", "sha256=zz"}, refused, ""},
		{"a part of the digits", "generic-hmac", nil, push, []string{"X-Signature", sha256Of(token, push)[:20]}, refused, ""},
		{"a regular expression", "generic-hmac", nil, push, []string{"X-Signature", "sha256=.*"}, refused, ""},
		{"the good one second", "generic-hmac", nil, push, []string{"X-Signature", "sha256=00", "X-Signature", sha256Of(token, push)}, refused, ""},
		{"in another header", "generic-hmac", nil, push, []string{"X-Hub-Signature-256", sha256Of(token, push)}, refused, ""},
		{"a line more", "generic-hmac", nil, push, []string{"X-Signature", sha256Of(token, push) + "\n"}, refused, ""},

		{"a push", "github", pushes, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "push"}, good, "push"},
		{"an event in capitals", "github", pushes, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "PUSH"}, good, "PUSH"},
		{"a ping", "github", pushes, `{"zen":"x"}`, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of(token, `{"zen":"x"}`), "X-GitHub-Event", "ping"}, good, "ping"},
		{"any event", "github", nil, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "star"}, good, "star"},
		{"no event where any will do", "github", nil, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of(token, push)}, good, ""},
		{"SHA-1 alone", "github", pushes, push, []string{"Content-Type", jsonBody, "X-Hub-Signature", sha1Of(token, push), "X-GitHub-Event", "push"}, good, "push"},
		{"a type with its character set", "github", pushes, push, []string{"Content-Type", jsonBody + "; charset=utf-8", "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "push"}, good, "push"},
		{"a form", "github", pushes, form, []string{"Content-Type", "application/x-www-form-urlencoded", "X-Hub-Signature-256", sha256Of(token, form), "X-GitHub-Event", "push"}, good, "push"},
		{"what Gitea sends", "github", pushes, push, []string{"Content-Type", jsonBody,
			"X-Gitea-Signature", sign(sha256.New, token, push), "X-Gitea-Event", "push", "X-Gitea-Event-Type", "push", "X-Gitea-Delivery", "d6",
			"X-Gogs-Signature", sign(sha256.New, token, push), "X-Gogs-Event", "push",
			"X-Hub-Signature", sha1Of(token, push), "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "push", "X-GitHub-Event-Type", "push"}, good, "push"},
		{"what Gitea sends, with another's token", "github", pushes, push, []string{"Content-Type", jsonBody,
			"X-Gitea-Signature", sign(sha256.New, token, push), "X-Hub-Signature", sha1Of(token, push), "X-Hub-Signature-256", sha256Of("x", push), "X-GitHub-Event", "push"}, refused, ""},
		{"Gitea's own signature alone", "github", pushes, push, []string{"Content-Type", jsonBody, "X-Gitea-Signature", sign(sha256.New, token, push), "X-GitHub-Event", "push"}, refused, ""},
		{"an event that is not listed", "github", pushes, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "star"}, unwanted, ""},
		{"no event", "github", pushes, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of(token, push)}, unwanted, ""},
		{"an event as a pattern", "github", []string{"pu.*", "*"}, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "push"}, unwanted, ""},
		{"a part of an event", "github", pushes, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "pus"}, unwanted, ""},
		{"a long event", "github", pushes, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", strings.Repeat("push ", 1000)}, unwanted, ""},
		{"two events", "github", pushes, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "star,push"}, unwanted, ""},
		{"an unsigned push", "github", pushes, push, []string{"Content-Type", jsonBody, "X-GitHub-Event", "push"}, refused, ""},
		{"a push signed by another", "github", pushes, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of("x", push), "X-GitHub-Event", "push"}, refused, ""},
		{"the weaker signature good alone", "github", pushes, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", "sha256=00", "X-Hub-Signature", sha1Of(token, push), "X-GitHub-Event", "push"}, refused, ""},
		{"no type", "github", pushes, push, []string{"X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "push"}, refused, ""},
		{"another type", "github", pushes, push, []string{"Content-Type", "text/plain", "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "push"}, refused, ""},
		{"a type that is none", "github", pushes, push, []string{"Content-Type", ";;;", "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "push"}, refused, ""},
		{"a form of which the payload is signed", "github", pushes, form, []string{"Content-Type", "application/x-www-form-urlencoded", "X-Hub-Signature-256", sha256Of(token, push), "X-GitHub-Event", "push"}, refused, ""},

		{"a push hook", "gitlab", []string{"Push Hook"}, push, []string{"X-Gitlab-Token", token, "X-Gitlab-Event", "Push Hook"}, good, "Push Hook"},
		{"a body that nobody reads", "gitlab", nil, huge, []string{"X-Gitlab-Token", token}, good, ""},
		{"no token", "gitlab", nil, push, nil, refused, ""},
		{"another token", "gitlab", nil, push, []string{"X-Gitlab-Token", "hunter3"}, refused, ""},
		{"a part of the token", "gitlab", nil, push, []string{"X-Gitlab-Token", token[:6]}, refused, ""},
		{"a longer token", "gitlab", nil, push, []string{"X-Gitlab-Token", token + "2"}, refused, ""},
		{"the token in capitals", "gitlab", nil, push, []string{"X-Gitlab-Token", strings.ToUpper(token)}, refused, ""},
		{"the token with a NUL", "gitlab", nil, push, []string{"X-Gitlab-Token", token + "\x00"}, refused, ""},
		{"an event that is not listed", "gitlab", []string{"Push Hook"}, push, []string{"X-Gitlab-Token", token, "X-Gitlab-Event", "Tag Push Hook"}, unwanted, ""},

		{"refs changed", "bitbucket", []string{"repo:refs_changed"}, push, []string{"Content-Type", jsonBody, "X-Hub-Signature", sha256Of(token, push), "X-Event-Key", "repo:refs_changed"}, good, "repo:refs_changed"},
		{"an event that is not listed", "bitbucket", []string{"repo:refs_changed"}, push, []string{"Content-Type", jsonBody, "X-Hub-Signature", sha256Of(token, push), "X-Event-Key", "diagnostics:ping"}, unwanted, ""},
		{"another token", "bitbucket", nil, push, []string{"Content-Type", jsonBody, "X-Hub-Signature", sha256Of("x", push), "X-Event-Key", "repo:refs_changed"}, refused, ""},
		{"GitHub's event", "bitbucket", []string{"push"}, push, []string{"Content-Type", jsonBody, "X-Hub-Signature", sha256Of(token, push), "X-GitHub-Event", "push"}, unwanted, ""},

		{"the token", "harbor", nil, `{"type":"PUSH_ARTIFACT"}`, []string{"Authorization", token}, good, ""},
		{"a bearer token", "harbor", nil, `{}`, []string{"Authorization", "Bearer " + token}, refused, ""},
		{"no token", "harbor", nil, `{}`, nil, refused, ""},
		{"another token", "harbor", nil, `{}`, []string{"Authorization", "hunter3"}, refused, ""},

		{"a tag", "dockerhub", nil, `{"push_data":{"tag":"v1"},"repository":{"repo_url":"https://registry.hub.docker.com/r/a/b"}}`, nil, good, ""},
		{"no JSON", "dockerhub", nil, `tag=v1`, nil, unwanted, ""},
		{"another shape", "dockerhub", nil, `{"push_data":"v1"}`, nil, unwanted, ""},
		{"nothing", "dockerhub", nil, ``, nil, unwanted, ""},
		{"half of it", "dockerhub", nil, `{"push_data":{"tag":"v1"`, nil, unwanted, ""},
		{"depth", "dockerhub", nil, huge, nil, unwanted, ""},

		{"tags", "quay", nil, `{"docker_url":"quay.io/a/b","updated_tags":["v1"]}`, nil, good, ""},
		{"tags that are none", "quay", nil, `{"docker_url":"quay.io/a/b","updated_tags":{"v1":1}}`, nil, unwanted, ""},
		{"a list", "quay", nil, `[{"docker_url":"quay.io/a/b"}]`, nil, unwanted, ""},

		{"a change", "nexus", nil, `{"action":"UPDATED","repositoryName":"docker"}`, []string{"X-Nexus-Webhook-Signature", sign(sha1.New, token, `{"action":"UPDATED","repositoryName":"docker"}`)}, good, ""},
		{"no signature", "nexus", nil, `{}`, nil, refused, ""},
		{"another token", "nexus", nil, `{}`, []string{"X-Nexus-Webhook-Signature", sign(sha1.New, "x", `{}`)}, refused, ""},
		{"a hash's name", "nexus", nil, `{}`, []string{"X-Nexus-Webhook-Signature", sha1Of(token, `{}`)}, refused, ""},
		{"another hash", "nexus", nil, `{}`, []string{"X-Nexus-Webhook-Signature", sign(sha256.New, token, `{}`)}, refused, ""},
		{"signed, and no JSON", "nexus", nil, `x`, []string{"X-Nexus-Webhook-Signature", sign(sha1.New, token, `x`)}, unwanted, ""},
		{"signed, and two of JSON", "nexus", nil, `{"action":1}`, []string{"X-Nexus-Webhook-Signature", sign(sha1.New, token, `{"action":1}`)}, unwanted, ""},

		{"a push", "acr", nil, `{"action":"push","target":{"repository":"a","tag":"v1"}}`, nil, good, ""},
		{"a ping", "acr", nil, `{"action":"ping"}`, nil, good, ""},
		{"another shape", "acr", nil, `{"target":[]}`, nil, unwanted, ""},
		{"a number", "acr", nil, `12`, nil, unwanted, ""},

		{"a packaged artifact", "cdevents", []string{"dev.cdevents.artifact.packaged.0.2.0"}, cdEvent("dev.cdevents.artifact.packaged.0.2.0", "artifact", `{"change":{"id":"c"}}`), []string{"Ce-Type", "dev.cdevents.artifact.packaged.0.2.0"}, good, "dev.cdevents.artifact.packaged.0.2.0"},
		{"another version", "cdevents", nil, cdEvent("dev.cdevents.change.merged.0.9.3", "change", `{}`), nil, good, ""},
		{"a tool's own", "cdevents", nil, cdEvent("dev.cdeventsx.gitea-review.done.0.1.0", "gitea-review", `{}`), nil, good, ""},
		{"an event that is not listed", "cdevents", []string{"dev.cdevents.artifact.packaged.0.2.0"}, cdEvent("dev.cdevents.artifact.packaged.0.2.0", "artifact", `{"change":{"id":"c"}}`), []string{"Ce-Type", "dev.cdevents.artifact.deleted.0.1.0"}, unwanted, ""},
		{"listed, and only the body says so", "cdevents", []string{"dev.cdevents.branch.created.0.2.0"}, cdEvent("dev.cdevents.branch.created.0.2.0", "branch", `{}`), nil, unwanted, ""},
		{"a version 1", "cdevents", nil, cdEvent("dev.cdevents.branch.created.1.0.0", "branch", `{}`), nil, unwanted, ""},
		{"a subject that there is not", "cdevents", nil, cdEvent("dev.cdevents.cow.created.0.1.0", "cow", `{}`), nil, unwanted, ""},
		{"a predicate that there is not", "cdevents", nil, cdEvent("dev.cdevents.branch.burned.0.1.0", "branch", `{}`), nil, unwanted, ""},
		{"another subject", "cdevents", nil, cdEvent("dev.cdevents.pipelinerun.queued.0.2.0", "pipelinerun", `{}`), nil, unwanted, ""},
		{"without what it needs", "cdevents", nil, cdEvent("dev.cdevents.artifact.packaged.0.2.0", "artifact", `{}`), nil, unwanted, ""},
		{"with nothing of what it needs", "cdevents", nil, cdEvent("dev.cdevents.ticket.updated.0.1.0", "ticket", `{"uri":""}`), nil, unwanted, ""},
		{"no content", "cdevents", nil, cdEvent("dev.cdevents.branch.created.0.2.0", "branch", `null`), nil, unwanted, ""},
		{"a time that is none", "cdevents", nil, strings.Replace(cdEvent("dev.cdevents.branch.created.0.2.0", "branch", `{}`), "15:04:05Z", "noon", 1), nil, unwanted, ""},
		{"a source that is none", "cdevents", nil, strings.Replace(cdEvent("dev.cdevents.branch.created.0.2.0", "branch", `{}`), "/ci", "http://[::1", 1), nil, unwanted, ""},
		{"no id", "cdevents", nil, strings.Replace(cdEvent("dev.cdevents.branch.created.0.2.0", "branch", `{}`), `"id":"1"`, `"id":""`, 1), nil, unwanted, ""},
		{"no context", "cdevents", nil, `{"subject":{}}`, nil, unwanted, ""},
		{"no object", "cdevents", nil, `"dev.cdevents.branch.created.0.2.0"`, nil, unwanted, ""},

		{"without a bearer token", "gcr", nil, push, nil, refused, ""},
		{"without a bearer token", "generic-oidc", nil, push, nil, refused, ""},
		{"a type that there is not", "gitea", nil, push, []string{"Content-Type", jsonBody, "X-Hub-Signature-256", sha256Of(token, push)}, refused, ""},
	} {
		t.Run(test.kind+"/"+test.name, func(t *testing.T) {
			t.Parallel()
			spec := flux.Receiver{Type: test.kind, Events: test.events}
			secret := map[string][]byte{"token": []byte(token), "email": []byte("a@b"), "audience": []byte("c")}
			event, err := hook.Verify(t.Context(), spec, secret, hook.Request{Header: header(test.headers...), Body: []byte(test.body)}, nil)
			if got := outcome(err); got != test.want {
				t.Fatalf("the call is %s, want %s: %v", got, test.want, err)
			}
			if event.Name != test.event && test.want == good {
				t.Errorf("the event is %q, want %q", event.Name, test.event)
			}
			if err != nil && (strings.Contains(err.Error(), token) || len(err.Error()) > 300) {
				t.Errorf("too much is told: %v", err)
			}
		})
	}
}

// outcome is what becomes of a call whose verification gave err.
func outcome(err error) string {
	var refusal *hook.Refusal
	switch {
	case err == nil:
		return good
	case !errors.As(err, &refusal):
		return "not verified"
	case refusal.Authentic:
		return unwanted
	}
	return refused
}

// Flux takes the calls of a Receiver whose token is empty unsigned.
func TestASecretWithoutTokenTakesNoCalls(t *testing.T) {
	t.Parallel()
	for _, kind := range flux.ReceiverTypes {
		if kind == flux.GenericOIDCReceiver {
			continue
		}
		for _, secret := range []map[string][]byte{nil, {"token": {}}, {"other": []byte("x")}} {
			request := hook.Request{Body: []byte(push), Header: header("Content-Type", "application/json", "Authorization", "", "X-Gitlab-Token", "",
				"X-Signature", "sha256="+sign(sha256.New, "", push), "X-Hub-Signature-256", "sha256="+sign(sha256.New, "", push),
				"X-Nexus-Webhook-Signature", sign(sha1.New, "", push))}
			if _, err := hook.Verify(t.Context(), flux.Receiver{Type: kind}, secret, request, nil); outcome(err) != refused {
				t.Errorf("%s: the call is %s", kind, outcome(err))
			}
		}
	}
}

// Nothing that is called hostile here makes a call of any type fail otherwise than by a Refusal.
func FuzzVerify(f *testing.F) {
	for _, body := range []string{push, "", "{", "[]", "null", `{"message":{"data":"e30="}}`, cdEvent("dev.cdevents.branch.created.0.2.0", "branch", `{}`), "payload=%7B%7D"} {
		for i := range flux.ReceiverTypes {
			f.Add(uint8(i), "sha256="+sign(sha256.New, token, body), "push", "application/json", []byte(body), true)
			f.Add(uint8(i), "Bearer a."+base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"x"}`))+".c", "", "", []byte(body), false)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, secret, event, content string, body []byte, signed bool) {
		spec := flux.Receiver{Type: flux.ReceiverTypes[int(kind)%len(flux.ReceiverTypes)], Events: []string{"push"},
			OIDCProviders: []flux.OIDCProvider{{IssuerURL: "x", Validations: []flux.OIDCValidation{{Expression: "true", Message: "m"}}}}}
		request := hook.Request{Body: body, Header: header("Content-Type", content, "X-Signature", secret, "X-Hub-Signature-256", secret, "X-GitHub-Event", event,
			"X-Gitlab-Token", secret, "X-Gitlab-Event", event, "X-Event-Key", event, "Authorization", secret, "X-Nexus-Webhook-Signature", secret, "Ce-Type", event)}
		if signed {
			request.Header.Set("X-Signature", "sha256="+sign(sha256.New, token, string(body)))
			request.Header.Set("X-Hub-Signature-256", "sha256="+sign(sha256.New, token, string(body)))
			request.Header.Set("X-Nexus-Webhook-Signature", sign(sha1.New, token, string(body)))
			request.Header.Set("X-Gitlab-Token", token)
		}
		data := map[string][]byte{"token": []byte(token), "email": []byte("a@b"), "audience": []byte("c")}
		event1, err := hook.Verify(t.Context(), spec, data, request, noKeys{})
		if got := outcome(err); got == "not verified" {
			t.Errorf("%s: %v", spec.Type, err)
		}
		mustBeSigned := spec.Type != "generic" && spec.Type != "dockerhub" && spec.Type != "quay" && spec.Type != "acr" && spec.Type != "cdevents"
		if err == nil && !signed && mustBeSigned && secret != token && !strings.HasPrefix(secret, "sha") && spec.Type != "nexus" {
			t.Errorf("%s: a call that nobody signed is good: %q, %+v", spec.Type, secret, event1)
		}
		if err != nil && len(err.Error()) > 600 {
			t.Errorf("%s: too much is told: %v", spec.Type, err)
		}
	})
}
