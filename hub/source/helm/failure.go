package helm

import (
	"context"
	"errors"
	"fmt"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
)

// problem is what is wrong, in words for people; explain adds the upstream.
type problem struct {
	kind source.Kind
	text string
}

func (p *problem) Error() string { return p.text }

// wrong is a problem with what a chart or an index holds.
func wrong(format string, args ...any) error {
	return &problem{source.KindContent, fmt.Sprintf(format, args...)}
}

// tooLarge is something beyond a limit.
func tooLarge(format string, args ...any) error {
	return &problem{source.KindLimit, fmt.Sprintf(format, args...)}
}

// inside says where a problem is: "charts/redis.tgz: ...".
func inside(name string, err error) error {
	var found *problem
	if err = ofArchive(err); errors.As(err, &found) {
		return &problem{found.kind, name + ": " + found.text}
	}
	return err
}

// ofArchive makes a problem of an error of an archive, which names the entry.
func ofArchive(err error) error {
	var archived *artifact.ArchiveError
	switch {
	case !errors.As(err, &archived):
		return err
	case archived.Limit:
		return &problem{source.KindLimit, archived.Message()}
	}
	return &problem{source.KindContent, archived.Message()}
}

// explain words an error. ctx is the caller's; limited the one with the upstream's timeout.
func explain(ctx, limited context.Context, u source.Upstream, err error) error {
	var found *problem
	var busy *busyError
	if errors.As(err, &busy) {
		found = &busy.problem
	}
	if found != nil || errors.As(err, &found) {
		return u.Fail(found.kind, "%s", found.text)
	}
	if failure := u.Explain(ctx, limited, err); failure != nil {
		return failure
	}
	return u.Fail(source.KindServer, "the server's answer was not understood; it is tried again")
}
