package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"flotilla.dev/flotilla/hub/source"
)

// listing is what an upstream said it has.
type listing struct {
	refs         map[string]plumbing.Hash
	peeled       map[string]plumbing.Hash
	capabilities *capability.List
	// session goes on with the conversation: at the address that a redirect led to.
	session transport.UploadPackSession
	// begun is when it was asked for.
	begun time.Time
}

// list asks the upstream for its refs: the one request of Resolve.
func (g *Git) list(ctx context.Context, u source.Upstream, state *upstream) (*listing, error) {
	session, err := g.session(u, state)
	if err != nil {
		return nil, err
	}
	done, err := g.turn(ctx, u, state)
	if err != nil {
		return nil, err
	}
	defer done()
	advertised, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, err
	}
	return &listing{refs: advertised.References, peeled: advertised.Peeled, capabilities: advertised.Capabilities, session: session}, nil
}

// turn waits for a place at the upstream's host until done is called, with what it may need to say who asks.
func (g *Git) turn(ctx context.Context, u source.Upstream, state *upstream) (done func(), err error) {
	state.mu.Lock()
	authorizer := state.authorizer
	state.mu.Unlock()
	if authorizer != nil {
		if err := authorizer.refresh(ctx, u); err != nil {
			return nil, err
		}
	}
	return g.config.Network.Turn(ctx, u)
}

// session is a conversation with the upstream. It holds nothing open.
func (g *Git) session(u source.Upstream, state *upstream) (transport.UploadPackSession, error) {
	client, credential, err := g.client(u, state)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(specOf(u).URL, "ssh://") {
		return &sshSession{git: g, upstream: u, credential: credential}, nil
	}
	endpoint, err := transport.NewEndpoint(specOf(u).URL)
	if err != nil {
		return nil, u.Fail(source.KindInvalid, "spec.url is not the address of a repository")
	}
	return githttp.NewClient(client).NewUploadPackSession(endpoint, nil)
}

// client returns the upstream's HTTP client and its credential, which its state keeps: a Remote has one of each.
func (g *Git) client(u source.Upstream, state *upstream) (*http.Client, *credential, error) {
	state.mu.Lock()
	defer state.mu.Unlock()
	if state.client != nil {
		return state.client, state.credential, nil
	}
	credential, err := credentialOf(u)
	if err != nil {
		return nil, nil, err
	}
	client := g.config.Network.Client(source.ClientConfig{TLS: credential.trust, Proxy: credential.proxy, Route: u.Route(), Limit: g.limit})
	state.authorizer = newAuthorizer(client.Transport, *credential)
	switch {
	case credential.app != nil:
		api := g.config.Network.Client(source.ClientConfig{TLS: credential.trust, Proxy: credential.proxy, Route: u.Route(), Limit: func(*http.Request) (int64, string) {
			return maxTokenAnswer, "the answer to a question for a token has more than 1 MiB"
		}})
		state.authorizer.fetch = (&appToken{app: credential.app, network: g.config.Network, client: api}).token
	case specOf(u).Provider == "azure":
		state.authorizer.fetch, state.authorizer.bearer = g.azureToken, true
	}
	client.Transport = state.authorizer
	state.client, state.credential = client, credential
	return client, credential, nil
}

// maxTokenAnswer bounds what a service says that gives tokens.
const maxTokenAnswer = 1 << 20

// maxListing bounds the list of refs: some 400,000 of them.
const maxListing = 32 << 20

// limit is how much an answer may have: the list of refs is had by GET, objects by POST.
func (g *Git) limit(req *http.Request) (int64, string) {
	if req.Method == http.MethodGet {
		return maxListing, fmt.Sprintf("its list of branches and tags has more than %d MiB", maxListing>>20)
	}
	return g.config.Limits.Download, fmt.Sprintf("its objects have more than %d MiB; a source may have that much", g.config.Limits.Download>>20)
}

// listed is what the server lists that the commit comes with: an annotated tag has a hash of its own.
func (l *listing) listed(commit plumbing.Hash) (want plumbing.Hash, found bool) {
	for name, hash := range l.refs {
		if hash == commit || l.peeled[name] == commit {
			return hash, true
		}
	}
	return want, false
}

// wanted is what to ask the server for so that the commit comes with it. Servers give what they list, and anything
// else only if they say so; where they do not, all of the branch, or of the repository, is fetched.
func (l *listing) wanted(u source.Upstream, commit plumbing.Hash) []plumbing.Hash {
	if want, found := l.listed(commit); found {
		return []plumbing.Hash{want}
	}
	var all []plumbing.Hash
	branch := refOf(u).Branch
	for name, hash := range l.refs {
		if branch == "" || name == branchPrefix+branch {
			all = append(all, hash)
		}
	}
	if l.capabilities.Supports(capability.AllowReachableSHA1InWant) || l.capabilities.Supports("allow-any-sha1-in-want") {
		return []plumbing.Hash{commit}
	}
	return all
}

// fetchCommit fetches what the mirror lacks of the commit.
func (g *Git) fetchCommit(ctx context.Context, u source.Upstream, state *upstream, m *mirror, commit plumbing.Hash) error {
	state.mu.Lock()
	list := state.list
	state.mu.Unlock()
	var wants []plumbing.Hash
	if list != nil {
		if want, found := list.listed(commit); found {
			wants = []plumbing.Hash{want}
		}
	}
	if len(wants) == 0 {
		var err error
		if list, err = g.list(ctx, u, state); err != nil {
			return err
		}
		if wants = list.wanted(u, commit); len(wants) == 0 {
			return gone(u)
		}
	}
	if err := g.fetchObjects(ctx, u, state, m, list, wants); err != nil {
		return err
	}
	return m.mark(u, commit)
}

// fetchObjects fetches what is wanted and the mirror lacks.
func (g *Git) fetchObjects(ctx context.Context, u source.Upstream, state *upstream, m *mirror, list *listing, wants []plumbing.Hash) error {
	haves, err := m.haves()
	if err != nil {
		return err
	}
	request := packp.NewUploadPackRequestFromCapabilities(list.capabilities)
	request.Wants, request.Haves = wants, haves
	if list.capabilities.Supports(capability.NoProgress) {
		_ = request.Capabilities.Set(capability.NoProgress) // it takes no argument, so it cannot fail
	}
	if request.IsEmpty() {
		return nil // the mirror has it all
	}
	done, err := g.turn(ctx, u, state)
	if err != nil {
		return err
	}
	defer done()
	response, err := list.session.UploadPack(ctx, request)
	if errors.Is(err, transport.ErrEmptyUploadPackRequest) {
		return u.Fail(source.KindServer, "the server's answer ended before it began; it is tried again")
	}
	if err != nil {
		return refused(ctx, u, err)
	}
	err = m.receive(ctx, demultiplex(request.Capabilities, response), g.config.Limits)
	if err = errors.Join(err, response.Close()); err != nil {
		return err
	}
	size, _ := measure(m.dir)
	g.noteMirror(filepath.Base(m.dir), size)
	g.makeRoom()
	return nil
}

// refused words that a server would not give what was asked for, which this protocol has no code for, only words: of Git
// itself, of Gerrit, of Azure. Anything else that ends an answer is as it says.
func refused(ctx context.Context, u source.Upstream, err error) error {
	for _, words := range []string{"not our ref", "not valid", "does not exist", "unadvertised object"} {
		if ctx.Err() == nil && strings.Contains(err.Error(), words) {
			return gone(u)
		}
	}
	return err
}

// gone says that the commit to fetch is not to be had.
func gone(u source.Upstream) error {
	if refOf(u).Commit != "" {
		return u.Fail(source.KindRef, "%s not found; check spec.ref", refOf(u))
	}
	return u.Fail(source.KindRef, "%s has moved since it was looked at; it is looked at again", refOf(u))
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
		return &source.StoreFailure{Err: err}
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
	return m.add(ctx, file)
}
