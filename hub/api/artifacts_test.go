package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func pushHeader() *adminv1.PushHeader {
	return &adminv1.PushHeader{Kind: "ExternalArtifact", Namespace: "apps", Name: "pushed", Revision: "main@sha1:1234", Source: "https://git.example.com/app"}
}

// push sends a header and an archive in chunks.
func (b *bundle) push(header *adminv1.PushHeader, archive []byte) (*adminv1.PushResponse, error) {
	b.t.Helper()
	stream, err := adminv1.NewArtifactsServiceClient(b.conn).Push(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	requests := []*adminv1.PushRequest{{Part: &adminv1.PushRequest_Header{Header: header}}}
	for chunk := range slices.Chunk(archive, 100_000) {
		requests = append(requests, &adminv1.PushRequest{Part: &adminv1.PushRequest_Chunk{Chunk: chunk}})
	}
	for _, request := range requests {
		if stream.Send(request) != nil { // the answer says why
			break
		}
	}
	return stream.CloseAndRecv()
}

func TestPushedArchiveBecomesTheArtifact(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	archive := artifacttest.Archive(map[string]string{"a.yaml": "a: 1\n", "sub/b.yaml": "b: 1\n", "run.sh*": "#!", "big.txt": artifacttest.Noise(900 << 10)})
	header := pushHeader()
	header.Annotations = map[string]string{"org.example/build": "7"}
	response, err := b.push(header, archive)
	if err != nil {
		t.Fatal(err)
	}
	if response.GetChange() != adminv1.Change_CHANGE_CREATED || response.GetFiles() != 4 || response.GetSize() != 12+900<<10 || response.GetRevision() != "main@sha1:1234" {
		t.Errorf("response %v", response)
	}
	states, err := b.SourceStates(b.ctx, "ExternalArtifact")
	if err != nil {
		t.Fatal(err)
	}
	state := states["apps/pushed"]
	tree, err := artifact.Load(b.ctx, b.Blobs(), state.TreeBlob)
	if err != nil || tree.Digest().String() != response.GetDigest() || tree.Digest() != state.Tree {
		t.Fatalf("tree %v, error %v", tree, err)
	}
	for _, file := range tree.Files {
		if blob, err := b.Blobs().Get(b.ctx, file.Digest); err != nil || int64(len(blob)) != file.Size {
			t.Errorf("%s: %d bytes, error %v", file.Path, len(blob), err)
		}
	}
	shown := b.get("ExternalArtifact", "apps", "pushed", "")
	if shown.Status.Artifact.Revision != "main@sha1:1234" || !strings.HasPrefix(shown.condition("Ready"), "True ") {
		t.Errorf("shown %+v", shown.Status)
	}
	if response, err = b.push(header, archive); err != nil || response.GetChange() != adminv1.Change_CHANGE_UNCHANGED {
		t.Errorf("the same again: %v, error %v", response.GetChange(), err)
	}
	header.Revision = "main@sha1:5678"
	if response, err = b.push(header, archive); err != nil || response.GetChange() != adminv1.Change_CHANGE_CONFIGURED {
		t.Errorf("another revision: %v, error %v", response.GetChange(), err)
	}
}

func TestPushIsRefusedWhereItMakesNoSense(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	archive := artifacttest.Archive(map[string]string{"a.yaml": "a: 1\n"})
	for words, change := range map[string]func(*adminv1.PushHeader){
		"only an ExternalArtifact takes what is pushed": func(h *adminv1.PushHeader) { h.Kind = "GitRepository" },
		"metadata.name":             func(h *adminv1.PushHeader) { h.Name = "../x" },
		"metadata.namespace":        func(h *adminv1.PushHeader) { h.Namespace = "" },
		"the revision is missing":   func(h *adminv1.PushHeader) { h.Revision = "" },
		"the revision is longer":    func(h *adminv1.PushHeader) { h.Revision = strings.Repeat("r", 513) },
		"or has spaces or control":  func(h *adminv1.PushHeader) { h.Revision = "main\x1b[2J" },
		"the source is longer":      func(h *adminv1.PushHeader) { h.Source = strings.Repeat("s", 2049) },
		"the source holds a passwo": func(h *adminv1.PushHeader) { h.Source = "https://user:hunter2@example.com/x" },
		"there are more than 64 an": func(h *adminv1.PushHeader) {
			h.Annotations = map[string]string{"a": strings.Repeat("a", 4096)}
		},
		"is not the key of an annotation": func(h *adminv1.PushHeader) { h.Annotations = map[string]string{"a b": ""} },
	} {
		header := pushHeader()
		change(header)
		_, err := b.push(header, archive)
		wantCode(t, err, codes.InvalidArgument, words)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error gives a password away: %v", err)
		}
	}
	stream, err := adminv1.NewArtifactsServiceClient(b.conn).Push(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&adminv1.PushRequest{Part: &adminv1.PushRequest_Chunk{Chunk: archive}}) // the answer says why
	_, err = stream.CloseAndRecv()
	wantCode(t, err, codes.InvalidArgument, "the first message is not a header")
	_, err = b.push(pushHeader(), artifacttest.Archive(nil))
	wantCode(t, err, codes.InvalidArgument, "there is no file in the archive")
	if _, err := b.Object(b.ctx, "ExternalArtifact", "apps", "pushed"); err == nil {
		t.Error("a refused push declared the object")
	}
	_, err = b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "ExternalArtifact", Namespace: "apps", Name: "pushed"})
	wantCode(t, err, codes.InvalidArgument, "what it has is pushed")
}

func TestHostileArchivesArePushedInVain(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	good := artifacttest.Archive(map[string]string{"a.yaml": "a: 1\n"})
	if _, err := b.push(pushHeader(), good); err != nil {
		t.Fatal(err)
	}
	for _, hostile := range artifacttest.HostileArchives() {
		header := pushHeader()
		header.Revision = "main@sha1:bad"
		_, err := b.push(header, hostile.Data())
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), hostile.Entry) {
			t.Errorf("%s: %v; want it refused, naming %s", hostile.Name, err, hostile.Entry)
		}
	}
	if shown := b.get("ExternalArtifact", "apps", "pushed", ""); shown.Status.Artifact.Revision != "main@sha1:1234" {
		t.Errorf("it moved to %s", shown.Status.Artifact.Revision)
	}
}

func TestPushThatBreaksOffChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	ctx, cancel := context.WithCancel(b.ctx)
	stream, err := adminv1.NewArtifactsServiceClient(b.conn).Push(ctx)
	if err != nil {
		t.Fatal(err)
	}
	archive := artifacttest.Archive(map[string]string{"a.yaml": "a: 1\n"})
	for _, request := range []*adminv1.PushRequest{
		{Part: &adminv1.PushRequest_Header{Header: pushHeader()}}, {Part: &adminv1.PushRequest_Chunk{Chunk: archive[:len(archive)/2]}},
	} {
		if err := stream.Send(request); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if _, err := stream.CloseAndRecv(); status.Code(err) != codes.Canceled {
		t.Errorf("broken off: %v", err)
	}
	if _, err := b.push(pushHeader(), archive[:len(archive)/2]); status.Code(err) != codes.InvalidArgument {
		t.Errorf("half an archive: %v", err)
	}
	if _, err := b.Object(b.ctx, "ExternalArtifact", "apps", "pushed"); err == nil {
		t.Error("a push that broke off declared the object")
	}
}

func TestPushesOfOneRevisionAtOnceComeToOneArtifact(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	archive := artifacttest.Archive(map[string]string{"a.yaml": "a: 1\n", "b.yaml": "b: 1\n"})
	var group sync.WaitGroup
	for range 8 { // more than there is room for
		group.Go(func() {
			if _, err := b.push(pushHeader(), archive); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	events, _, err := b.Events(b.ctx, fleet.EventQuery{Kind: "ExternalArtifact", Limit: 100})
	if err != nil || len(events) != 1 {
		t.Errorf("%d events of one artifact, error %v", len(events), err)
	}
}

func TestDryRunOfAPushKeepsNoBlob(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	header := pushHeader()
	header.DryRun = true
	response, err := b.push(header, artifacttest.Archive(map[string]string{"a.yaml": "a: 1\n"}))
	if err != nil || response.GetChange() != adminv1.Change_CHANGE_CREATED || response.GetFiles() != 1 {
		t.Fatalf("%v, error %v", response, err)
	}
	missing, err := b.Blobs().Missing(b.ctx, []fleet.Digest{fleet.DigestOf([]byte("a: 1\n"))})
	if err != nil || len(missing) != 1 {
		t.Errorf("the dry run kept the file; error %v", err)
	}
	_, err = b.push(header, []byte("no archive"))
	wantCode(t, err, codes.InvalidArgument, "archive")
}

func TestDeclaredArtifactKeepsItsSpecWhenPushedTo(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"ExternalArtifact","metadata":{"name":"pushed","namespace":"apps","labels":{"a":"b"}},"spec":{"sourceRef":{"kind":"Pipeline","name":"p"}}}`)
	if shown := b.get("ExternalArtifact", "apps", "pushed", ""); !strings.HasPrefix(shown.condition("Ready"), "Unknown ") || !strings.Contains(shown.condition("Ready"), "push") {
		t.Errorf("before the first push: %+v", shown.Status)
	}
	response, err := b.push(pushHeader(), artifacttest.Archive(map[string]string{"a.yaml": "a: 1\n"}))
	if err != nil || response.GetChange() != adminv1.Change_CHANGE_CONFIGURED {
		t.Fatalf("%v, error %v", response, err)
	}
	var kept struct {
		Metadata struct{ Labels map[string]string }
		Spec     json.RawMessage
	}
	if err := json.Unmarshal(response.GetObject(), &kept); err != nil || kept.Metadata.Labels["a"] != "b" || !bytes.Contains(kept.Spec, []byte("Pipeline")) {
		t.Errorf("%s, error %v", response.GetObject(), err)
	}
}
