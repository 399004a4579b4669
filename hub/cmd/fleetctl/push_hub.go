package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// pushChunk is the size of the parts that an archive is sent in.
const pushChunk = 256 << 10

func (a *app) pushToHub(cmd *cobra.Command, r ref, f pushFlags, annotations map[string]string) error {
	ctx, cancel := a.bounded(cmd.Context(), followTimeout)
	defer cancel()
	archive, err := a.packed(ctx, cmd, f.files)
	if err != nil {
		return err
	}
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	header := &adminv1.PushHeader{
		Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, Revision: f.revision, Source: f.source,
		Created: timestamppb.New(f.created(a.now())), Annotations: annotations, DryRun: f.dryRun,
	}
	if !f.dryRun {
		a.say(symbolDo, "pushing %d bytes to %s", len(archive), r)
	}
	response, err := a.sendArtifact(ctx, h, header, archive)
	if err != nil {
		return a.explain("push to "+r.String(), err)
	}
	for _, warning := range response.GetWarnings() {
		a.say(symbolWarn, "left out: %s", warning)
	}
	if a.machine() {
		o, err := readObject(response.GetObject())
		if err != nil {
			return err
		}
		_, err = a.emit(struct {
			Revision string          `json:"revision"`
			Digest   string          `json:"digest"`
			Files    uint32          `json:"files"`
			Size     uint64          `json:"size"`
			Change   string          `json:"change"`
			Object   json.RawMessage `json:"object"`
		}{response.GetRevision(), response.GetDigest(), response.GetFiles(), response.GetSize(), changeWord(response.GetChange()), o.raw})
		return err
	}
	a.say(symbolDone, "%s, %s of %d bytes, is at revision %s", r, count(int(response.GetFiles()), "file"), response.GetSize(), printer.Revision(response.GetRevision()))
	return a.printRefs([]ref{r}, done(changeWord(response.GetChange()), f.dryRun))
}

// sendArtifact sends the header and the archive. Why the hub takes no more of it, its answer says.
func (a *app) sendArtifact(ctx context.Context, h *hub, header *adminv1.PushHeader, archive []byte) (*adminv1.PushResponse, error) {
	stream, err := h.artifacts.Push(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&adminv1.PushRequest{Part: &adminv1.PushRequest_Header{Header: header}})
	for chunk := range slices.Chunk(archive, pushChunk) {
		if err != nil {
			break
		}
		err = stream.Send(&adminv1.PushRequest{Part: &adminv1.PushRequest_Chunk{Chunk: chunk}})
	}
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("send the archive: %w", err)
	}
	a.asked.note(header) // from here on it may take effect
	return stream.CloseAndRecv()
}
