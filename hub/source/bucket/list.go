package bucket

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// revision is Flux's, of objects that are sorted by key.
func revision(chosen []object) fleet.Revision {
	sum := sha256.New()
	for _, o := range chosen {
		_, _ = fmt.Fprintf(sum, "%s %s\n", o.key, o.etag) // a hash never fails
	}
	return fleet.Revision(fmt.Sprintf("sha256:%x", sum.Sum(nil)))
}

// choose returns the objects that make the artifact, sorted by key, of a list that is no older than asOf; of a new one, if that
// is zero. The .sourceignore object is none of them: as in Flux the revision does not follow from it, and so must the
// Tree not.
func (b *Bucket) choose(ctx context.Context, m *memory, u upstream, asOf time.Time) ([]object, error) {
	rules := artifact.NewBareIgnore(u.spec.Ignore)
	if err := rules.Err(); err != nil {
		return nil, u.Fail(source.KindInvalid, "%s", artifact.Message(err))
	}
	if m.listed == nil || asOf.IsZero() || m.listed.begun.Before(asOf) {
		listed, err := b.list(ctx, m, u)
		if err != nil {
			return nil, err
		}
		m.listed = listed
	}
	if err := rules.Read(".", m.listed.rules); err != nil {
		return nil, u.Fail(source.KindLimit, "%s", artifact.Message(err))
	}
	var chosen []object
	for i, o := range m.listed.objects {
		if i%1000 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if o.key == artifact.IgnoreFile || rules.Match(o.key) {
			continue
		}
		if err := u.checkKey(o.key); err != nil {
			return nil, err
		}
		chosen = append(chosen, o)
	}
	return chosen, nil
}

// list asks for all that the bucket has below the prefix.
func (b *Bucket) list(ctx context.Context, m *memory, u upstream) (*list, error) {
	l := &list{begun: time.Now()}
	seen := 0
	err := m.storage.list(ctx, u.spec.Prefix, func(o object) error {
		if seen++; seen > b.config.Limits.Entries {
			return u.Fail(source.KindLimit, "it has more than %d objects; a source may have that many: give spec.prefix, or a bucket of their own to those that count", b.config.Limits.Entries)
		}
		switch {
		case !strings.HasPrefix(o.key, u.spec.Prefix):
			return errForeign
		case len(o.key) > artifact.MaxPath:
			return u.checkKey(o.key)
		case !strings.HasSuffix(o.key, "/"): // a marker of a directory
			l.objects = append(l.objects, o)
		}
		return nil
	})
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx) // a list that broke off is no list
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(l.objects, func(a, b object) int { return cmp.Compare(a.key, b.key) })
	l.objects = lastOfEach(l.objects)
	return l, b.readRules(ctx, m, u, l)
}

// lastOfEach leaves of several objects with a key the last that was listed.
func lastOfEach(sorted []object) []object {
	out := sorted[:0]
	for i, o := range sorted {
		if i+1 == len(sorted) || sorted[i+1].key != o.key {
			out = append(out, o)
		}
	}
	return out
}

// readRules reads the .sourceignore object at the bucket's root: wherever the prefix is, as in Flux.
func (b *Bucket) readRules(ctx context.Context, m *memory, u upstream, l *list) error {
	ruled := object{key: artifact.IgnoreFile, size: -1}
	if strings.HasPrefix(artifact.IgnoreFile, u.spec.Prefix) {
		i, there := slices.BinarySearchFunc(l.objects, artifact.IgnoreFile, func(o object, key string) int { return cmp.Compare(o.key, key) })
		if !there {
			return nil
		}
		ruled = l.objects[i]
		if before := m.listed; before != nil && before.ruled != nil && *before.ruled == ruled && ruled.etag != "" {
			l.rules, l.ruled = before.rules, before.ruled
			return nil
		}
	}
	content, err := read(ctx, m.storage, ruled, artifact.MaxIgnoreFile)
	var large *source.TooLargeError
	switch {
	case errors.Is(err, errGone):
		return nil
	case errors.As(err, &large):
		return u.Fail(source.KindLimit, "%s has more than %d KiB", artifact.IgnoreFile, artifact.MaxIgnoreFile>>10)
	case errors.Is(err, errChanged):
		return u.moved()
	case err != nil:
		return err
	}
	l.rules, l.ruled = content, &ruled
	return nil
}

// read reads an object that has at most so many bytes.
func read(ctx context.Context, s storage, o object, limit int64) ([]byte, error) {
	body, err := s.open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	content := make([]byte, 0, min(max(o.size, 0), limit)+1)
	for {
		n, err := body.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		switch {
		case int64(len(content)) > limit:
			return nil, &source.TooLargeError{Problem: fmt.Sprintf("the object %s has more than %d bytes; a file may have that many: leave it out by .sourceignore or spec.ignore", shown(o.key), limit)}
		case err == io.EOF && o.size >= 0 && int64(len(content)) != o.size:
			return nil, &sizeError{o, int64(len(content))}
		case err == io.EOF:
			return content, nil
		case err != nil:
			return nil, err
		case o.size >= 0 && int64(len(content)) > o.size:
			return nil, &sizeError{o, int64(len(content))}
		case len(content) == cap(content):
			content = slices.Grow(content, max(4096, len(content)))
		}
	}
}

// sizeError is an object with another size than the list says.
type sizeError struct {
	object
	got int64
}

func (e *sizeError) Error() string {
	return fmt.Sprintf("the object %s came with %d bytes, and the list says %d", shown(e.key), e.got, e.size)
}
