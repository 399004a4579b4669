package git_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// signer signs what Git has, and has a public key for a Secret.
type signer struct {
	sign   func(payload string) string
	name   string // the key of the Secret
	public string
	id     string
}

func pgpSigner(t *testing.T, config *packet.Config, name string) signer {
	t.Helper()
	entity, err := openpgp.NewEntity("anna", "", "anna@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err == nil {
		err = entity.Serialize(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer{name: name + ".asc", public: public.String(), id: entity.PrimaryKey.KeyIdString(), sign: func(payload string) string {
		var out bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&out, entity, strings.NewReader(payload), config); err != nil {
			t.Error(err)
		}
		return out.String() + "\n"
	}}
}

func sshSigner(t *testing.T, namespace, name string) signer {
	t.Helper()
	key := lab.TestSSHKey(t, "ed25519")
	return signer{name: name + ".sshpub", public: key.Public() + "\n", id: key.Fingerprint(), sign: func(payload string) string {
		signature, err := key.SignFor(namespace, []byte(payload))
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSuffix(signature, "\n") + "\n"
	}}
}

// object writes one into the working copy's repository.
func (b *bundle) object(kind, content string) string {
	b.t.Helper()
	run := exec.Command("git", "hash-object", "-t", kind, "-w", "--stdin", "--literally")
	run.Dir, run.Stdin = b.repo.Dir, strings.NewReader(content)
	out, err := run.Output()
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// commit makes one of the working copy's tree, signed by those, and pushes it.
func (b *bundle) commitSigned(tamper func(raw string) string, signers ...signer) string {
	b.t.Helper()
	plain := "tree " + b.output("rev-parse", "HEAD^{tree}") + "\nauthor x <x@x> 1700000000 +0000\ncommitter x <x@x> 1700000000 +0000\n"
	message := "\nhello\n\nworld\n"
	raw := plain
	for _, s := range signers {
		raw += "gpgsig " + strings.ReplaceAll(strings.TrimSpace(s.sign(plain+message)), "\n", "\n ") + "\n"
	}
	raw += message
	if tamper != nil {
		raw = tamper(raw)
	}
	hash := b.object("commit", raw)
	b.git("push", "--quiet", "--force", "origin", hash+":refs/heads/main")
	return hash
}

// tagSigned makes an annotated tag of that name in what is signed, and pushes it under another.
func (b *bundle) tagSigned(ref, name, commit string, s *signer) string {
	b.t.Helper()
	raw := "object " + commit + "\ntype commit\ntag " + name + "\ntagger x <x@x> 1700000000 +0000\n\nrelease\n"
	if s != nil {
		raw += s.sign(raw)
	}
	hash := b.object("tag", raw)
	b.git("push", "--quiet", "--force", "origin", hash+":refs/tags/"+ref)
	return hash
}

// verifying is the upstream with a mode and keys.
func (b *bundle) verifying(ref flux.GitReference, mode string, keys ...signer) source.Upstream {
	u := b.upstream(ref)
	change(&u, func(spec *flux.GitRepository) {
		spec.Verify = &flux.GitVerify{Mode: mode, SecretRef: flux.SecretRef{Name: "keys"}}
	})
	data := map[string][]byte{"README": []byte("not a key")}
	for _, key := range keys {
		data[key.name] = []byte(key.public)
	}
	u.Secrets = source.Secrets{"verify.secretRef": data}
	u.ID = fmt.Sprint(ref, mode, len(keys), keys)
	return u
}

func TestSignaturesOfCommitsAreVerified(t *testing.T) {
	t.Parallel()
	pgp, otherPGP := pgpSigner(t, nil, "anna"), pgpSigner(t, nil, "bob")
	key, otherKey := sshSigner(t, "git", "anna"), sshSigner(t, "git", "bob")
	then := time.Now().Add(-time.Hour) // it stands still: a key that has ended signs nothing, however late its turn comes
	expired := pgpSigner(t, &packet.Config{KeyLifetimeSecs: 60, Time: func() time.Time { return then }}, "carol")
	change := func(raw string) string { return strings.Replace(raw, "hello", "hullo", 1) }
	shared := newBundle(t)
	shared.push(map[string]string{"a.yaml": "1"})
	for name, tc := range map[string]struct {
		by     []signer
		tamper func(string) string
		keys   []signer
		want   string // of the error; empty: it is taken
	}{
		"PGP":                       {[]signer{pgp}, nil, []signer{otherPGP, pgp, key}, ""},
		"SSH":                       {[]signer{key}, nil, []signer{otherKey, key, pgp}, ""},
		"unsigned":                  {nil, nil, []signer{pgp, key}, "it is not signed"},
		"another PGP key":           {[]signer{otherPGP}, nil, []signer{pgp}, "none of the Secret's PGP keys has signed it"},
		"another SSH key":           {[]signer{otherKey}, nil, []signer{key}, "none of the Secret's SSH keys has signed it"},
		"changed, PGP":              {[]signer{pgp}, change, []signer{pgp}, "does not fit what it has"},
		"changed, SSH":              {[]signer{key}, change, []signer{key}, "does not fit what it has"},
		"a header more":             {[]signer{key}, func(raw string) string { return strings.Replace(raw, "committer", "parentless x\ncommitter", 1) }, []signer{key}, "does not fit"},
		"PGP, and keys of SSH":      {[]signer{pgp}, nil, []signer{key}, "it is signed by PGP, and the Secret has no PGP key"},
		"SSH, and keys of PGP":      {[]signer{key}, nil, []signer{pgp}, "it is signed by SSH, and the Secret has no SSH key"},
		"signed for something else": {[]signer{sshSigner(t, "file", "anna")}, nil, []signer{key}, "for something else than Git"},
		"two signatures":            {[]signer{pgp, key}, nil, []signer{pgp, key}, "more than one signature"},
		"a key that had ended":      {[]signer{expired}, nil, []signer{expired}, "had ended"},
		"half a signature":          {[]signer{key}, func(raw string) string { return strings.Replace(raw, "U1NIU0lH", "", 1) }, []signer{key}, "SSH signature is malformed"},
		"another sort":              {[]signer{key}, func(raw string) string { return strings.ReplaceAll(raw, "SSH SIGNATURE", "SIGNED MESSAGE") }, []signer{key}, "of a sort that is not supported"},
		"no keys":                   {[]signer{key}, nil, nil, "has no public keys: PGP keys are under keys that end in .asc"},
	} {
		t.Run(name, func(t *testing.T) {
			b := shared.in(t)
			commit := b.commitSigned(tc.tamper, tc.by...)
			u := b.verifying(flux.GitReference{Branch: "main"}, "head", tc.keys...)
			puts := b.store.puts()
			got, err := b.fetcher.Fetch(t.Context(), named(u), b.resolve(u))
			if tc.want == "" {
				want := fmt.Sprintf("verified signature of\n\t- commit '%s' with key '%s'", commit, tc.by[0].id)
				if err != nil || got.Detail.Verified != want || got.Detail.VerifiedMode != "HEAD" {
					t.Errorf("error %v; want %q", err, want)
				}
				return
			}
			if source.KindOf(err) != source.KindSignature || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s error %v; want one of a signature with %q", source.KindOf(err), err, tc.want)
			}
			if b.store.puts() != puts {
				t.Error("files of a revision that is not trusted were stored")
			}
		})
	}
}

func TestSignaturesOfTagsAreVerified(t *testing.T) {
	t.Parallel()
	key, pgp, other := sshSigner(t, "git", "anna"), pgpSigner(t, nil, "anna"), sshSigner(t, "git", "bob")
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	plain := b.output("rev-parse", "HEAD")
	signed := b.commitSigned(nil, pgp)
	b.tagSigned("v1.0.0", "v1.0.0", plain, &key)
	both := b.tagSigned("v1.1.0", "v1.1.0", signed, &key)
	b.tagSigned("v1.2.0", "v1.2.0", signed, nil)
	b.tagSigned("v1.3.0", "v1.0.0", signed, &key)
	b.git("push", "--quiet", "origin", signed+":refs/tags/v1.4.0")
	b.tagSigned("v1.5.0", "v1.5.0", signed, &other)
	for name, tc := range map[string]struct {
		ref  flux.GitReference
		mode string
		want string
	}{
		"a tag":                  {flux.GitReference{Tag: "v1.0.0"}, "Tag", ""},
		"by its whole name":      {flux.GitReference{Name: "refs/tags/v1.0.0"}, "Tag", ""},
		"both":                   {flux.GitReference{Tag: "v1.1.0"}, "TagAndHEAD", ""},
		"by version":             {flux.GitReference{SemVer: ">=1.1.0 <1.2.0"}, "TagAndHEAD", ""},
		"the tag alone":          {flux.GitReference{Tag: "v1.0.0"}, "TagAndHEAD", "commit " + plain + ": it is not signed"},
		"not signed":             {flux.GitReference{Tag: "v1.2.0"}, "Tag", "tag v1.2.0: it is not signed"},
		"an older one's":         {flux.GitReference{SemVer: "~1.3"}, "Tag", "tag v1.3.0: what is signed is tag v1.0.0"},
		"a name for a commit":    {flux.GitReference{Tag: "v1.4.0"}, "Tag", "an annotated tag"},
		"by somebody else":       {flux.GitReference{Tag: "v1.5.0"}, "Tag", "none of the Secret's SSH keys has signed it"},
		"the commit of such one": {flux.GitReference{Tag: "v1.5.0"}, "HEAD", ""},
	} {
		u := b.verifying(tc.ref, tc.mode, key, pgp)
		got, err := b.fetcher.Fetch(t.Context(), named(u), b.resolve(u))
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (source.KindOf(err) != source.KindSignature || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %s error %v; want %q", name, source.KindOf(err), err, tc.want)
		}
		if name == "both" && err == nil {
			want := fmt.Sprintf("verified signature of\n\t- tag 'v1.1.0@sha1:%s' with key '%s'\n\t- commit '%s' with key '%s'", both, key.id, signed, pgp.id)
			if got.Detail.Verified != want || got.Detail.VerifiedMode != "TagAndHEAD" {
				t.Errorf("verified %q in mode %s, want %q", got.Detail.Verified, got.Detail.VerifiedMode, want)
			}
		}
	}
}
