package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"flotilla.dev/flotilla/pkg/fleet"
)

// listing is what an upstream said it has.
type listing struct {
	refs         map[string]plumbing.Hash
	peeled       map[string]plumbing.Hash
	capabilities *capability.List
	// session goes on with the conversation: at the address that a redirect led to.
	session transport.UploadPackSession
}

// list asks the upstream for its refs: the one request of Resolve.
func (g *Git) list(ctx context.Context, u Upstream, state *upstream) (*listing, error) {
	session, err := g.session(u, state)
	if err != nil {
		return nil, err
	}
	advertised, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, err
	}
	return &listing{advertised.References, advertised.Peeled, advertised.Capabilities, session}, nil
}

// session is a conversation with the upstream. It holds nothing open.
func (g *Git) session(u Upstream, state *upstream) (transport.UploadPackSession, error) {
	client, err := g.client(u, state)
	if err != nil {
		return nil, err
	}
	endpoint, err := transport.NewEndpoint(u.URL)
	if err != nil {
		return nil, u.fail(KindInvalid, "spec.url is not the address of a repository")
	}
	var auth transport.AuthMethod
	if !u.anonymous() {
		auth = &githttp.BasicAuth{Username: u.Credential.Username, Password: u.Credential.Password}
	}
	return githttp.NewClient(client.Client).NewUploadPackSession(endpoint, auth)
}

// client returns the upstream's HTTP client, made anew when the authorities to trust have changed.
func (g *Git) client(u Upstream, state *upstream) (*client, error) {
	var trusted fleet.Digest
	if u.Credential != nil {
		trusted = fleet.DigestOf(u.Credential.CAFile)
	}
	state.mu.Lock()
	defer state.mu.Unlock()
	if state.client == nil || state.trusted != trusted {
		client, err := newClient(g.config.Addresses, g.config.Limits, u.Credential, g.metrics)
		if err != nil {
			return nil, u.fail(KindInvalid, "%s", err)
		}
		state.client, state.trusted = client, trusted
	}
	return state.client, nil
}

// find returns the commit that the spec points to, and what to ask the server for to get it: the hash of the ref, which
// of an annotated tag is the tag's.
func (l *listing) find(u Upstream) (commit, want plumbing.Hash, err error) {
	name := "refs/heads/" + u.Ref.Branch
	switch {
	case u.Ref.Tag != "":
		name = "refs/tags/" + u.Ref.Tag
	case u.Ref.Branch == "":
		name += defaultBranch
	}
	want, found := l.refs[name]
	if !found {
		return commit, want, u.fail(KindRef, "%s not found; check spec.ref", u.Ref)
	}
	if commit, found = l.peeled[name]; found {
		return commit, want, nil
	}
	return want, want, nil
}

// wanted is what to ask the server for so that the commit comes with it. Servers give what they list, and anything
// else only if they say so; where they do not, all of the branch, or of the repository, is fetched.
func (l *listing) wanted(u Upstream, commit plumbing.Hash) []plumbing.Hash {
	var all []plumbing.Hash
	for name, hash := range l.refs {
		if hash == commit || l.peeled[name] == commit {
			return []plumbing.Hash{hash}
		}
		if u.Ref.Branch == "" || name == "refs/heads/"+u.Ref.Branch {
			all = append(all, hash)
		}
	}
	if l.capabilities.Supports(capability.AllowReachableSHA1InWant) || l.capabilities.Supports("allow-any-sha1-in-want") {
		return []plumbing.Hash{commit}
	}
	return all
}

// transfer fetches what the mirror lacks of the commit.
func (g *Git) transfer(ctx context.Context, u Upstream, state *upstream, m *mirror, commit plumbing.Hash) error {
	state.mu.Lock()
	list, wants := state.list, []plumbing.Hash{state.want}
	known := list != nil && state.commit == commit
	state.mu.Unlock()
	if !known {
		var err error
		if list, err = g.list(ctx, u, state); err != nil {
			return err
		}
		if wants = list.wanted(u, commit); len(wants) == 0 {
			return u.gone()
		}
	}
	haves, err := m.haves()
	if err != nil {
		return err
	}
	request := packp.NewUploadPackRequestFromCapabilities(list.capabilities)
	request.Wants, request.Haves = wants, haves
	if list.capabilities.Supports(capability.NoProgress) {
		_ = request.Capabilities.Set(capability.NoProgress) // it takes no argument, so it cannot fail
	}
	response, err := list.session.UploadPack(ctx, request)
	if err != nil && !errors.Is(err, transport.ErrEmptyUploadPackRequest) {
		return refused(ctx, u, err)
	}
	if err == nil {
		err = m.receive(ctx, demultiplex(request.Capabilities, response), g.config.Limits)
		err = errors.Join(err, response.Close())
		if err != nil {
			return err
		}
	}
	return m.mark(u, commit)
}

// refused words that a server would not give what was asked for, which this protocol has no code for.
func refused(ctx context.Context, u Upstream, err error) error {
	var unexpected *plumbing.UnexpectedError
	if ctx.Err() != nil || errors.As(err, &unexpected) || isStatus(err) {
		return err // the connection, or a code of HTTP
	}
	return u.gone()
}

// isStatus reports whether an error is a code of HTTP that go-git knows.
func isStatus(err error) bool {
	return errors.Is(err, transport.ErrAuthenticationRequired) || errors.Is(err, transport.ErrAuthorizationFailed) ||
		errors.Is(err, transport.ErrRepositoryNotFound)
}

// gone says that the commit to fetch is not to be had.
func (u Upstream) gone() error {
	if u.Ref.Commit != "" {
		return u.fail(KindRef, "%s not found; check spec.ref", u.Ref)
	}
	return u.fail(KindRef, "%s has moved since it was looked at; it is looked at again", u.Ref)
}

// demultiplex returns the pack out of an answer that may have progress messages between.
func demultiplex(capabilities *capability.List, from io.Reader) io.Reader {
	switch {
	case capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, from)
	case capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, from)
	}
	return from
}

// receive takes a pack into the mirror, once it is known to keep within the limits.
func (m *mirror) receive(ctx context.Context, pack io.Reader, limits Limits) (err error) {
	file, err := os.CreateTemp(m.dir, "received-")
	if err != nil {
		return &diskError{err}
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	written, err := io.Copy(file, pack)
	if err != nil {
		return fmt.Errorf("receive pack: %w", err)
	}
	if written == 0 {
		return nil
	}
	if err := checkPack(ctx, file, limits); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return &diskError{err}
	}
	return m.add(file)
}
