package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
)

// verified says whose signatures the spec asks for and the revision has; it is an error of KindSignature where one is
// missing or wrong, and nothing is stored then.
func (g *Git) verified(ctx context.Context, u source.Upstream, state *upstream, m *mirror, revision fleet.Revision, commit plumbing.Hash) (message, mode string, err error) {
	spec := specOf(u).Verify
	if spec == nil {
		return "", "", nil
	}
	keys, err := readTrusted(u.Secrets[verifySecretRef])
	if err != nil {
		return "", "", untrusted(u, "VerificationError", "spec.verify.secretRef: %s", err)
	}
	message = "verified signature of"
	if spec.VerifiesTag() {
		tag, key, err := g.verifyTag(ctx, u, state, m, keys, refOf(u).refIn(revision), commit)
		if err != nil {
			return "", "", err
		}
		message += fmt.Sprintf("\n\t- tag '%s' with key '%s'", tag, key)
	}
	if spec.VerifiesHEAD() {
		raw, err := m.raw(plumbing.CommitObject, commit)
		if err != nil {
			return "", "", err
		}
		key, err := verifyCommit(keys, raw)
		if err != nil {
			return "", "", untrusted(u, "InvalidCommitSignature", "commit %s: %s", commit, err)
		}
		message += fmt.Sprintf("\n\t- commit '%s' with key '%s'", commit, key)
	}
	return message, spec.GetMode(), nil
}

// verifyTag verifies the annotated tag of that full name, which must be of the commit.
func (g *Git) verifyTag(ctx context.Context, u source.Upstream, state *upstream, m *mirror, keys *trusted, name string, commit plumbing.Hash) (text, key string, err error) {
	tag := strings.TrimPrefix(name, tagPrefix)
	state.mu.Lock()
	list := state.list
	state.mu.Unlock()
	if list == nil || list.commit(name) != commit {
		if list, err = g.list(ctx, u, state); err != nil {
			return "", "", err
		}
	}
	if list.commit(name) != commit {
		return "", "", gone(u)
	}
	if _, annotated := list.peeled[name]; !annotated {
		return "", "", untrusted(u, "InvalidGitObject", "tag %s is not signed: it is a name for a commit and no more; spec.verify.mode asks for an annotated tag (git tag --sign)", source.Shown(tag))
	}
	hash := list.refs[name]
	if m.storage.HasEncodedObject(hash) != nil {
		if err := g.fetchObjects(ctx, u, state, m, list, []plumbing.Hash{hash}); err != nil {
			return "", "", err
		}
	}
	raw, err := m.raw(plumbing.TagObject, hash)
	if err != nil {
		return "", "", err
	}
	if key, err = verifyTagObject(keys, raw, tag, commit); err != nil {
		return "", "", untrusted(u, "InvalidTagSignature", "tag %s: %s", source.Shown(tag), err)
	}
	return tag + "@" + "sha1:" + hash.String(), key, nil
}

// untrusted is a failure with Flux's reason for it.
func untrusted(u source.Upstream, reason, format string, args ...any) error {
	failure := u.Fail(source.KindSignature, format, args...)
	failure.Reason = reason
	return failure
}

// maxSigned is how large a commit or a tag may be that is verified: it is read into memory.
const maxSigned = 8 << 20

// raw is an object as it was hashed.
func (m *mirror) raw(kind plumbing.ObjectType, hash plumbing.Hash) ([]byte, error) {
	object, err := m.storage.EncodedObject(kind, hash)
	if err != nil {
		return nil, &damageError{fmt.Errorf("%s %s: %w", kind, hash, err)}
	}
	if object.Size() > maxSigned {
		return nil, &source.TooLargeError{Problem: fmt.Sprintf("%s %s has more than %d MiB, which no signature is looked for in", kind, hash, maxSigned>>20)}
	}
	reader, err := object.Reader()
	if err != nil {
		return nil, &damageError{err}
	}
	data, err := io.ReadAll(io.LimitReader(reader, maxSigned))
	err = errors.Join(err, reader.Close())
	if err == nil && plumbing.ComputeHash(kind, data) != hash {
		err = errors.New("its content is not of its hash")
	}
	if err != nil {
		return nil, &damageError{fmt.Errorf("%s %s: %w", kind, hash, err)}
	}
	return data, nil
}

// verifyCommit verifies a commit: the header gpgsig signs all the rest, but for a signature of another hash's.
func verifyCommit(keys *trusted, raw []byte) (key string, err error) {
	head, body, found := bytes.Cut(raw, []byte("\n\n"))
	if !found {
		return "", errors.New("it is not signed")
	}
	var payload, signature bytes.Buffer
	within := "" // the header whose lines go on
	count := 0
	for line := range bytes.SplitSeq(append(head, '\n'), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		if line[0] != ' ' {
			name, _, _ := strings.Cut(string(line), " ")
			within = name
			if name == "gpgsig" {
				count++
			}
		}
		switch within {
		case "gpgsig":
			rest := bytes.TrimPrefix(line, []byte("gpgsig"))
			signature.Write(bytes.TrimPrefix(rest, []byte(" ")))
			signature.WriteByte('\n')
		case "gpgsig-sha256":
		default:
			payload.Write(line)
			payload.WriteByte('\n')
		}
	}
	if count > 1 {
		return "", errors.New("it has more than one signature")
	}
	payload.WriteByte('\n')
	payload.Write(body)
	return keys.verify(payload.Bytes(), signature.String())
}

// verifyTagObject verifies an annotated tag: its signature stands at its end. It must name the tag, else an older one could
// stand in for it, and the commit.
func verifyTagObject(keys *trusted, raw []byte, tag string, commit plumbing.Hash) (key string, err error) {
	at, count := len(raw), 0
	for _, begin := range []string{beginPGP, beginSSH} {
		for from := 0; ; {
			i := bytes.Index(raw[from:], []byte("\n"+begin))
			if i < 0 {
				break
			}
			at = from + i + 1
			from = at
			count++
		}
	}
	if count > 1 {
		return "", errors.New("it has more than one signature")
	}
	key, err = keys.verify(raw[:at], string(raw[at:]))
	if err != nil {
		return "", err
	}
	head, _, _ := bytes.Cut(raw, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if len(lines) < 3 || lines[0] != "object "+commit.String() || lines[1] != "type commit" {
		return "", errors.New("what is signed is not of the commit that it is at")
	}
	if lines[2] != "tag "+tag {
		return "", fmt.Errorf("what is signed is %s", source.Shown(lines[2]))
	}
	return key, nil
}
