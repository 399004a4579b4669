package api

import (
	"strings"
	"unicode"

	"flotilla.dev/flotilla/pkg/fleet"
)

// maxReason bounds what a person gives as a reason, in bytes: it stands in lists, events and the audit log.
const maxReason = 1024

// reasonIn refuses a reason, if one is given, that is not one line of text.
func reasonIn(fields *fleet.Fields, path, reason string) {
	switch {
	case reason != "" && strings.TrimSpace(reason) == "":
		fields.Refuse(path, "is blank: say why, or leave it out")
	case len(reason) > maxReason:
		fields.Refuse(path, "is %d bytes long, and may be %d: say it in short, and where the rest is to be read", len(reason), maxReason)
	case strings.ContainsFunc(reason, unicode.IsControl):
		fields.Refuse(path, "has line breaks or other control characters: give one line of text")
	}
}
