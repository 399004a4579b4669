package lab

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// CommitSigned is Commit with a signature.
func (r *Repo) CommitSigned(ctx context.Context, message string, signer Signer) (hash string, err error) {
	if _, err := r.Commit(ctx, message); err != nil {
		return "", err
	}
	plain, err := r.object(ctx, "commit", "HEAD")
	if err != nil {
		return "", err
	}
	signature, err := signer.Sign([]byte(plain))
	if err != nil {
		return "", err
	}
	// A header of many lines: all but the first are indented.
	header := "gpgsig " + strings.ReplaceAll(strings.TrimSpace(signature), "\n", "\n ") + "\n"
	head, body, _ := strings.Cut(plain, "\n\n")
	if hash, err = r.write(ctx, "commit", head+"\n"+header+"\n"+body); err != nil {
		return "", err
	}
	_, err = r.Git(ctx, "reset", "--quiet", "--soft", hash)
	return hash, err
}

// TagSigned makes an annotated tag of the current commit with a signature, and returns the tag's own hash. A nil signer
// leaves the tag without one.
func (r *Repo) TagSigned(ctx context.Context, name, message string, signer Signer) (hash string, err error) {
	if _, err := r.Git(ctx, "tag", "--force", "--annotate", "--message", message, name); err != nil {
		return "", err
	}
	if signer == nil {
		return r.Git(ctx, "rev-parse", "refs/tags/"+name)
	}
	plain, err := r.object(ctx, "tag", "refs/tags/"+name)
	if err != nil {
		return "", err
	}
	signature, err := signer.Sign([]byte(plain))
	if err != nil {
		return "", err
	}
	if hash, err = r.write(ctx, "tag", plain+strings.TrimSpace(signature)+"\n"); err != nil {
		return "", err
	}
	_, err = r.Git(ctx, "update-ref", "refs/tags/"+name, hash)
	return hash, err
}

// object is an object's content to the last byte, which is a line break.
func (r *Repo) object(ctx context.Context, kind, name string) (string, error) {
	content, err := r.Git(ctx, "cat-file", kind, name)
	return content + "\n", err
}

// write makes an object and returns its hash.
func (r *Repo) write(ctx context.Context, kind, content string) (hash string, err error) {
	cmd := exec.CommandContext(ctx, "git", "hash-object", "-t", kind, "-w", "--stdin")
	cmd.Dir, cmd.Env = r.Dir, gitEnv()
	cmd.Stdin = strings.NewReader(content)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git hash-object: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
