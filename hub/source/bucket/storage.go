package bucket

import (
	"context"
	"errors"
	"io"

	"flotilla.dev/flotilla/hub/source"
)

// storage is a bucket. Its methods end with their context.
type storage interface {
	// list gives what is below the prefix until visit returns an error, which it returns.
	list(ctx context.Context, prefix string, visit func(object) error) error
	// open reads an object, whole and as it is stored; it is errChanged when it is not the one that was listed any more,
	// and errGone when it is not there. Of one that was not listed, and has no ETag, it is whichever is there.
	open(ctx context.Context, o object) (io.ReadCloser, error)
	// explain words an error of the two, and is nil for one that says nothing by itself.
	explain(u upstream, err error) *source.Error
}

// object is what a list says of one.
type object struct {
	key, etag string
	// size is negative where what is read may have another one.
	size int64
	// version is what a storage reads by, where that is another thing than the ETag.
	version string
}

var (
	errChanged = errors.New("the object changed")
	errGone    = errors.New("the object is gone")
	// errForeign is an answer that no such storage gives.
	errForeign = errors.New("the answer is none of object storage")
)
