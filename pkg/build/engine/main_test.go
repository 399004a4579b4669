package engine_test

import (
	"bytes"
	"log"
	"os"
	"testing"
)

// Kustomize ends the process by package log for some input. In tests it panics instead, which is an error of the build.
func TestMain(m *testing.M) {
	log.SetOutput(fatal{})
	os.Exit(m.Run())
}

type fatal struct{}

func (fatal) Write(message []byte) (int, error) {
	if !bytes.Contains(message, []byte("Sorting order")) && !bytes.Contains(message, []byte("well-defined vars")) {
		panic(string(message))
	}
	return len(message), nil
}
