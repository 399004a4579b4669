package source_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestWhatIsSpooledIsReadAsItWasWrittenAndLeavesNoFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	if err := os.MkdirAll(filepath.Join(dir, "left"), 0o700); err != nil {
		t.Fatal(err)
	}
	spool, err := source.NewSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	file, err := spool.File()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"some ", "content"} {
		if _, err := io.WriteString(file, part); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got, err := io.ReadAll(file.Reader()); string(got) != "some content" || err != nil {
			t.Errorf("read %q, error %v", got, err)
		}
	}
	if got, err := file.Bytes(); string(got) != "some content" || err != nil || file.Digest() != fleet.DigestOf(got) {
		t.Errorf("bytes %q, digest %s, error %v", got, file.Digest(), err)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("in the directory: %v, error %v", left, err)
	}
	file.Close()
	_, wrote := io.WriteString(file, "more")
	_, read := io.ReadAll(file.Reader())
	for what, err := range map[string]error{"write": wrote, "read": read} {
		var failure *source.StoreFailure
		if !errors.As(err, &failure) {
			t.Errorf("%s: error %v is not the disk's", what, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	var failure *source.StoreFailure
	if _, err := spool.File(); !errors.As(err, &failure) {
		t.Errorf("error %v of a directory that is gone is not the disk's", err)
	}
}
