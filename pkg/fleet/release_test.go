package fleet_test

import (
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestRevisionIsNamedWholeOrByTheBeginningOfItsHash(t *testing.T) {
	t.Parallel()
	const sha1, sha256 = "696f056df216eea4f9401adbee0ff744d4df390f", "9f3c1a2b5a3f8c0d696f056df216eea4f9401adbee0ff744d4df390f01234567"
	for revision, names := range map[fleet.Revision]map[string]bool{
		"main@sha1:" + sha1: {
			"main@sha1:" + sha1: true, sha1: true, "sha1:" + sha1: true, "main@sha1:696f056d": true, "main@sha1:696f056": true, "sha1:696f056d": true, "696f056": true,
			"main@sha1:696f05": false, "696f05": false, "": false, "main@sha1:": false, "f056df2": false, "main": false, "other@sha1:696f056d": false, "ain@sha1:696f056d": false,
			"n@sha1:696f056d": false, "main@sha256:696f056d": false, "sha256:696f056d": false, "main@696f056d": false, "@sha1:696f056d": false, sha1 + "0": false, "696F056D": false,
		},
		"6.5.0@sha256:" + sha256: {"6.5.0@sha256:9f3c1a2b": true, "sha256:9f3c1a2b": true, "9f3c1a2b": true, "6.5.0": false, "6.5.0@sha256:696f056d": false},
		"sha256:" + sha256:       {"sha256:9f3c1a2b": true, "9f3c1a2b": true, "sha1:9f3c1a2b": false},
		"6.5.0-rc.1":             {"6.5.0-rc.1": true, "6.5.0-rc": false},
		"20260301120000":         {"20260301": true, "2026030": true, "202603": false},
		"":                       {"": false, "696f056d": false},
	} {
		for name, want := range names {
			if got := revision.NamedBy(name); got != want {
				t.Errorf("%q is named by %q: %v", revision, name, got)
			}
		}
	}
}
