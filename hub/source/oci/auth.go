package oci

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"flotilla.dev/flotilla/hub/source"
)

// authenticate does what an answer 401 asks for. Nothing has changed when there is nothing to log in with.
func (r *repository) authenticate(ctx context.Context, res *http.Response) (changed bool, err error) {
	s := r.session
	c := s.credential
	if s.identity != nil {
		if c, err = r.logIn(ctx); err != nil {
			return false, err
		}
	}
	wanted := challenges(res.Header.Values("WWW-Authenticate"))
	if b, there := wanted["bearer"]; there {
		token, err := r.token(ctx, b, c)
		if err != nil {
			return false, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bearer, s.basic = token, false
		return token.token != "", nil
	}
	if _, there := wanted["basic"]; !there || c.username == "" && c.password == "" {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.basic, s.bearer = true, bearer{}
	return true, nil
}

// maxToken bounds a token service's answer.
const maxToken = 1 << 20

// token asks the service that the registry names for a token. That is a host of the registry's choosing, so it is reached by
// the policy, and gets the credential over TLS alone.
func (r *repository) token(ctx context.Context, params map[string]string, c credential) (bearer, error) {
	u := r.upstream
	if c.token != "" {
		return bearer{c.token, time.Now().Add(time.Hour), true}, nil
	}
	realm, err := url.Parse(params["realm"])
	if err != nil || realm.Host == "" || realm.User != nil || realm.Scheme != "https" && realm.Scheme != "http" {
		return bearer{}, u.Fail(source.KindServer, "the registry names no proper address of a service that gives tokens")
	}
	if realm.Scheme != "https" && !r.session.insecure {
		return bearer{}, u.Fail(source.KindTLS, "the registry wants the credential to go to %s, in plain text; it is not sent unless %s is true", source.Shown(realm.Host), u.Field("insecure"))
	}
	query := realm.Query()
	if params["service"] != "" {
		query.Set("service", params["service"])
	}
	// Never more than to pull from this repository, whatever the registry says.
	scope := "repository:" + r.session.repository.RepositoryStr() + ":pull"
	query.Set("scope", scope)
	realm.Fragment = ""
	ctx = withLimit(ctx, maxToken, "the token service's answer is too long")
	var req *http.Request
	if c.refresh != "" {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.refresh}, "service": {params["service"]}, "scope": {scope}, "client_id": {"flotilla"}}
		req, err = http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	} else {
		realm.RawQuery = query.Encode()
		req, err = http.NewRequestWithContext(ctx, http.MethodGet, realm.String(), nil)
		if err == nil && (c.username != "" || c.password != "") {
			req.SetBasicAuth(c.username, c.password)
		}
	}
	if err != nil {
		return bearer{}, u.Fail(source.KindServer, "the registry names no proper address of a service that gives tokens")
	}
	req.Header.Set("User-Agent", "flotilla")
	res, err := r.session.tokens.Do(req)
	if err != nil {
		return bearer{}, err
	}
	defer closing(res)
	if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusBadRequest {
		denied := *res
		denied.StatusCode = http.StatusUnauthorized
		return bearer{}, r.refused(&denied)
	}
	if res.StatusCode != http.StatusOK {
		return bearer{}, r.refused(res)
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return bearer{}, err
	}
	return parseToken(u, raw)
}

// The life of a token: what the specification says where the answer does not, and what is believed.
const (
	tokenLife    = time.Minute
	maxTokenLife = time.Hour
	tokenMargin  = 10 * time.Second
)

func parseToken(u source.Upstream, raw []byte) (bearer, error) {
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	bad := u.Fail(source.KindServer, "what the registry's token service answered is no token")
	if json.Unmarshal(raw, &answer) != nil {
		return bearer{}, bad
	}
	token := answer.Token
	if token == "" {
		token = answer.AccessToken
	}
	if !text(token) {
		return bearer{}, bad
	}
	life := tokenLife
	if answer.ExpiresIn > 0 {
		life = time.Duration(min(answer.ExpiresIn, int64(maxTokenLife/time.Second))) * time.Second
	}
	return bearer{token, time.Now().Add(life - tokenMargin), true}, nil
}
