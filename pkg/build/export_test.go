package build

import (
	"context"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// MakerFunc is a maker.
type MakerFunc func(ctx context.Context, fsys filesys.FileSystem, dir string) ([][]byte, error)

// Build implements maker.
func (f MakerFunc) Build(ctx context.Context, fsys filesys.FileSystem, dir string) ([][]byte, error) {
	return f(ctx, fsys, dir)
}

// Use has this make what the engine would.
func (b *Builder) Use(maker MakerFunc) { b.engine = maker }

// MaxChecked is the number of objects up to which a build is repeated.
const MaxChecked = maxChecked

// Repeated is how many plans were found by those before.
func (b *Builder) Repeated() int { return int(b.plans.repeated.Load()) }

// Tidy makes a message of kustomize fit to be shown.
func Tidy(message string) string { return tidy(message) }

// SameDocument reports whether two documents are what kustomize prints of one object.
func SameDocument(a, b []byte) bool { return sameDocument(a, b) }
