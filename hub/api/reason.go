package api

import (
	"strings"
	"unicode"

	"flotilla.dev/flotilla/pkg/fleet"
)

// maxReason bounds what a person gives as a reason, in bytes: it stands in lists, events and the audit log.
const maxReason = 1024

// reasonIn refuses a reason that is more than one line of text.
func reasonIn(fields *fleet.Fields, path, reason string) {
	switch {
	case len(reason) > maxReason:
		fields.Refuse(path, "is %d bytes long, and may be %d: say it in short, and where the rest is to be read", len(reason), maxReason)
	case strings.ContainsFunc(reason, unicode.IsControl):
		fields.Refuse(path, "has line breaks or other control characters: give one line of text")
	}
}
