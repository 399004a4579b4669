package hook_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"flotilla.dev/flotilla/hub/hook"
	"flotilla.dev/flotilla/pkg/flux"
)

// issuer is one of tokens, as GitHub Actions or Google are.
type issuer struct {
	*httptest.Server
	t *testing.T
	// keys it says it has, by id; the documents beside that it serves, by path.
	keys      jose.JSONWebKeySet
	documents map[string]string
	asked     atomic.Int64
	status    int
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, documents: map[string]string{}, status: http.StatusOK}
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	i.documents["/.well-known/openid-configuration"] = `{"issuer":"` + i.URL + `","jwks_uri":"` + i.URL + `/keys","id_token_signing_alg_values_supported":["RS256","ES256","HS256","none"]}`
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.asked.Add(1)
	w.WriteHeader(i.status)
	if r.URL.Path == "/keys" {
		_ = json.NewEncoder(w).Encode(i.keys)
		return
	}
	_, _ = w.Write([]byte(i.documents[r.URL.Path]))
}

// key makes one of an id and says that it has it.
func (i *issuer) key(id string) *rsa.PrivateKey {
	i.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		i.t.Fatal(err)
	}
	i.keys.Keys = append(i.keys.Keys, jose.JSONWebKey{Key: &key.PublicKey, KeyID: id, Algorithm: "RS256", Use: "sig"})
	return key
}

// jwt is a token with claims, signed by a key of that id.
func jwt(t *testing.T, algorithm jose.SignatureAlgorithm, key any, id string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// with is claims with some of them changed; nil takes one out.
func with(claims map[string]any, changes map[string]any) map[string]any {
	changed := maps.Clone(claims)
	for name, value := range changes {
		if changed[name] = value; value == nil {
			delete(changed, name)
		}
	}
	return changed
}

type claims = map[string]any

func unsigned(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(claims)) + "."
}

func TestTokensOfAnIssuer(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	other := newIssuer(t)
	key, stranger := i.key("one"), other.key("one")
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.keys.Keys = append(i.keys.Keys, jose.JSONWebKey{Key: &curve.PublicKey, KeyID: "curve", Algorithm: "ES256"})
	b := newBundle(t)
	b.declare(gitRepository, "apps/app", nil)
	path := b.receiver("oidc", flux.Receiver{Type: "generic-oidc", OIDCProviders: []flux.OIDCProvider{
		{IssuerURL: "https://other.example.com", Validations: []flux.OIDCValidation{{Expression: "true", Message: "m"}}},
		{IssuerURL: i.URL, Audience: "flotilla",
			Variables: []flux.OIDCVariable{{Name: "owner", Expression: "claims.repository.split('/')[0]"}, {Name: "ours", Expression: "vars.owner == 'team'"}},
			Validations: []flux.OIDCValidation{
				{Expression: "vars.ours == true", Message: "not ours"}, {Expression: "claims.ref == 'refs/heads/main'", Message: "not main"}}},
	}, ResourceFilter: "claims.repository == 'team/' + res.metadata.name"}, nil)
	now := time.Now().Unix()
	ours := claims{"iss": i.URL, "aud": "flotilla", "exp": now + 60, "iat": now, "repository": "team/app", "ref": "refs/heads/main"}
	rs := func(claims claims) string { return jwt(t, jose.RS256, key, "one", claims) }
	good := rs(ours)
	parts := strings.Split(good, ".")
	public, err := i.keys.Keys[0].MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, authorization string
		code                int
		text                string
	}{
		{"a good one", "Bearer " + good, 200, "ok"},
		{"of another key", "Bearer " + jwt(t, jose.ES256, curve, "curve", ours), 200, "ok"},
		{"that names no key", "Bearer " + jwt(t, jose.RS256, key, "", ours), 200, "ok"},
		{"for several", "Bearer " + rs(with(ours, claims{"aud": []string{"a", "flotilla"}})), 200, "ok"},
		{"of a clock that is ahead", "Bearer " + rs(with(ours, claims{"nbf": now + 120})), 200, "ok"},
		{"with fractions of seconds", "Bearer " + rs(with(ours, claims{"exp": float64(now) + 60.5})), 200, "ok"},
		{"white space about it", "Bearer  " + good + " ", 200, "ok"},
		{"of an object that the filter does not take", "Bearer " + rs(with(ours, claims{"repository": "team/web"})), 200, "ok"},
		{"none", "", 404, "not found"},
		{"no bearer", good, 404, "not found"},
		{"in small letters", "bearer " + good, 404, "not found"},
		{"nothing but bearer", "Bearer ", 404, "not found"},
		{"what is no token", "Bearer x", 404, "not found"},
		{"three parts of nothing", "Bearer ..", 404, "not found"},
		{"unsigned", "Bearer " + unsigned(`{"iss":"`+i.URL+`","aud":"flotilla","exp":9999999999,"repository":"team/app","ref":"refs/heads/main"}`), 404, "not found"},
		{"signed by another", "Bearer " + jwt(t, jose.RS256, stranger, "one", ours), 404, "not found"},
		{"signed with the public key as a secret", "Bearer " + jwt(t, jose.HS256, public, "one", ours), 404, "not found"},
		{"of an algorithm that the issuer does not use", "Bearer " + jwt(t, jose.RS512, key, "one", ours), 404, "not found"},
		{"of another key than it names", "Bearer " + jwt(t, jose.RS256, key, "curve", ours), 404, "not found"},
		{"of a key that there is not", "Bearer " + jwt(t, jose.RS256, key, "two", ours), 404, "not found"},
		{"with other claims than were signed", "Bearer " + parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+i.URL+`"}`)) + "." + parts[2], 404, "not found"},
		{"without its signature", "Bearer " + parts[0] + "." + parts[1] + ".", 404, "not found"},
		{"for another", "Bearer " + rs(with(ours, claims{"aud": "notification-controller"})), 404, "not found"},
		{"for nobody", "Bearer " + rs(with(ours, claims{"aud": nil})), 404, "not found"},
		{"that has expired", "Bearer " + rs(with(ours, claims{"exp": now - 1})), 404, "not found"},
		{"that never expires", "Bearer " + rs(with(ours, claims{"exp": nil})), 404, "not found"},
		{"of tomorrow", "Bearer " + rs(with(ours, claims{"nbf": now + 86400})), 404, "not found"},
		{"that expires as a text", "Bearer " + rs(with(ours, claims{"exp": "tomorrow"})), 404, "not found"},
		{"of an issuer that is not listed", "Bearer " + jwt(t, jose.RS256, stranger, "one", with(ours, claims{"iss": other.URL})), 404, "not found"},
		{"of an issuer with a slash more", "Bearer " + rs(with(ours, claims{"iss": i.URL + "/"})), 404, "not found"},
		{"of no issuer", "Bearer " + rs(with(ours, claims{"iss": nil})), 404, "not found"},
		{"of another team", "Bearer " + rs(with(ours, claims{"repository": "rival/app"})), 400, "the token is refused: not ours"},
		{"of another branch and team", "Bearer " + rs(with(ours, claims{"repository": "rival/app", "ref": "x"})), 400, "the token is refused: not ours; not main"},
		{"without the claim", "Bearer " + rs(with(ours, claims{"repository": nil})), 400, "the token is refused: variable owner: no such key"},
		{"with another claim than expected", "Bearer " + rs(with(ours, claims{"repository": 5})), 400, "the token is refused: variable owner: no such overload"},
	} {
		code, text := b.call(path, "{}", "Authorization", test.authorization, "Content-Type", "application/json")
		if code != test.code || !strings.HasPrefix(text, test.text) {
			t.Errorf("a token %s: answered %d %s, want %d %s", test.name, code, text, test.code, test.text)
		}
		due := ""
		if test.code == 200 && !strings.Contains(test.name, "filter") {
			due = "GitRepository/apps/app"
		}
		if got := b.taken(); got != due {
			t.Errorf("a token %s: made due is %q, want %q", test.name, got, due)
		}
		if test.authorization != "" && len(test.authorization) > 20 && strings.Contains(b.log.String(), strings.TrimPrefix(test.authorization, "Bearer ")) {
			t.Errorf("a token %s is in the log", test.name)
		}
	}
	if asked := i.asked.Load(); asked != 2 {
		t.Errorf("the issuer was asked %d times, and its two documents are good for a while", asked)
	}
}

func TestAnIssuerThatCannotBeAskedPutsCallsOff(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*issuer){
		"away":                 func(i *issuer) { i.Close() },
		"broken":               func(i *issuer) { i.status = http.StatusInternalServerError },
		"says what is no JSON": func(i *issuer) { i.documents["/.well-known/openid-configuration"] = "<html>" },
		"says it is another": func(i *issuer) {
			i.documents["/.well-known/openid-configuration"] = `{"issuer":"https://evil.example.com","jwks_uri":"` + i.URL + `/keys"}`
		},
		"says too much":          func(i *issuer) { i.documents["/.well-known/openid-configuration"] += strings.Repeat(" ", 1<<20) },
		"has keys at no address": func(i *issuer) { i.documents["/.well-known/openid-configuration"] = `{"issuer":"` + i.URL + `"}` },
		"has keys at a file": func(i *issuer) {
			i.documents["/.well-known/openid-configuration"] = `{"issuer":"` + i.URL + `","jwks_uri":"file:///etc/passwd"}`
		},
		"has keys at a long address": func(i *issuer) {
			i.documents["/.well-known/openid-configuration"] = `{"issuer":"` + i.URL + `","jwks_uri":"` + i.URL + "/keys?" + strings.Repeat("x", 4<<10) + `"}`
		},
		"has keys at an address with a user": func(i *issuer) {
			i.documents["/.well-known/openid-configuration"] = `{"issuer":"` + i.URL + `","jwks_uri":"` + strings.Replace(i.URL, "//", "//user:canary@", 1) + `/keys"}`
		},
		"has keys where nobody answers": func(i *issuer) {
			i.documents["/.well-known/openid-configuration"] = `{"issuer":"` + i.URL + `","jwks_uri":"https://127.0.0.1:1/canary"}`
		},
		"has keys that are none": func(i *issuer) {
			i.documents["/.well-known/openid-configuration"] = `{"issuer":"` + i.URL + `","jwks_uri":"` + i.URL + `/nokeys"}`
		},
	} {
		i := newIssuer(t)
		key := i.key("one")
		b := newBundle(t)
		path := b.receiver("oidc", flux.Receiver{Type: "generic-oidc", OIDCProviders: []flux.OIDCProvider{
			{IssuerURL: i.URL, Validations: []flux.OIDCValidation{{Expression: "true", Message: "m"}}}}}, nil)
		token := jwt(t, jose.RS256, key, "one", claims{"iss": i.URL, "aud": "notification-controller", "exp": time.Now().Unix() + 60})
		change(i)
		b.want(http.StatusServiceUnavailable, path, "", "Authorization", "Bearer "+token)
		asked := i.asked.Load()
		b.want(http.StatusServiceUnavailable, path, "", "Authorization", "Bearer "+token)
		if i.asked.Load() != asked {
			t.Errorf("an issuer that %s is asked at every call", name)
		}
		if text := b.log.String(); strings.Contains(text, "canary") {
			t.Errorf("an issuer that %s: what it says is in the log: %s", name, text)
		}
		if len(b.events) != 1 || b.events[0].Reason != "WebhookFailed" || !strings.Contains(b.events[0].Message, i.URL) {
			t.Errorf("an issuer that %s: events %+v", name, b.events)
		}
	}
}

// A key that a token names and that is not known yet is asked for, and not at every call.
func TestNewKeysOfAnIssuerAreAskedFor(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.key("one")
	provider := flux.OIDCProvider{IssuerURL: i.URL, Validations: []flux.OIDCValidation{{Expression: "true", Message: "m"}}}
	keys := hook.NewIssuers(http.DefaultClient, "")
	try := func(key crypto.Signer, id string) string {
		token := jwt(t, jose.RS256, key, id, claims{"iss": i.URL, "aud": "notification-controller", "exp": time.Now().Unix() + 60})
		_, err := hook.Verify(t.Context(), flux.Receiver{Type: "generic-oidc", OIDCProviders: []flux.OIDCProvider{provider}}, nil,
			hook.Request{Header: header("Authorization", "Bearer "+token)}, keys)
		return outcome(err)
	}
	two, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if got := try(two, "two"); got != refused {
		t.Errorf("a key that the issuer does not have: the call is %s", got)
	}
	asked := i.asked.Load()
	if got := try(two, "two"); got != refused || i.asked.Load() != asked {
		t.Errorf("the issuer is asked again at once; the call is %s", got)
	}
	i.keys.Keys = append(i.keys.Keys, jose.JSONWebKey{Key: &two.PublicKey, KeyID: "two"})
	keys.Age(11 * time.Second)
	if got := try(two, "two"); got != good {
		t.Errorf("a key that the issuer has by now: the call is %s", got)
	}
	i.keys.Keys = nil
	if got := try(two, "two"); got != good {
		t.Errorf("a key that is known: the call is %s", got)
	}
	keys.Age(6 * time.Minute)
	if got := try(two, "two"); got != refused {
		t.Errorf("a key that the issuer has no longer: the call is %s", got)
	}
}

// verifyToken is what becomes of a call with a token of an issuer.
func verifyToken(ctx context.Context, t *testing.T, i *issuer, keys hook.Keys, key crypto.Signer) string {
	t.Helper()
	provider := flux.OIDCProvider{IssuerURL: i.URL, Validations: []flux.OIDCValidation{{Expression: "true", Message: "m"}}}
	token := jwt(t, jose.RS256, key, "one", claims{"iss": i.URL, "aud": "notification-controller", "exp": time.Now().Unix() + 60})
	_, err := hook.Verify(ctx, flux.Receiver{Type: "generic-oidc", OIDCProviders: []flux.OIDCProvider{provider}}, nil,
		hook.Request{Header: header("Authorization", "Bearer "+token)}, keys)
	return outcome(err)
}

// Whoever calls and hangs up at once must not have the issuer taken for one that cannot be asked.
func TestACallThatIsBrokenOffKeepsNoOtherOut(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	key := i.key("one")
	keys := hook.NewIssuers(http.DefaultClient, "")
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	_ = verifyToken(gone, t, i, keys, key)
	if got := verifyToken(t.Context(), t, i, keys, key); got != good {
		t.Errorf("the next call is %s", got)
	}
}

func TestKeysEndWhenTheirIssuerCannotBeAskedForLong(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	key := i.key("one")
	keys := hook.NewIssuers(http.DefaultClient, "")
	if got := verifyToken(t.Context(), t, i, keys, key); got != good {
		t.Fatalf("a first call is %s", got)
	}
	i.status = http.StatusInternalServerError
	for range 9 { // calls keep the issuer from being forgotten
		keys.Age(6 * time.Minute)
		if got := verifyToken(t.Context(), t, i, keys, key); got != good {
			t.Fatalf("a call within the hour is %s", got)
		}
	}
	keys.Age(7 * time.Minute)
	if got := verifyToken(t.Context(), t, i, keys, key); got == good || got == refused {
		t.Errorf("a call after an hour is %s, want it put off", got)
	}
}

func TestCallsOfGooglesRegistry(t *testing.T) {
	t.Parallel()
	google := newIssuer(t)
	key := google.key("g1")
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	b := newBundle(t, func(c *hook.Config) { c.GoogleKeys = google.URL + "/keys" })
	b.declare(gitRepository, "apps/app", nil)
	secret := map[string]string{"token": token, "email": "sa@project.iam.gserviceaccount.com", "audience": "https://hub.example.com/hook"}
	path := b.receiver("gcr", flux.Receiver{Type: "gcr", ResourceFilter: "req.tag.endsWith(':v1') && req.action == 'INSERT'"}, secret)
	lacking := b.receiver("lacking", flux.Receiver{Type: "gcr"}, map[string]string{"token": token, "email": "sa@project.iam.gserviceaccount.com"})
	now := time.Now().Unix()
	pubsub := claims{"iss": "https://accounts.google.com", "aud": secret["audience"], "exp": now + 60, "email": secret["email"], "email_verified": true}
	message := func(data string) string {
		return `{"message":{"data":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `","messageId":"1","publishTime":"2026-01-02T15:04:05Z"}}`
	}
	pushed := message(`{"action":"INSERT","digest":"gcr.io/a/b@sha256:1","tag":"gcr.io/a/b:v1"}`)
	rs := func(claims claims) string { return "Bearer " + jwt(t, jose.RS256, key, "g1", claims) }
	for _, test := range []struct {
		name, path, authorization, body string
		code                            int
		due                             string
	}{
		{"a push", path, rs(pubsub), pushed, 200, "GitRepository/apps/app"},
		{"Google by its other name", path, rs(with(pubsub, claims{"iss": "accounts.google.com"})), pushed, 200, "GitRepository/apps/app"},
		{"another tag", path, rs(pubsub), message(`{"action":"INSERT","tag":"gcr.io/a/b:v2"}`), 200, ""},
		{"another issuer", path, rs(with(pubsub, claims{"iss": "https://evil.example.com"})), pushed, 404, ""},
		{"another account", path, rs(with(pubsub, claims{"email": "sa@evil.iam.gserviceaccount.com"})), pushed, 404, ""},
		{"no account", path, rs(with(pubsub, claims{"email": nil})), pushed, 404, ""},
		{"an account that is not verified", path, rs(with(pubsub, claims{"email_verified": false})), pushed, 404, ""},
		{"an account that is said to be verified", path, rs(with(pubsub, claims{"email_verified": "true"})), pushed, 404, ""},
		{"another audience", path, rs(with(pubsub, claims{"aud": "https://other.example.com"})), pushed, 404, ""},
		{"an old token", path, rs(with(pubsub, claims{"exp": now - 1})), pushed, 404, ""},
		{"another's key", path, "Bearer " + jwt(t, jose.RS256, stranger, "g1", pubsub), pushed, 404, ""},
		{"no token", path, "", pushed, 404, ""},
		{"the Secret's token", path, "Bearer " + token, pushed, 404, ""},
		{"no message", path, rs(pubsub), `{}`, 400, ""},
		{"no JSON", path, rs(pubsub), `x`, 400, ""},
		{"no base64", path, rs(pubsub), `{"message":{"data":"%%"}}`, 400, ""},
		{"no JSON in base64", path, rs(pubsub), message(`x`), 400, ""},
		{"a time that is none", path, rs(pubsub), strings.Replace(pushed, "2026-01", "noon", 1), 400, ""},
		{"a Secret that lacks the audience, and a token that has none", lacking, rs(with(pubsub, claims{"aud": ""})), pushed, 404, ""},
		{"a Secret that lacks the audience", lacking, rs(pubsub), pushed, 404, ""},
	} {
		b.want(test.code, test.path, test.body, "Authorization", test.authorization, "Content-Type", "application/json")
		if got := b.taken(); got != test.due {
			t.Errorf("%s: made due is %q", test.name, got)
		}
		if t.Failed() {
			t.Fatalf("at: %s", test.name)
		}
	}
}
