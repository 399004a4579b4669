package artifact_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestExtractGivesFilesInTheArchivesOrder(t *testing.T) {
	t.Parallel()
	plain := artifacttest.Tar(func(w *artifacttest.Writer) {
		w.Entry(tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "1234"}}, "")
		w.Entry(tar.Header{Typeflag: tar.TypeDir, Name: "./"}, "")
		w.Entry(tar.Header{Typeflag: tar.TypeDir, Name: "./b/"}, "")
		w.File("./b/one.yaml", "one")
		w.Entry(tar.Header{Name: "run.sh", Mode: 0o4755}, "#!")
		w.Entry(tar.Header{Typeflag: tar.TypeSymlink, Name: "link", Linkname: "/etc/passwd"}, "")
		w.Entry(tar.Header{Typeflag: tar.TypeDir, Name: "b/"}, "")
		w.File("README", "1")
		w.File("readme", "2")
		w.File(strings.Repeat("long/", 40)+"ü.yaml", "deep")
		w.File("empty", "")
	})
	want := []string{"b/one.yaml 0 one", "run.sh 1 #!", "README 0 1", "readme 0 2", strings.Repeat("long/", 40) + "ü.yaml 0 deep", "empty 0 "}
	for name, data := range map[string][]byte{
		"plain": plain, "compressed": artifacttest.Gzip(plain),
		"in two members": append(artifacttest.Gzip(plain[:700]), artifacttest.Gzip(plain[700:])...),
	} {
		for _, reader := range []io.Reader{bytes.NewReader(data), iotest.OneByteReader(bytes.NewReader(data)), iotest.DataErrReader(bytes.NewReader(data))} {
			got, warnings, err := extract(t.Context(), reader, artifact.ExtractLimits{})
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s: %v\n%s", name, err, diff)
			}
			if diff := cmp.Diff([]string{"symbolic link link"}, warnings); diff != "" {
				t.Errorf("%s: warnings\n%s", name, diff)
			}
		}
	}
}

func TestExtractPassesOverWhatWasNotRead(t *testing.T) {
	t.Parallel()
	data := artifacttest.Gzip(artifacttest.Tar(func(w *artifacttest.Writer) { w.File("a", strings.Repeat("a", 5000)); w.File("b", "b") }))
	var late io.Reader
	var paths []string
	_, err := artifact.Extract(t.Context(), bytes.NewReader(data), artifact.ExtractLimits{}, func(file artifact.Extracted) error {
		if late != nil {
			if n, err := late.Read(make([]byte, 10)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("reading a file after its turn: %d, %v; want nothing", n, err)
			}
		}
		late, paths = file.Content, append(paths, file.Path)
		return nil
	})
	if err != nil || strings.Join(paths, " ") != "a b" {
		t.Errorf("%v, %v; want both files", paths, err)
	}
}

func TestExtractReturnsErrorsOfOthersAsTheyAre(t *testing.T) {
	t.Parallel()
	mine := errors.New("mine")
	data := artifacttest.Archive(map[string]string{"a": "1"})
	_, err := artifact.Extract(t.Context(), bytes.NewReader(data), artifact.ExtractLimits{}, func(artifact.Extracted) error { return mine })
	if !errors.Is(err, mine) {
		t.Errorf("an error of take: %v", err)
	}
	for _, good := range []int{0, 1, 5, len(data) / 2, len(data) - 1} {
		broken := io.MultiReader(bytes.NewReader(data[:good]), iotest.ErrReader(mine))
		if _, _, err := extract(t.Context(), broken, artifact.ExtractLimits{}); !errors.Is(err, mine) || errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("an error of the reader after %d bytes: %v", good, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err = artifact.Extract(ctx, bytes.NewReader(data), artifact.ExtractLimits{}, func(artifact.Extracted) error {
		cancel(mine)
		return nil
	})
	if !errors.Is(err, mine) {
		t.Errorf("a context that ended: %v", err)
	}
}

func TestExtractRefusesHostileArchivesNamingTheEntry(t *testing.T) {
	t.Parallel()
	corpus := artifacttest.HostileArchives()
	if len(corpus) < 60 {
		t.Fatalf("%d archives are too few", len(corpus))
	}
	for _, hostile := range corpus {
		t.Run(hostile.Name, func(t *testing.T) {
			_, _, err := extract(t.Context(), bytes.NewReader(hostile.Data()), artifact.ExtractLimits{})
			if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(fmt.Sprint(err), hostile.Entry) {
				t.Fatalf("%v; want it refused, naming %s", err, hostile.Entry)
			}
			if len(err.Error()) > 1000 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("the error is long or has control characters: %.2000q", err)
			}
		})
	}
}

func TestExtractStopsAtEachLimit(t *testing.T) {
	t.Parallel()
	random := artifacttest.Noise(300 << 10)
	data := artifacttest.Gzip(artifacttest.Tar(func(w *artifacttest.Writer) { w.File("dir/a", random); w.File("dir/b", random) }))
	for name, limits := range map[string]artifact.ExtractLimits{
		"more than 1000 bytes compressed": {Compressed: 1000},
		"more than 409600 bytes":          {Unpacked: 400 << 10},
		"a file may have 100 bytes":       {File: 100},
		"more than 2 files":               {Entries: 2},
	} {
		_, _, err := extract(t.Context(), bytes.NewReader(data), limits)
		var archive *artifact.ArchiveError
		if !errors.As(err, &archive) || !archive.Limit || !strings.Contains(err.Error(), name) || !strings.HasPrefix(archive.Entry, "dir/") && limits.Compressed == 0 {
			t.Errorf("limits %+v: %v; want %s", limits, err, name)
		}
	}
	again := artifacttest.Gzip(artifacttest.Tar(func(w *artifacttest.Writer) {
		for range 11 {
			w.Entry(tar.Header{Name: "dir/", Typeflag: tar.TypeDir}, "")
		}
	}))
	if _, _, err := extract(t.Context(), bytes.NewReader(again), artifact.ExtractLimits{Entries: 10}); err == nil || !strings.Contains(err.Error(), "more than 10 entries") {
		t.Errorf("one directory again and again: %v", err)
	}
	limits := artifact.ExtractLimits{Compressed: int64(len(data)), File: 300 << 10, Entries: 3}
	if got, _, err := extract(t.Context(), bytes.NewReader(data), limits); err != nil || len(got) != 2 {
		t.Errorf("just within the limits: %v", err)
	}
}

func TestExtractKeepsMemoryBounded(t *testing.T) {
	// Not parallel: it measures the heap of the process.
	for _, hostile := range artifacttest.HostileArchives() {
		data := hostile.Data()
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var most uint64
		_, err := artifact.Extract(t.Context(), bytes.NewReader(data), artifact.ExtractLimits{}, func(file artifact.Extracted) error {
			_, err := io.Copy(io.Discard, file.Content)
			return err
		})
		runtime.ReadMemStats(&after)
		if after.HeapAlloc > before.HeapAlloc {
			most = after.HeapAlloc - before.HeapAlloc
		}
		if total := after.TotalAlloc - before.TotalAlloc; most > 64<<20 || total > 256<<20 || err == nil {
			t.Errorf("%s: the heap grew by %d bytes, %d were allocated, error %v", hostile.Name, most, total, err)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(artifacttest.Archive(map[string]string{"a/b.yaml": "1", "run.sh*": "2"}))
	f.Add(artifacttest.Tar(func(w *artifacttest.Writer) { w.File("a", "1") }))
	for _, hostile := range artifacttest.HostileArchives() {
		if data := hostile.Data(); len(data) < 16<<10 {
			f.Add(data)
		}
	}
	limits := artifact.ExtractLimits{Compressed: 1 << 20, Unpacked: 4 << 20, File: 1 << 20, Entries: 500}
	f.Fuzz(func(t *testing.T, data []byte) {
		var store artifact.Memory
		tree, err := artifact.Unpack(t.Context(), &store, bytes.NewReader(data), limits, nil)
		if err != nil {
			if !errors.Is(err, fleet.ErrInvalid) {
				t.Errorf("%v is not an invalid error", err)
			}
			return
		}
		if len(tree.Files) > limits.Entries || tree.Size() > limits.Unpacked {
			t.Errorf("%d files of %d bytes are beyond the limits", len(tree.Files), tree.Size())
		}
		for _, file := range tree.Files {
			if err := artifact.CheckPath(file.Path); err != nil || strings.Contains("/"+file.Path+"/", "/../") {
				t.Errorf("path %q: %v", file.Path, err)
			}
		}
		// What was taken packs, and unpacks to the same.
		var packed bytes.Buffer
		if err := artifact.Pack(&packed, packedTree(t, tree, &store)); err != nil {
			t.Fatalf("pack: %v", err)
		}
		again, err := artifact.Unpack(t.Context(), &store, &packed, artifact.ExtractLimits{Ratio: 10_000}, nil)
		if err != nil || again.Digest() != tree.Digest() {
			t.Errorf("packed and unpacked: %v", err)
		}
	})
}

func FuzzCheckPath(f *testing.F) {
	for _, seed := range []string{"a/b", "../a", "/a", "a\\b", "a//b", "C:a", "a\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if artifact.CheckPath(path) != nil {
			return
		}
		parts := strings.Split(path, "/")
		for _, part := range parts {
			if part == "" || part == "." || part == ".." || len(part) > artifact.MaxName {
				t.Errorf("%q was accepted", path)
			}
		}
		if len(parts) > artifact.MaxDepth || len(path) > artifact.MaxPath || strings.ContainsAny(path, "\\\x00\r\n\x1b") || path[0] == '/' {
			t.Errorf("%q was accepted", path)
		}
	})
}

// packedTree are the files of a Tree, as Pack takes them.
func packedTree(t *testing.T, tree *artifact.Tree, store artifact.Store) (files []artifact.Packed) {
	for _, file := range tree.Files {
		files = append(files, artifact.Packed{Path: file.Path, Mode: file.Mode, Size: file.Size, Open: func() (io.ReadCloser, error) {
			data, err := store.Get(t.Context(), file.Digest)
			return io.NopCloser(bytes.NewReader(data)), err
		}})
	}
	return files
}

// extract returns each file as "path mode content".
func extract(ctx context.Context, r io.Reader, limits artifact.ExtractLimits) (got, warnings []string, err error) {
	warnings, err = artifact.Extract(ctx, r, limits, func(file artifact.Extracted) error {
		data, err := io.ReadAll(file.Content)
		if err == nil && int64(len(data)) != file.Size {
			err = fmt.Errorf("%s has %d bytes of %d", file.Path, len(data), file.Size)
		}
		got = append(got, fmt.Sprint(file.Path, " ", file.Mode, " ", string(data)))
		return err
	})
	return got, warnings, err
}
