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
	hours := &flux.Duration{}
	if err := hours.UnmarshalJSON([]byte(`"1h"`)); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		spec flux.GitRepository
		want string // empty: it is taken
	}{
		"a branch":              {flux.GitRepository{URL: url, Ref: &flux.GitReference{Branch: "feature/a_b-1.2+x@y=z"}}, ""},
		"a tag":                 {flux.GitRepository{URL: url, Ref: &flux.GitReference{Tag: "v1.2.3"}}, ""},
		"a commit":              {flux.GitRepository{URL: url, Ref: &flux.GitReference{Commit: hex, Branch: "main"}}, ""},
		"no ref":                {flux.GitRepository{URL: url}, ""},
		"a SHA-256 commit":      {flux.GitRepository{URL: url, Ref: &flux.GitReference{Commit: strings.Repeat("0a", 32)}}, "spec.ref.commit: a commit hash of 64 hex digits is not supported"},
		"half a commit":         {flux.GitRepository{URL: url, Ref: &flux.GitReference{Commit: "0a0a"}}, `spec.ref.commit: "0a0a" is not a full commit hash of 40 hex digits`},
		"a commit in capitals":  {flux.GitRepository{URL: url, Ref: &flux.GitReference{Commit: strings.ToUpper(hex)}}, "spec.ref.commit"},
		"an option":             {flux.GitRepository{URL: url, Ref: &flux.GitReference{Branch: "--upload-pack=x"}}, `spec.ref.branch: "--upload-pack=x" is not a name of a branch or tag`},
		"a space in a tag":      {flux.GitRepository{URL: url, Ref: &flux.GitReference{Tag: "a b"}}, "spec.ref.tag"},
		"two dots":              {flux.GitRepository{URL: url, Ref: &flux.GitReference{Branch: "a..b"}}, "spec.ref.branch"},
		"another alphabet":      {flux.GitRepository{URL: url, Ref: &flux.GitReference{Branch: "ä"}}, "spec.ref.branch"},
		"a query":               {flux.GitRepository{URL: url + "?token=canary"}, "spec.url: has a query or fragment"},
		"an empty query":        {flux.GitRepository{URL: url + "?"}, "spec.url: has a query or fragment"},
		"a fragment":            {flux.GitRepository{URL: url + "#main"}, "spec.url: has a query or fragment"},
		"a user":                {flux.GitRepository{URL: "https://anna:canary@git.example.com/app.git"}, "spec.url: holds credentials"},
		"SSH":                   {flux.GitRepository{URL: "ssh://git@git.example.com:2222/app.git"}, ""},
		"SSH, a password":       {flux.GitRepository{URL: "ssh://git:canary@git.example.com/app.git"}, "spec.url: holds credentials"},
		"SSH, an option":        {flux.GitRepository{URL: "ssh://-oProxyCommand=x@git.example.com/app.git"}, "spec.url: holds credentials"},
		"SSH, no path":          {flux.GitRepository{URL: "ssh://git@git.example.com/"}, "spec.url: names no repository"},
		"scp's form":            {flux.GitRepository{URL: "git@git.example.com:app.git"}, "spec.url: is not a URL"},
		"a name":                {flux.GitRepository{URL: url, Ref: &flux.GitReference{Name: "refs/pull/1/head"}}, ""},
		"half a name":           {flux.GitRepository{URL: url, Ref: &flux.GitReference{Name: "main"}}, `spec.ref.name: "main" is not the whole name of a ref`},
		"versions":              {flux.GitRepository{URL: url, Ref: &flux.GitReference{SemVer: ">=1.0.0-0 <2"}}, ""},
		"no versions":           {flux.GitRepository{URL: url, Ref: &flux.GitReference{SemVer: "newest"}}, `spec.ref.semver: "newest" is not a range of versions`},
		"another provider":      {flux.GitRepository{URL: url, Provider: "gitlab"}, "spec.provider"},
		"aws":                   {flux.GitRepository{URL: url, Provider: "aws"}, "spec.provider: aws is not supported"},
		"azure":                 {flux.GitRepository{URL: url, Provider: "azure"}, ""},
		"azure by SSH":          {flux.GitRepository{URL: "ssh://git@dev.azure.com/app", Provider: "azure"}, "spec.provider: azure needs"},
		"github":                {flux.GitRepository{URL: url, Provider: "github", SecretRef: &flux.SecretRef{Name: "x"}}, ""},
		"github, no Secret":     {flux.GitRepository{URL: url, Provider: "github"}, ""},
		"an account":            {flux.GitRepository{URL: url, ServiceAccountName: "x"}, "spec.serviceAccountName: can only be set when spec.provider is azure or aws"},
		"an account of azure":   {flux.GitRepository{URL: url, Provider: "azure", ServiceAccountName: "x"}, "spec.serviceAccountName: is not supported"},
		"a timeout in hours":    {flux.GitRepository{URL: url, Timeout: hours}, "spec.timeout: may have the units ms, s and m, not h: write 60m"},
		"a nameless Secret":     {flux.GitRepository{URL: url, SecretRef: &flux.SecretRef{}}, "spec.secretRef.name: is required"},
		"a nameless proxy":      {flux.GitRepository{URL: url, ProxySecretRef: &flux.SecretRef{}}, "spec.proxySecretRef.name: is required"},
		"no keys":               {flux.GitRepository{URL: url, Verify: &flux.GitVerify{}}, "spec.verify.secretRef.name: is required"},
		"verified":              {flux.GitRepository{URL: url, Verify: &flux.GitVerify{Mode: "head", SecretRef: flux.SecretRef{Name: "x"}}}, ""},
		"verified oddly":        {flux.GitRepository{URL: url, Verify: &flux.GitVerify{Mode: "tag", SecretRef: flux.SecretRef{Name: "x"}}}, "spec.verify.mode"},
		"a tag, verified":       {flux.GitRepository{URL: url, Ref: &flux.GitReference{SemVer: "1.x"}, Verify: &flux.GitVerify{Mode: "TagAndHEAD", SecretRef: flux.SecretRef{Name: "x"}}}, ""},
		"no tag to verify":      {flux.GitRepository{URL: url, Verify: &flux.GitVerify{Mode: "Tag", SecretRef: flux.SecretRef{Name: "x"}}}, "spec.verify.mode: Tag needs a tag to verify"},
		"a commit, as a tag":    {flux.GitRepository{URL: url, Ref: &flux.GitReference{Tag: "v1", Commit: hex}, Verify: &flux.GitVerify{Mode: "Tag", SecretRef: flux.SecretRef{Name: "x"}}}, "spec.verify.mode: Tag needs a tag to verify"},
		"an include":            {flux.GitRepository{URL: url, Include: []flux.GitInclude{{Repository: flux.SecretRef{Name: "x"}, FromPath: "./a", ToPath: "b"}}}, ""},
		"a nameless include":    {flux.GitRepository{URL: url, Include: []flux.GitInclude{{}}}, "spec.include[0].repository.name: is required"},
		"an include from above": {flux.GitRepository{URL: url, Include: []flux.GitInclude{{Repository: flux.SecretRef{Name: "x"}, FromPath: "a/../../b"}}}, "spec.include[0].fromPath"},
		"an include to above":   {flux.GitRepository{URL: url, Include: []flux.GitInclude{{Repository: flux.SecretRef{Name: "x"}, ToPath: ".."}}}, "spec.include[0].toPath"},
		"one path twice":        {flux.GitRepository{URL: url, Include: []flux.GitInclude{{Repository: flux.SecretRef{Name: "x"}}, {Repository: flux.SecretRef{Name: "y"}, ToPath: "./x/"}}}, "spec.include[1].toPath"},
		"sparse":                {flux.GitRepository{URL: url, SparseCheckout: []string{"./a/b", "c"}}, ""},
		"sparse from above":     {flux.GitRepository{URL: url, SparseCheckout: []string{"a", "../b"}}, `spec.sparseCheckout[1]: "../b" leads out of the repository`},
		"sparse of nothing":     {flux.GitRepository{URL: url, SparseCheckout: []string{""}}, "spec.sparseCheckout[0]: is empty"},
		"sparse of a backslash": {flux.GitRepository{URL: url, SparseCheckout: []string{`a\b`}}, "spec.sparseCheckout[0]"},
		"no host":               {flux.GitRepository{URL: "https:///app.git"}, "spec.url: names no host"},
		"a file":                {flux.GitRepository{URL: "file:///etc"}, `spec.url: scheme "file" is not http, https or ssh`},
		"no URL":                {flux.GitRepository{}, "spec.url: is required"},
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
