// Package e2e tests whole fleets of the built binaries: what a person does with Git and fleetctl, and what the clusters
// then have.
//
// Most tests share lab.TestFleet and have an app of their own in it, which newApp makes. A test that breaks a part, or
// counts what a whole hub or cluster does, starts a fleet of its own with startFleet, and has what it does to it one after
// the other, as subtests. go test ./test/e2e -run Killed -kills=500 kills parts for longer.
package e2e

import (
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
