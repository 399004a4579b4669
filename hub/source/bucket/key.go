package bucket

import (
	"fmt"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// checkKey refuses a key that is no path of a file: the key is the path.
func (u upstream) checkKey(key string) error {
	err := artifact.CheckPath(key)
	if err == nil {
		return nil
	}
	why := plain(err)
	why = why[strings.LastIndex(why, `": `)+1:] // the path is said already, shortened
	return u.Fail(source.KindContent, "the object %s cannot be a file: %s; rename it, or leave it out by .sourceignore or spec.ignore", shown(key), strings.TrimPrefix(why, ": "))
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

// plain is an error's text without the word of the sentinel.
func plain(err error) string {
	return strings.TrimPrefix(err.Error(), fleet.ErrInvalid.Error()+": ")
}
