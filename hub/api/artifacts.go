package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"google.golang.org/grpc"

	treeartifact "flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// Blobs is what the services need of the blob store.
type Blobs interface {
	treeartifact.Store
	// PutNodes stores the nodes of a Tree, with which its files are kept.
	PutNodes(ctx context.Context, nodes []treeartifact.Node) error
}

// artifacts takes what pipelines push.
type artifacts struct {
	adminv1.UnimplementedArtifactsServiceServer
	*Server
	// turns has room for each push that is under way: one holds some 40 MiB.
	turns chan struct{}
}

// Bounds of a push.
const (
	maxPushes          = 4
	maxPushTime        = 10 * time.Minute
	maxPushPause       = time.Minute
	maxPushChunk       = 512 << 10
	maxRevision        = 512
	maxSourceAddress   = 2048
	maxAnnotations     = 64
	maxAnnotationBytes = 4096
)

func newArtifacts(s *Server) *artifacts {
	return &artifacts{Server: s, turns: make(chan struct{}, maxPushes)}
}

// Push stores the files of an archive, and then makes them the artifact.
func (s *artifacts) Push(stream grpc.ClientStreamingServer[adminv1.PushRequest, adminv1.PushResponse]) error {
	ctx, cancel := context.WithTimeout(stream.Context(), maxPushTime)
	defer cancel()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	header := first.GetHeader()
	object, err := pushedTo(header)
	if err != nil {
		return err
	}
	metadata, err := pushedMetadata(header)
	if err != nil {
		return fmt.Errorf("push %s: %w", object, err)
	}
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return fmt.Errorf("push %s: %w: other pushes are under way", object, fleet.ErrUnavailable)
	}
	tree, treeBlob, err := s.take(ctx, stream, header.GetDryRun())
	if err != nil {
		return fmt.Errorf("push %s: %w", object, err)
	}
	pushed := fleet.Pushed{Revision: fleet.Revision(header.GetRevision()), Tree: tree.Digest(), TreeBlob: treeBlob, Files: len(tree.Files),
		Detail: fleet.ArtifactDetail{Size: tree.Size(), Metadata: metadata}}
	stored, change, err := s.Store.PushArtifact(ctx, s.Caller(ctx), object, pushed, header.GetDryRun())
	if err != nil {
		return err
	}
	raw, err := json.Marshal(stored)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&adminv1.PushResponse{
		Object: raw, Change: changes[change], Revision: string(pushed.Revision), Digest: pushed.Tree.String(),
		Files: uint32(pushed.Files), Size: uint64(pushed.Detail.Size), Warnings: tree.Warnings,
	})
}

// take stores the files that come and the Tree of them; of a dry run it only reads them.
func (s *artifacts) take(ctx context.Context, stream grpc.ClientStreamingServer[adminv1.PushRequest, adminv1.PushResponse], dryRun bool) (*treeartifact.Tree, fleet.Digest, error) {
	var blobs Blobs = s.Blobs
	if dryRun {
		blobs = discarded{}
	}
	tree, err := treeartifact.Unpack(ctx, blobs, &chunks{ctx: ctx, stream: stream, pause: maxPushPause}, treeartifact.ExtractLimits{}, nil)
	if err != nil {
		return nil, fleet.Digest{}, err
	}
	if len(tree.Files) == 0 {
		return nil, fleet.Digest{}, fmt.Errorf("%w: there is no file in the archive", fleet.ErrInvalid)
	}
	nodes := tree.Nodes()
	return tree, nodes[len(nodes)-1].Digest, blobs.PutNodes(ctx, nodes)
}

// pushedTo is the object that a header names, declared as it is when it is not there yet.
func pushedTo(header *adminv1.PushHeader) (*resource.Object, error) {
	switch {
	case header == nil:
		return nil, fmt.Errorf("push: %w: the first message is not a header", fleet.ErrInvalid)
	case header.GetKind() != resource.ExternalArtifact.Name:
		return nil, fmt.Errorf("push %s/%s/%s: %w: only an %s takes what is pushed; the hub fetches the others itself",
			header.GetKind(), header.GetNamespace(), header.GetName(), fleet.ErrInvalid, resource.ExternalArtifact.Name)
	}
	object := &resource.Object{APIVersion: resource.ExternalArtifact.APIVersion, Kind: resource.ExternalArtifact.Name, Spec: json.RawMessage("{}")}
	object.Metadata.Namespace, object.Metadata.Name = header.GetNamespace(), header.GetName()
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	return resource.Decode(raw)
}

// pushedMetadata checks what a header says of the artifact, and puts it together as annotations.
func pushedMetadata(header *adminv1.PushHeader) (map[string]string, error) {
	revision, source := header.GetRevision(), header.GetSource()
	switch {
	case revision == "":
		return nil, fmt.Errorf("%w: the revision is missing, such as main@sha1:<commit>", fleet.ErrInvalid)
	case len(revision) > maxRevision || strings.ContainsFunc(revision, notInRevision):
		return nil, fmt.Errorf("%w: the revision is longer than %d bytes, or has spaces or control characters", fleet.ErrInvalid, maxRevision)
	case len(source) > maxSourceAddress || strings.ContainsFunc(source, unicode.IsControl):
		return nil, fmt.Errorf("%w: the source is longer than %d bytes, or has control characters", fleet.ErrInvalid, maxSourceAddress)
	}
	if address, err := url.Parse(source); err == nil && address.User != nil {
		if _, secret := address.User.Password(); secret {
			return nil, fmt.Errorf("%w: the source holds a password: leave it out", fleet.ErrInvalid)
		}
	}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(header.GetAnnotations())) {
		size += len(key) + len(header.GetAnnotations()[key])
		if key == "" || strings.ContainsFunc(key, notInRevision) {
			return nil, fmt.Errorf("%w: %.100q is not the key of an annotation", fleet.ErrInvalid, key)
		}
	}
	if len(header.GetAnnotations()) > maxAnnotations || size > maxAnnotationBytes {
		return nil, fmt.Errorf("%w: there are more than %d annotations, or more than %d bytes of them", fleet.ErrInvalid, maxAnnotations, maxAnnotationBytes)
	}
	metadata := map[string]string{}
	maps.Copy(metadata, header.GetAnnotations())
	created := time.Now()
	if header.GetCreated() != nil {
		if err := header.GetCreated().CheckValid(); err != nil {
			return nil, fmt.Errorf("%w: created: %w", fleet.ErrInvalid, err)
		}
		created = header.GetCreated().AsTime()
	}
	metadata[fleet.RevisionAnnotation], metadata[fleet.CreatedAnnotation] = revision, created.UTC().Format(time.RFC3339)
	if source != "" {
		metadata[fleet.SourceAnnotation] = source
	}
	return metadata, nil
}

func notInRevision(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }

// chunks reads the archive out of the stream.
type chunks struct {
	ctx    context.Context // it lives as long as the call
	stream grpc.ClientStreamingServer[adminv1.PushRequest, adminv1.PushResponse]
	pause  time.Duration // the longest that a message may be waited for
	rest   []byte
}

func (c *chunks) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		request, err := c.next()
		if err != nil {
			return 0, err
		}
		part, isChunk := request.GetPart().(*adminv1.PushRequest_Chunk)
		switch {
		case !isChunk:
			return 0, fmt.Errorf("%w: only the first message is a header", fleet.ErrInvalid)
		case len(part.Chunk) > maxPushChunk:
			return 0, fmt.Errorf("%w: a chunk has %d bytes; it may have %d", fleet.ErrInvalid, len(part.Chunk), maxPushChunk)
		}
		c.rest = part.Chunk
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// next waits for a message, but not for ever: whoever waits holds a place that others may want. The end of the call, which
// follows, ends what it leaves behind.
func (c *chunks) next() (*adminv1.PushRequest, error) {
	type received struct {
		request *adminv1.PushRequest
		err     error
	}
	coming := make(chan received, 1)
	go func() {
		request, err := c.stream.Recv()
		coming <- received{request, err}
	}()
	pause := time.NewTimer(c.pause)
	defer pause.Stop()
	select {
	case r := <-coming:
		return r.request, r.err
	case <-c.ctx.Done():
		return nil, fmt.Errorf("%w: it took longer than %s", fleet.ErrUnavailable, maxPushTime)
	case <-pause.C:
		return nil, fmt.Errorf("%w: nothing came for %s", fleet.ErrUnavailable, c.pause)
	}
}

// discarded is a blob store of a dry run, which keeps nothing.
type discarded struct{ treeartifact.Store }

func (discarded) Put(context.Context, map[fleet.Digest][]byte) error  { return nil }
func (discarded) PutNodes(context.Context, []treeartifact.Node) error { return nil }
