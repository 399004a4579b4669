package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"flotilla.dev/flotilla/hub/source"
)

// Identity logs in to the registries of a cloud as the hub.
type Identity interface {
	// Login returns the credential for a registry of the cloud, and until when it is good. A host that is none of the
	// cloud's registries is an error: the hub's identity is for no other.
	Login(ctx context.Context, host string) (username, password string, until time.Time, err error)
}

// login is what an Identity gave.
type login struct {
	username, password string
	until              time.Time
}

func (l login) credential() credential { return credential{username: l.username, password: l.password} }

// loginMargin is how long before its end a login is made anew.
const loginMargin = 2 * time.Minute

// logIn is the hub's credential for the registry.
func (r *repository) logIn(ctx context.Context) (credential, error) {
	s := r.session
	s.mu.Lock()
	known := s.login
	s.mu.Unlock()
	if known.password != "" && time.Until(known.until) > loginMargin {
		return known.credential(), nil
	}
	username, password, until, err := s.identity.Login(ctx, s.repository.RegistryStr())
	if err != nil {
		return credential{}, r.notLoggedIn(ctx, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.login = login{username, password, until}
	return s.login.credential(), nil
}

// notLoggedIn words why the hub's identity got no credential. A cloud's text may hold one, so it is not shown.
func (r *repository) notLoggedIn(ctx context.Context, err error) error {
	if failure := r.upstream.Explain(ctx, ctx, err); failure != nil {
		return failure
	}
	failure := r.upstream.Fail(source.KindAuth, "the hub could not log in to the registry by %s: does the hub have an identity at that cloud, may it pull, and is %s a registry there?", r.upstream.Field("provider"), r.session.repository.RegistryStr())
	failure.Cause = err
	return failure
}

// clouds are the identities that the hub may have. What they are is learnt where the hub runs: its environment, or the
// metadata service of its machine, which sources can never reach. Registries are logged in to by the network's policy.
func clouds(network *source.Network) map[string]Identity {
	client := network.Client(source.ClientConfig{Limit: func(*http.Request) (int64, string) {
		return maxToken, "the answer to the hub's login is too long"
	}})
	return map[string]Identity{
		"aws":   &ecr{client: client, credentials: awsCredentials, endpoint: ecrEndpoint},
		"azure": &acr{client: client, token: azureToken, endpoint: func(host string) string { return "https://" + host }},
		"gcp":   &gar{token: googleToken},
	}
}

// exchange sends a login and reads the answer.
func exchange(client *http.Client, req *http.Request, answer any) error {
	req.Header.Set("User-Agent", "flotilla")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer closing(res)
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("log in: answer %d", res.StatusCode)
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return errors.New("log in: the answer is not JSON")
	}
	return nil
}

// text says whether a token is one that a header may have.
func text(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}
