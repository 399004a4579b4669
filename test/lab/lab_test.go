package lab_test

import (
	"os"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

func TestMain(m *testing.M) {
	if part := os.Getenv(ownerOf); part != "" {
		own(part)
	}
	lab.Main(m)
}
