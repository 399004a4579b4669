package git

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

const (
	// maxModules and maxModuleDepth bound the submodules of a source, and those in each other.
	maxModules     = 100
	maxModuleDepth = 10
	maxModuleFile  = 256 << 10
	modulesFile    = ".gitmodules"
)

// enter walks a submodule at the commit that it is pinned to.
func (m *module) enter(commit plumbing.Hash, at string, old *dir) (*dir, error) {
	if m.modules++; m.modules > maxModules {
		return nil, m.walker.upstream.Fail(source.KindLimit, "it has more than %d submodules", maxModules)
	}
	if m.depth >= maxModuleDepth {
		return nil, m.walker.upstream.Fail(source.KindLimit, "submodule %s is the %dth in one another; %d are allowed", source.Shown(at), m.depth+1, maxModuleDepth)
	}
	u, err := m.submodule(commit, at)
	if err != nil {
		return nil, err
	}
	d, err := m.walkSubmodule(u, commit, at, old)
	var failure *source.Error
	var damage *damageError
	switch {
	case err == nil:
		return d, nil
	case errors.As(err, &damage), errors.Is(err, errLost), m.ctx.Err() != nil:
		return nil, err
	case !errors.As(err, &failure):
		errors.As(m.git.explain(m.ctx, m.ctx, u, err), &failure)
	}
	return nil, m.walker.upstream.Fail(failure.Kind, "submodule %s: %s", source.Shown(at), failure)
}

func (m *module) walkSubmodule(u source.Upstream, commit plumbing.Hash, at string, old *dir) (*dir, error) {
	held, err := m.holdModule(stateName(u))
	if err != nil {
		return nil, err
	}
	mirror := held.mirror
	if !mirror.has(commit) {
		if err := m.git.fetchCommit(m.ctx, u, held.state, mirror, commit); err != nil {
			return nil, err
		}
	}
	if err := m.checkModules(); err != nil {
		return nil, err
	}
	found, err := object.GetCommit(mirror.storage, commit)
	if err != nil {
		return nil, &damageError{fmt.Errorf("submodule %s, commit %s: %w", source.Shown(at), commit, err)}
	}
	m.mirrors[at] = mirror
	inside := module{walker: m.walker, mirror: mirror, upstream: u, root: found.TreeHash, at: at, depth: m.depth + 1}
	return inside.walk(found.TreeHash, at, old)
}

// heldModule is the mirror of a submodule, held until the walk ends: it may be there again, in itself even. Nobody else
// waits for one that holds others: they are of one source's mirror, which is held.
type heldModule struct {
	state  *upstream
	mirror *mirror
}

func (w *walker) holdModule(name string) (heldModule, error) {
	if held, is := w.held[name]; is {
		return held, nil
	}
	state, err := w.git.hold(w.ctx, name)
	if err != nil {
		return heldModule{}, err
	}
	mirror, err := w.git.openMirror(name)
	if err != nil {
		state.unlock()
		return heldModule{}, err
	}
	w.held[name] = heldModule{state, mirror}
	return w.held[name], nil
}

// submodule is the upstream of the one at a path. What says who asks goes along only to the host that the repository is
// at: a submodule is named by whoever may write to it.
func (m *module) submodule(commit plumbing.Hash, at string) (source.Upstream, error) {
	if m.urls == nil {
		if err := m.readModules(); err != nil {
			return source.Upstream{}, err
		}
	}
	inside := strings.TrimPrefix(at, m.at+"/")
	address, named := m.urls[inside]
	if !named {
		return source.Upstream{}, m.walker.upstream.Fail(source.KindContent, "submodule %s has no url in .gitmodules", source.Shown(at))
	}
	resolved, err := resolveModule(specOf(m.upstream).URL, address)
	if err != nil {
		return source.Upstream{}, m.walker.upstream.Fail(source.KindContent, "submodule %s: its url in .gitmodules %s", source.Shown(at), err)
	}
	from := specOf(m.upstream)
	spec := flux.GitRepository{URL: resolved, Interval: from.Interval, Ref: &flux.GitReference{Commit: commit.String()}, ProxySecretRef: from.ProxySecretRef}
	u := source.Upstream{Kind: m.upstream.Kind, URL: resolved, Party: m.upstream.Party, Timeout: m.upstream.Timeout, Secrets: source.Secrets{}}
	here := sameHost(from.URL, resolved)
	// A proxy of the source's own goes along everywhere; one that an administrator lends, to the host that it is lent for.
	if proxy := m.upstream.Secrets[proxySecretRef]; proxy != nil && (here || from.ProxySecretRef != nil) {
		u.Secrets[proxySecretRef] = proxy
	}
	within := m.upstream.Within // or the repository of another tenant would be had with what an administrator gave for this one
	if here && (within == "" || fleet.IsWithin(within, resolved)) {
		u.Secrets, u.Within, u.Identity, spec.Provider = m.upstream.Secrets, within, m.upstream.Identity, from.Provider
	}
	u.Spec = spec
	// With a credential, or a proxy, and without it are two conversations: a repository elsewhere may name the same submodule.
	credential, proxied := u.Identity || u.Secrets[secretRef] != nil, u.Secrets[proxySecretRef] != nil
	u.Remote = fmt.Sprintf("%s%s%s %t %t %s", m.walker.upstream.Remote, submoduleMark, stateName(m.walker.upstream), credential, proxied, resolved)
	return u, nil
}

// submoduleMark stands in the Remote of a submodule, between the source's and its own.
const submoduleMark = "\x00submodule\x00"

// readModules reads the URLs of the repository's submodules.
func (m *module) readModules() error {
	m.urls = map[string]string{}
	tree, err := object.GetTree(m.mirror.storage, m.root)
	if err != nil {
		return &damageError{fmt.Errorf("tree %s: %w", m.root, err)}
	}
	e, err := tree.FindEntry(modulesFile)
	if err != nil || !isFile(e.Mode) {
		return nil // enter says what is missing
	}
	path := m.at
	if path == "" {
		path = "."
	}
	m.mirrors[m.at] = m.mirror
	data, err := m.read(&dir{path: path, module: m.at}, modulesFile, e.Hash, maxModuleFile)
	if err != nil {
		return err
	}
	m.urls = modulesOf(data)
	return nil
}

// modulesOf are the URLs by path that a .gitmodules file names. One that is malformed names none.
func modulesOf(data []byte) (urls map[string]string) {
	urls = map[string]string{}
	modules := config.NewModules()
	if modules.Unmarshal(data) != nil {
		return urls
	}
	for _, module := range modules.Submodules {
		urls[path.Clean(module.Path)] = module.URL
	}
	return urls
}

// resolveModule is the address of a submodule of the repository at base: a URL of its own, or a path that begins with ./ or
// ../ (gitsubmodules(7)).
func resolveModule(base, address string) (string, error) {
	if strings.HasPrefix(address, "./") || strings.HasPrefix(address, "../") {
		parent, err := url.Parse(base)
		if err != nil {
			return "", errors.New("follows from no URL")
		}
		if strings.Count(address, "../") > strings.Count(strings.Trim(parent.Path, "/"), "/")+1 {
			return "", fmt.Errorf("%q leads above the server's root", source.Shown(address))
		}
		parent.Path = path.Join("/", parent.Path, address)
		address = parent.String()
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Scheme == "" {
		if host, rest, scp := strings.Cut(address, ":"); scp && !strings.Contains(host, "/") {
			address = "ssh://" + host + "/" + strings.TrimPrefix(rest, "/") // Git's short form
		}
	}
	if parsed, err = url.Parse(address); err == nil && parsed.Scheme != "ssh" {
		parsed.User = nil // whoever wrote it there cannot have meant it for everybody
		address = parsed.String()
	}
	if problem := flux.URLProblem(address); problem != "" {
		return "", fmt.Errorf("%s (%q)", problem, source.Shown(source.Redact(address)))
	}
	return address, nil
}

// sameHost reports whether two URLs are of one server, by the same protocol and port.
func sameHost(a, b string) bool {
	first, err := url.Parse(a)
	second, err2 := url.Parse(b)
	return err == nil && err2 == nil && first.Scheme == second.Scheme && strings.EqualFold(first.Hostname(), second.Hostname()) && first.Port() == second.Port()
}
