package helm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
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
	var archived *artifact.ArchiveError
	switch {
	case errors.As(err, &found):
		return &problem{found.kind, name + ": " + found.text}
	case errors.As(err, &archived) && archived.Limit:
		return &problem{source.KindLimit, name + ": " + archived.Message()}
	case errors.As(err, &archived):
		return &problem{source.KindContent, name + ": " + archived.Message()}
	}
	return err
}

// explain words an error. ctx is the caller's; limited the one with the upstream's timeout.
func explain(ctx, limited context.Context, u source.Upstream, err error) error {
	var found *problem
	var busy *busyError
	var stored *source.StoreFailure
	if errors.As(err, &busy) {
		found = &busy.problem
	}
	switch {
	case found != nil, errors.As(err, &found):
		return u.Fail(found.kind, "%s", found.text)
	case ctx.Err() == nil && limited.Err() == nil && errors.As(err, &stored):
		return u.StoreError(stored.Err)
	}
	if failure := u.Explain(ctx, limited, err); failure != nil {
		return failure
	}
	return u.Fail(source.KindServer, "the server's answer was not understood; it is tried again")
}

// plain is an error's text without the word of fleet.ErrInvalid.
func plain(err error) string {
	return strings.TrimPrefix(err.Error(), fleet.ErrInvalid.Error()+": ")
}
