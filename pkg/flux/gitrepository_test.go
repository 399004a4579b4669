package flux_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// What could not be fetched is refused when it is applied, with its path.
func TestGitRepositoryThatCouldNotBeFetchedIsRefused(t *testing.T) {
	t.Parallel()
	const url = "https://git.example.com/app.git"
	hex := strings.Repeat("0a", 20)
	for name, test := range map[string]struct {
		spec flux.GitRepository
		want string // empty: it is taken
	}{
		"a branch":             {flux.GitRepository{URL: url, Ref: &flux.GitReference{Branch: "feature/a_b-1.2+x@y=z"}}, ""},
		"a tag":                {flux.GitRepository{URL: url, Ref: &flux.GitReference{Tag: "v1.2.3"}}, ""},
		"a commit":             {flux.GitRepository{URL: url, Ref: &flux.GitReference{Commit: hex, Branch: "main"}}, ""},
		"no ref":               {flux.GitRepository{URL: url}, ""},
		"a SHA-256 commit":     {flux.GitRepository{URL: url, Ref: &flux.GitReference{Commit: strings.Repeat("0a", 32)}}, "spec.ref.commit: a commit hash of 64 hex digits is not supported yet (40 are)"},
		"half a commit":        {flux.GitRepository{URL: url, Ref: &flux.GitReference{Commit: "0a0a"}}, `spec.ref.commit: "0a0a" is not a full commit hash of 40 hex digits`},
		"a commit in capitals": {flux.GitRepository{URL: url, Ref: &flux.GitReference{Commit: strings.ToUpper(hex)}}, "spec.ref.commit"},
		"an option":            {flux.GitRepository{URL: url, Ref: &flux.GitReference{Branch: "--upload-pack=x"}}, `spec.ref.branch: "--upload-pack=x" is not a name of a branch or tag`},
		"a space in a tag":     {flux.GitRepository{URL: url, Ref: &flux.GitReference{Tag: "a b"}}, "spec.ref.tag"},
		"two dots":             {flux.GitRepository{URL: url, Ref: &flux.GitReference{Branch: "a..b"}}, "spec.ref.branch"},
		"another alphabet":     {flux.GitRepository{URL: url, Ref: &flux.GitReference{Branch: "ä"}}, "spec.ref.branch"},
		"a query":              {flux.GitRepository{URL: url + "?token=canary"}, "spec.url: has a query or fragment"},
		"an empty query":       {flux.GitRepository{URL: url + "?"}, "spec.url: has a query or fragment"},
		"a fragment":           {flux.GitRepository{URL: url + "#main"}, "spec.url: has a query or fragment"},
		"a user":               {flux.GitRepository{URL: "https://anna:canary@git.example.com/app.git"}, "spec.url: holds credentials"},
		"SSH":                  {flux.GitRepository{URL: "ssh://git@git.example.com/app.git"}, "spec.url: ssh is not supported yet"},
		"no host":              {flux.GitRepository{URL: "https:///app.git"}, "spec.url: names no host"},
		"a file":               {flux.GitRepository{URL: "file:///etc"}, `spec.url: scheme "file" is not http or https`},
		"no URL":               {flux.GitRepository{}, "spec.url: is required"},
	} {
		test.spec.Interval = duration(time.Minute)
		err := test.spec.Validate()
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (!errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "canary")):
			t.Errorf("%s: error %v does not say %q", name, err, test.want)
		}
	}
}
