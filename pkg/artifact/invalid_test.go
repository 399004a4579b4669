package artifact_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestMessagesOfErrorsSayNothingOfTheirSort(t *testing.T) {
	t.Parallel()
	_, twice := artifact.NewTree([]artifact.File{{Path: "a"}, {Path: "a"}})
	patterns := strings.Repeat("a\n", 10_001)
	other := errors.New("the disk is full")
	for _, tc := range []struct {
		err  error
		want string
	}{
		{artifact.CheckPath("/a"), `path "/a": it is absolute`},
		{artifact.CheckPath("invalid: /a\\"), `path "invalid: /a\\": it has a backslash or characters that are not text`},
		{artifact.CheckPath(""), "a path is empty"},
		{fmt.Errorf("unpack: %w", twice), `path "a": it is there twice`},
		{artifact.NewIgnore(&patterns).Err(), "spec.ignore: a source may have 10000 patterns"},
		{&artifact.ArchiveError{Entry: "a", Text: "it is cut off"}, `archive entry "a": it is cut off`},
	} {
		if got := artifact.Message(tc.err); got != tc.want || !errors.Is(tc.err, fleet.ErrInvalid) {
			t.Errorf("%v is shown as %q; want %q", tc.err, got, tc.want)
		}
	}
	if got := artifact.Message(other); got != "the disk is full" {
		t.Errorf("another error is shown as %q", got)
	}
}
