package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestUnpackStoresAllFilesWithoutRules(t *testing.T) {
	t.Parallel()
	var store artifact.Memory
	tree, err := artifact.Unpack(t.Context(), &store, bytes.NewReader(ruled()), limitsOfTests, nil)
	if err != nil || len(tree.Files) != 7 {
		t.Fatalf("%v, %v; want 7 files", tree, err)
	}
	for _, file := range tree.Files {
		if blob, err := store.Get(t.Context(), file.Digest); err != nil || int64(len(blob)) != file.Size {
			t.Errorf("%s: %d bytes, %v; want it stored", file.Path, len(blob), err)
		}
	}
}

func TestUnpackStoresNothingThatIsIgnored(t *testing.T) {
	t.Parallel()
	spec := "!b.jpg\nbig\n"
	rules := artifact.NewIgnore(&spec)
	if err := rules.ReadArchive(t.Context(), bytes.NewReader(ruled()), limitsOfTests); err != nil {
		t.Fatal(err)
	}
	var store artifact.Memory
	tree, err := artifact.Unpack(t.Context(), &store, bytes.NewReader(ruled()), limitsOfTests, rules)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, file := range tree.Files {
		paths = append(paths, file.Path)
	}
	if diff := cmp.Diff([]string{"a.yaml", "b.jpg", "run", "sub/.sourceignore"}, paths); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	ignored := []fleet.Digest{fleet.DigestOf([]byte("3")), fleet.DigestOf([]byte("5"))}
	if missing, err := store.Missing(t.Context(), ignored); err != nil || len(missing) != len(ignored) {
		t.Errorf("%d of %d ignored files are not stored, %v", len(missing), len(ignored), err)
	}
}

func TestUnpackFailsAsItsStoreDoes(t *testing.T) {
	t.Parallel()
	broken := errors.New("the store is broken")
	for name, content := range map[string]string{"in the midst": strings.Repeat("b", 5<<20), "at the end": "b"} {
		data := artifacttest.Archive(map[string]string{"a": content})
		store := brokenStore{err: broken}
		if tree, err := artifact.Unpack(t.Context(), &store, bytes.NewReader(data), limitsOfTests, nil); !errors.Is(err, broken) || store.puts != 1 {
			t.Errorf("%s: %v, %v after %d puts; want the store's error at the first", name, tree, err, store.puts)
		}
	}
}

func TestPatternsOfAnArchiveAreBounded(t *testing.T) {
	t.Parallel()
	flaw := strings.Repeat("a\n", 10_001)
	for name, tc := range map[string]struct {
		spec          *string
		file, content string
		want          string
	}{
		"a large file":   {nil, "sub/.sourceignore", strings.Repeat("#", artifact.MaxIgnoreFile+1), "a file of patterns may have"},
		"many in a file": {nil, "sub/.sourceignore", flaw, "sub/.sourceignore: a source may have 10000 patterns"},
		"many in a spec": {&flaw, "sub/.sourceignore", "a", "spec.ignore: a source may have 10000 patterns"},
		"and in no file": {&flaw, "a.yaml", "a", "spec.ignore: a source may have 10000 patterns"},
	} {
		data := artifacttest.Archive(map[string]string{tc.file: tc.content})
		err := artifact.NewIgnore(tc.spec).ReadArchive(t.Context(), bytes.NewReader(data), limitsOfTests)
		if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v; want %q", name, err, tc.want)
		}
	}
}

// limitsOfTests let what repeats itself be compressed.
var limitsOfTests = artifact.ExtractLimits{Ratio: 10_000}

// ruled is an archive with patterns of its own.
func ruled() []byte {
	return artifacttest.Archive(map[string]string{
		"a.yaml": "1", "b.jpg": "2", "sub/c.yaml": "3", "sub/.sourceignore": "c.yaml\n", "run*": "4", ".git/config": "5", "big": strings.Repeat("b", 5<<20),
	})
}

// brokenStore takes nothing.
type brokenStore struct {
	artifact.Memory
	err  error
	puts int
}

func (s *brokenStore) Put(context.Context, map[fleet.Digest][]byte) error {
	s.puts++
	return s.err
}
