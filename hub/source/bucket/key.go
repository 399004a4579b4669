package bucket

import (
	"errors"
	"fmt"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
)

// checkKey refuses a key that is no path of a file: the key is the path.
func (u upstream) checkKey(key string) error {
	var invalid *artifact.InvalidError
	if errors.As(artifact.CheckPath(key), &invalid) {
		return u.Fail(source.KindContent, "the object %s cannot be a file: %s; rename it, or leave it out by .sourceignore or spec.ignore", shown(key), invalid.Text)
	}
	return nil
}

// maxShown is how much of a key is shown.
const maxShown = 100

// shown is a key as it may stand in a message.
func shown(key string) string {
	if len(key) > maxShown {
		return fmt.Sprintf("%q...", key[:maxShown])
	}
	return fmt.Sprintf("%q", key)
}
