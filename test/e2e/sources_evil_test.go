package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
	"flotilla.dev/flotilla/test/lab"
)

// evilContent is what hostile sources hold where it is theirs to say.
const evilContent = "canary-of-a-hostile-source"

// evil makes hostile sources, in several namespaces.
type evil struct {
	t       *testing.T
	fleet   *lab.Fleet
	sources []hostileSource
	objects strings.Builder
	pushed  int
	// archives are the hostile ones, made once.
	archives []hostileArchive
}

type hostileArchive struct {
	artifacttest.Hostile
	data []byte
}

// hostileSource is one, and a word that its failure has to have in it.
type hostileSource struct{ namespace, name, about, named string }

func newEvil(t *testing.T, fleet *lab.Fleet) *evil {
	e := &evil{t: t, fleet: fleet}
	for _, h := range artifacttest.HostileArchives() {
		e.archives = append(e.archives, hostileArchive{h, h.Data()})
	}
	return e
}

// add declares a source. The spec lacks its interval.
func (e *evil) add(kind, about, named, spec string) {
	n := len(e.sources)
	s := hostileSource{namespace: fmt.Sprintf("evil-%d", n%5), name: fmt.Sprintf("%s-%d", strings.ToLower(kind), n), about: about, named: named}
	e.sources = append(e.sources, s)
	fmt.Fprintf(&e.objects, "apiVersion: source.toolkit.fluxcd.io/v1\nkind: %s\nmetadata: {name: %s, namespace: %s}\nspec: {interval: 1h, %s}\n---\n",
		kind, s.name, s.namespace, spec)
}

func (e *evil) apply() {
	e.t.Helper()
	if err := e.fleet.Apply(e.t.Context(), e.objects.String()); err != nil {
		e.t.Fatal(err)
	}
}

// must have no error: what it is of, is the test's own.
func (e *evil) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// registry has every hostile archive as a layer.
func (e *evil) registry() {
	e.t.Helper()
	server := lab.TestRegistry(e.t, lab.RegistryConfig{})
	for i, h := range e.archives {
		repository := fmt.Sprintf("evil/%d", i)
		_, err := server.Push(repository, "latest", lab.OCIArtifact{
			ConfigMediaType: lab.FluxConfig, Config: "{}", Layers: []lab.OCILayer{{MediaType: lab.FluxContent, Content: h.data}},
		})
		e.must(err)
		e.add("OCIRepository", h.Name, h.Entry, fmt.Sprintf("url: %q, insecure: true", "oci://"+server.Name(repository)))
	}
}

// pushes offers the hub every hostile archive.
func (e *evil) pushes() {
	e.t.Helper()
	address, text, token, err := e.fleet.AdminAccess()
	e.must(err)
	pin, err := fleet.ParseDigest(text)
	e.must(err)
	conn, err := rpc.Dial(rpc.DialConfig{Address: address, TLS: identity.PinnedClientTLS(pin, nil), Token: token, UserAgent: "evil"})
	e.must(err)
	defer conn.Close()
	client := adminv1.NewArtifactsServiceClient(conn)
	for i, h := range e.archives {
		header := &adminv1.PushHeader{Kind: "ExternalArtifact", Namespace: "evil-0", Name: fmt.Sprintf("pushed-%d", i), Revision: "evil"}
		err := push(e.t.Context(), client, header, h.data)
		if err == nil || !strings.Contains(err.Error(), h.Entry) {
			e.t.Errorf("a push of %s: %v, want %q named", h.Name, err, h.Entry)
		}
		e.pushed++
	}
}

// push sends an archive as a client does that looks at nothing.
func push(ctx context.Context, client adminv1.ArtifactsServiceClient, header *adminv1.PushHeader, archive []byte) error {
	stream, err := client.Push(ctx)
	if err != nil {
		return err
	}
	err = stream.Send(&adminv1.PushRequest{Part: &adminv1.PushRequest_Header{Header: header}})
	for len(archive) > 0 && err == nil {
		n := min(len(archive), 256<<10)
		err = stream.Send(&adminv1.PushRequest{Part: &adminv1.PushRequest_Chunk{Chunk: archive[:n]}})
		archive = archive[n:]
	}
	_, err = stream.CloseAndRecv() // which says why no more was taken
	return err
}

// buckets have keys that are no paths.
func (e *evil) buckets() {
	e.t.Helper()
	server := lab.TestS3(e.t, lab.S3Config{Public: true})
	for i, keys := range [][]string{
		{"../escape.yaml"}, {"a/../../escape.yaml"}, {"/etc/passwd"}, {"a//b.yaml"}, {"a/./b.yaml"}, {`a\b.yaml`}, {"C:/x.yaml"},
		{strings.Repeat("n", 300)}, {strings.Repeat("d/", 100) + "x.yaml"}, {"a\nb.yaml"}, {"both", "both/in.yaml"},
	} {
		name := fmt.Sprintf("evil-%d", i)
		e.must(server.MakeBucket(name))
		e.must(server.Put(name, "good.yaml", "a: 1"))
		for _, key := range keys {
			e.must(server.Put(name, key, evilContent))
		}
		named := strings.Trim(fmt.Sprintf("%q", keys[0]), `"`)
		e.add("Bucket", keys[0], named[:min(len(named), 40)], fmt.Sprintf("endpoint: %q, bucketName: %s, insecure: true", server.Host(), name))
	}
}

// trees are such as Git would not make.
func (e *evil) trees() {
	e.t.Helper()
	for i, entry := range []struct{ path, shown string }{
		{"100644 ..", `..`}, {"100644 ../../escape.yaml", `../../escape.yaml`}, {"100644 /etc/passwd", `/etc/passwd`}, {"100644 a/b", `a/b`},
		{"100644 .GIT", `.GIT`}, {"100644 a\\b", `a\\b`}, {"100644 C:x", `C:x`}, {"100644 a\nb", `a\nb`}, {"100644 a\x1b[31m", `a\x1b[31m`},
		{"100644 " + strings.Repeat("n", 300), strings.Repeat("n", 40)},
	} {
		name := fmt.Sprintf("evil-%d", i)
		url, err := e.fleet.Git.NewRepo(name)
		e.must(err)
		repo, err := e.fleet.Git.Clone(e.t.Context(), name, e.t.TempDir())
		e.must(err)
		git := func(args ...string) string {
			e.t.Helper()
			out, err := repo.Git(e.t.Context(), args...)
			e.must(err)
			return strings.TrimSpace(out)
		}
		object := func(kind, content string) string {
			e.t.Helper()
			a := app{t: e.t}
			return git("hash-object", "-w", "--literally", "-t", kind, a.file(filepath.Join(e.t.TempDir(), "object"), content))
		}
		blob := object("blob", evilContent)
		var raw []byte
		_, err = fmt.Sscanf(blob, "%x", &raw)
		e.must(err)
		tree := object("tree", entry.path+"\x00"+string(raw))
		commit := object("commit", "tree "+tree+"\nauthor x <x@x> 1700000000 +0000\ncommitter x <x@x> 1700000000 +0000\n\nx\n")
		git("push", "--quiet", "--force", "origin", commit+":refs/heads/main")
		e.add("GitRepository", entry.path, entry.shown, fmt.Sprintf("url: %q, ref: {branch: main}", url))
	}
}

// charts are hostile archives, and an index that is none.
func (e *evil) charts() {
	e.t.Helper()
	server := lab.TestHelmRepo(e.t, lab.HelmRepoConfig{})
	e.fleetRepository("HelmRepository", "charts", fmt.Sprintf("url: %q", server.URL()))
	for i, h := range e.archives {
		if h.Limit || i%8 != 0 {
			continue
		}
		name := fmt.Sprintf("evil%d", i)
		e.must(server.Add(&lab.Chart{Name: name, Version: "1.0.0", Metadata: []byte("apiVersion: v2\nname: " + name + "\nversion: 1.0.0\n"), Archive: h.data}))
		n := len(e.sources)
		e.add("HelmChart", h.Name, "chart "+name+" 1.0.0: archive entry ", fmt.Sprintf("chart: %s, sourceRef: {kind: HelmRepository, name: charts-%d}", name, n%5))
	}
	index := lab.TestHelmRepo(e.t, lab.HelmRepoConfig{})
	index.SetIndex([]byte("a: &a [x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nentries: *c\n"))
	e.add("HelmRepository", "an index of aliases", index.URL(), fmt.Sprintf("url: %q", index.URL()))
}

// fleetRepository declares a source that is well, once in each namespace.
func (e *evil) fleetRepository(kind, name, spec string) {
	for n := range 5 {
		fmt.Fprintf(&e.objects, "apiVersion: source.toolkit.fluxcd.io/v1\nkind: %s\nmetadata: {name: %s-%d, namespace: evil-%d}\nspec: {interval: 1h, %s}\n---\n", kind, name, n, n, spec)
	}
}

// refused waits until every hostile source has failed and says what is wrong.
func (e *evil) refused() {
	e.t.Helper()
	lab.Eventually(e.t, patience, "every hostile source has an error", func() error {
		ready, err := readyOf(e.t, e.fleet)
		if err != nil {
			return err
		}
		var wrong []error
		for _, s := range e.sources {
			if got := ready[s.namespace+"/"+s.name]; !strings.HasPrefix(got, "False ") || !strings.Contains(got, s.named) {
				wrong = append(wrong, fmt.Errorf("%s/%s, %s: %.300s; want %q named", s.namespace, s.name, s.about, got, s.named))
			}
		}
		return errors.Join(wrong...)
	})
}
