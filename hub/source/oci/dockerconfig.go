package oci

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"flotilla.dev/flotilla/hub/source"
)

// credential is what to log in with; the zero one is nobody.
type credential struct {
	username, password string
	// refresh is exchanged for tokens (identitytoken), token is one (registrytoken).
	refresh, token string
}

// entry is how a Docker configuration has it.
type entry struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`

	field string // that names its Secret
}

// fromSecrets is the credential for a repository, and whether Secrets for credentials are there at all.
func fromSecrets(u source.Upstream, repository name.Repository) (found credential, hasSecrets bool, err error) {
	entries := map[string]entry{}
	var fields []string
	if u.Secrets[secretRef] != nil {
		fields = append(fields, secretRef)
	}
	for i := 0; u.Secrets[fmt.Sprintf("serviceAccountName[%d]", i)] != nil; i++ {
		fields = append(fields, fmt.Sprintf("serviceAccountName[%d]", i))
	}
	for _, field := range fields { // a later one goes before an earlier one, as in Flux
		data, there := u.Secrets[field][".dockerconfigjson"]
		if !there {
			return credential{}, false, u.BadSecret(field, "the Secret has no .dockerconfigjson; make it of type kubernetes.io/dockerconfigjson")
		}
		parsed, err := parseDockerConfig(data)
		if err != nil {
			return credential{}, false, u.BadSecret(field, ".dockerconfigjson of the Secret %s", err)
		}
		for address, e := range parsed {
			e.field = field
			entries[address] = e
		}
	}
	if len(fields) == 0 {
		return credential{}, false, nil
	}
	chosen, there := choose(entries, repository.RegistryStr(), repository.RepositoryStr())
	if !there {
		return credential{}, true, nil
	}
	found, err = chosen.credential()
	if err != nil {
		return credential{}, false, u.BadSecret(chosen.field, "the Secret's entry for %s %s", repository.RegistryStr(), err)
	}
	return found, true, nil
}

// maxDockerConfig bounds what is parsed.
const maxDockerConfig = 1 << 20

// parseDockerConfig returns the entries of a .dockerconfigjson by the address that they are for, as places has it. Its errors
// hold nothing of what is in it.
func parseDockerConfig(data []byte) (map[string]entry, error) {
	if len(data) > maxDockerConfig {
		return nil, fmt.Errorf("has more than %d KiB", maxDockerConfig>>10)
	}
	var config struct {
		Auths map[string]entry `json:"auths"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, errors.New(`is not {"auths": {"HOST": {"username": ..., "password": ...}}}`)
	}
	entries := map[string]entry{}
	for _, address := range slices.Sorted(maps.Keys(config.Auths)) {
		entries[place(address)] = config.Auths[address]
	}
	return entries, nil
}

// place is host or host/path of an entry's address, which people also write as a URL.
func place(address string) string {
	for _, scheme := range []string{"https://", "http://", "oci://"} {
		address = strings.TrimPrefix(address, scheme)
	}
	host, path, _ := strings.Cut(address, "/")
	path = strings.Trim(path, "/")
	if path == "v1" || path == "v2" { // of the registry's API
		path = ""
	}
	host = strings.ToLower(host)
	if host == "docker.io" || host == "registry-1.docker.io" {
		host = name.DefaultRegistry
	}
	if path == "" {
		return host
	}
	return host + "/" + path
}

// choose returns the entry for a repository: of it, or of what it is below, or of its registry.
func choose(entries map[string]entry, host, repository string) (entry, bool) {
	for at := strings.ToLower(host) + "/" + repository; at != ""; {
		if found, there := entries[at]; there {
			return found, true
		}
		i := strings.LastIndexByte(at, '/')
		if i < 0 {
			break
		}
		at = at[:i]
	}
	return entry{}, false
}

func (e entry) credential() (credential, error) {
	out := credential{username: e.Username, password: e.Password, refresh: e.IdentityToken, token: e.RegistryToken}
	if e.Auth != "" {
		decoded, err := base64.StdEncoding.DecodeString(e.Auth)
		username, password, found := strings.Cut(string(decoded), ":")
		if err != nil || !found {
			return credential{}, errors.New("has an auth that is not the base64 of user:password")
		}
		out.username, out.password = username, strings.TrimRight(password, "\x00")
	}
	return out, nil
}
