package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Version names what the engine makes of its input. It is part of every key under which something is kept, here and by who keeps
// what was built.
const Version = "engine/2"

// Engine builds kustomizations, one at a time, and keeps what later builds can use again.
type Engine struct {
	mu    sync.Mutex
	cache *cache
}

// New returns an Engine that keeps up to so many bytes, as far as it can tell what something takes in memory.
func New(cacheBytes int64) *Engine {
	_ = openapi.Schema() // loaded before the first build: kustomize reads the map that loading it writes
	return &Engine{cache: newCache(cacheBytes)}
}

// Doubt is the error of a build that only kustomize can judge. It holds nothing of what is in the files.
type Doubt struct {
	// Reason is what the engine is not sure of, in words.
	Reason string
}

// Error implements error.
func (d *Doubt) Error() string { return "only kustomize can build this: " + d.Reason }

func doubt(format string, args ...any) error { return &Doubt{Reason: fmt.Sprintf(format, args...)} }

// doubtOf is the Doubt about what kustomize's own code returned an error for. It leaves out that error, which may quote
// objects, which may be secret.
func doubtOf(cause error, format string, args ...any) error {
	if cause == nil {
		return nil
	}
	var known *Doubt
	if errors.As(cause, &known) {
		return known
	}
	return doubt(format, args...)
}

// Build returns the objects of the directory, one YAML document each, as kustomize prints them and in its order. They
// are the Engine's, and must not be changed. Like a build of kustomize without load restrictions it reads the file
// system wherever a path leads. No schema but kustomize's own may be in effect meanwhile.
//
// The error is a *Doubt, or that of the context.
func (e *Engine) Build(ctx context.Context, fsys filesys.FileSystem, dir string) (documents [][]byte, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer func() {
		if r := recover(); r != nil { // kustomize panics on some invalid objects
			documents, err = nil, doubt("a panic")
		}
	}()
	documents, err = newBuild(ctx, e.cache, fsys).run(dir)
	switch {
	case err == nil:
		return documents, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	default:
		return nil, doubtOf(err, "an error")
	}
}

// Digester is a file system that knows the digests of its files without reading them.
type Digester interface {
	// Digest returns the digest of the file's content, if there is such a file.
	Digest(name string) (fleet.Digest, bool)
}
