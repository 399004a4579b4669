package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// objects keep the bytes of blobs in S3-compatible object storage.
type objects struct {
	client *minio.Client
	config Objects
}

var _ content = (*objects)(nil)

const (
	// parallelObjects is how many requests one call has open at a time.
	parallelObjects = 16
	// objectTime bounds one request.
	objectTime = 2 * time.Minute
	// lostPause is between two tries to read an object that seems to be lost, all of a call together.
	lostPause = time.Second
	// writeTime is how old an object may be when its row comes. Far behind it begins what the sweep takes for left over.
	writeTime = time.Hour
)

func (o *objects) name() string { return o.config.Name() }

// write puts each blob under a name that no other write has.
func (o *objects) write(ctx context.Context, digests []fleet.Digest, blobs map[fleet.Digest][]byte) ([]*string, error) {
	names := make([]*string, len(digests))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelObjects)
	for i, digest := range digests {
		name := newObjectName()
		names[i] = &name
		group.Go(func() error { return o.put(ctx, place{digest: digest, object: name}, blobs[digest]) })
	}
	return names, group.Wait()
}

func newObjectName() string {
	var name [8]byte
	_, _ = rand.Read(name[:]) // never fails
	return hex.EncodeToString(name[:])
}

func (o *objects) insert(context.Context, pgx.Tx, []fleet.Digest, map[fleet.Digest][]byte) error {
	return nil // they are there already
}

// key is the name of an object in the bucket.
func (o *objects) key(p place) string {
	digest := hex.EncodeToString(p.digest[:])
	return o.blobs() + digest[:2] + "/" + digest + "/" + p.object
}

// blobs begins the names of all blobs.
func (o *objects) blobs() string { return o.config.under("blobs/") }

// put is one request, so that an object is there whole or not at all. Tried again, it writes the same.
func (o *objects) put(ctx context.Context, p place, data []byte) error {
	return o.try(ctx, "store a blob", func(ctx context.Context) error {
		_, err := o.client.PutObject(ctx, o.config.Bucket, o.key(p), bytes.NewReader(data), int64(len(data)),
			minio.PutObjectOptions{DisableMultipart: true, ContentType: "application/octet-stream"})
		return err
	})
}

// errNoObject is an object that is not there.
var errNoObject = errors.New("there is no such object")

// get returns the object's bytes, whatever they are; errNoObject when it is not there.
func (o *objects) get(ctx context.Context, key string) (data []byte, err error) {
	err = o.try(ctx, "read a blob", func(ctx context.Context) error {
		body, info, _, err := minio.Core{Client: o.client}.GetObject(ctx, o.config.Bucket, key, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer body.Close()
		if data, err = io.ReadAll(body); err == nil && int64(len(data)) < info.Size {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
	return data, err
}

// read returns the blobs that are there and are what their digests say, and which of them are not, those left out that were
// lost before. What is lost now is read twice, with a pause between: it may have been the way, or a replica of the storage
// that was behind.
func (o *objects) read(ctx context.Context, places []place) (found map[fleet.Digest][]byte, lost []place, err error) {
	found = make(map[fleet.Digest][]byte, len(places))
	if lost, err = o.readInto(ctx, found, places); err != nil {
		return nil, nil, err
	}
	lost = slices.DeleteFunc(lost, func(p place) bool { return p.lost })
	if len(lost) == 0 {
		return found, nil, nil
	}
	if err := run.Sleep(ctx, lostPause); err != nil {
		return nil, nil, err
	}
	if lost, err = o.readInto(ctx, found, lost); err != nil {
		return nil, nil, err
	}
	return found, lost, nil
}

// readInto adds the blobs that are there and are what their digests say, and returns the others.
func (o *objects) readInto(ctx context.Context, found map[fleet.Digest][]byte, places []place) (others []place, err error) {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelObjects)
	for _, p := range places {
		group.Go(func() error {
			data, err := o.get(ctx, o.key(p))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, errNoObject), err == nil && fleet.DigestOf(data) != p.digest:
				others = append(others, p)
			case err != nil:
				return err
			default:
				found[p.digest] = data
			}
			return nil
		})
	}
	err = group.Wait()
	return others, err
}

// remove lets objects go that no row names. It goes on behind what it cannot remove, which is found again.
func (o *objects) remove(ctx context.Context, places []place) error {
	group := errgroup.Group{}
	group.SetLimit(parallelObjects)
	for _, p := range places {
		group.Go(func() error { return o.removeKey(ctx, o.key(p)) })
	}
	return group.Wait()
}

func (o *objects) removeKey(ctx context.Context, key string) error {
	err := o.try(ctx, "remove a blob", func(ctx context.Context) error {
		return o.client.RemoveObject(ctx, o.config.Bucket, key, minio.RemoveObjectOptions{})
	})
	if errors.Is(err, errNoObject) {
		return nil
	}
	return err
}

// try makes a request until it is answered, a few times.
func (o *objects) try(ctx context.Context, doing string, request func(context.Context) error) error {
	var last error
	_ = retry(ctx, func() error {
		limited, cancel := context.WithTimeout(ctx, objectTime)
		defer cancel()
		var again bool
		if last, again = o.explain(ctx, doing, request(limited)); again {
			return errLost
		}
		return last
	})
	return last
}

// explain turns what the storage says into the fleet's sentinels, and says whether another try may not meet it.
func (o *objects) explain(ctx context.Context, doing string, err error) (explained error, again bool) {
	if err == nil {
		return nil, false
	}
	away := func(text string) error {
		return fmt.Errorf("%s: %w", doing, &hidden{fleet.ErrUnavailable, text, err})
	}
	switch code := minio.ToErrorResponse(err).Code; {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx)), false
	case code == minio.NoSuchKey:
		return errNoObject, false
	case code == minio.NoSuchBucket:
		return away("there is no bucket " + o.config.Bucket + " at the endpoint of --blobs"), false
	case code == minio.AccessDenied, code == "InvalidAccessKeyId", code == "SignatureDoesNotMatch", code == "RequestTimeTooSkewed":
		return away("object storage refuses the hub's credential (" + code + "): check FLOTILLA_BLOBS_ACCESS_KEY, its rights and the clock"), false
	}
	return away("object storage does not answer"), true
}
