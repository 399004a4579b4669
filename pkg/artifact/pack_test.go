package artifact_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestPackWritesTheSameBytesWhateverTheOrder(t *testing.T) {
	t.Parallel()
	files := []artifact.Packed{packed("a-b/x", "1"), packed("a/y", "2"), packed("a/x/deep", "3"), packed("b", "4"), packed("a.yaml", "5"), packed(strings.Repeat("long/", 50)+"ü", "6")}
	files[3].Mode = artifact.Executable
	var first bytes.Buffer
	if err := artifact.Pack(&first, files); err != nil {
		t.Fatalf("Pack: %v", err)
	}
	for range 5 {
		rand.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		var again bytes.Buffer
		if err := artifact.Pack(&again, files); err != nil || !bytes.Equal(first.Bytes(), again.Bytes()) {
			t.Fatalf("the order of files changed the bytes: %v", err)
		}
	}
	unzipped := must(gzip.NewReader(&first))
	archive := tar.NewReader(unzipped)
	var got []string
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.Uname != "" || header.Gname != "" || header.ModTime.Unix() != 0 {
			t.Errorf("%s has an owner or a time: %+v", header.Name, header)
		}
		if len(header.Name) < 20 {
			got = append(got, header.FileInfo().Mode().String()+" "+header.Name)
		}
	}
	want := []string{
		"drwxr-x--- a/", "drwxr-x--- a/x/", "-rw------- a/x/deep", "-rw------- a/y", "drwxr-x--- a-b/", "-rw------- a-b/x", "-rw------- a.yaml", "-rwx------ b", "drwxr-x--- long/", "drwxr-x--- long/long/", "drwxr-x--- long/long/long/",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestPackRefusesWhatNoTreeCanHave(t *testing.T) {
	t.Parallel()
	changed := packed("a", "1")
	changed.Size = 2
	shrunk := packed("a", "123")
	shrunk.Size = 1
	for name, files := range map[string][]artifact.Packed{
		`path "../a"`:            {packed("../a", "1")},
		"there twice":            {packed("a", "1"), packed("a", "1")},
		"a file and a directory": {packed("a", "1"), packed("a-b", "1"), packed("a/b", "1")},
	} {
		if err := artifact.Pack(io.Discard, files); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v; want %s", err, name)
		}
	}
	for _, file := range []artifact.Packed{changed, shrunk} {
		if err := artifact.Pack(io.Discard, []artifact.Packed{file}); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("%v; want that it changed", err)
		}
	}
}

func packed(path, content string) artifact.Packed {
	return artifact.Packed{Path: path, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	}}
}
