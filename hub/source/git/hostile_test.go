package git_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// tree writes a tree that Git itself would not make: entries are "mode name", of the hash.
func (b *bundle) tree(hash string, entries ...string) string {
	b.t.Helper()
	var raw strings.Builder
	for _, e := range entries {
		raw.WriteString(e + "\x00")
		for i := 0; i < len(hash); i += 2 {
			var octet byte
			_, _ = fmt.Sscanf(hash[i:i+2], "%02x", &octet)
			raw.WriteByte(octet)
		}
	}
	return b.object("tree", raw.String())
}

// serveTree has the server's branch be at a commit of the tree, whatever it is.
func (b *bundle) serveTree(tree string) {
	b.t.Helper()
	commit := b.object("commit", "tree "+tree+"\nauthor x <x@x> 1700000000 +0000\ncommitter x <x@x> 1700000000 +0000\n\nx\n")
	b.git("push", "--quiet", "--force", "origin", commit+":refs/heads/main")
}

func TestTreesThatNoGitMakesAreRefusedAndNameTheEntry(t *testing.T) {
	t.Parallel()
	shared := newBundle(t)
	shared.push(map[string]string{"a.yaml": "1"})
	shared.git("config", "--local", "transfer.fsckObjects", "false")
	blob := shared.output("rev-parse", "HEAD:a.yaml")
	for _, tc := range []struct {
		entry string
		want  string // of the error, beside the name; empty: it is taken, or left out
	}{
		{"100644 ..", "is no name of its own"},
		{"100644 .", "is no name of its own"},
		{"40000 ..", "is no name of its own"},
		{"100644 ../../etc/passwd", "a character that no name has"},
		{"100644 /etc/passwd", "a character that no name has"},
		{"100644 a/b", "a character that no name has"},
		{"100644 .GIT", "would be .git"},
		{"40000 .Git", "would be .git"},
		{"40000 git~1", "would be .git"},
		{"40000 GIT~1", "would be .git"},
		{"40000 .git ", "would be .git"},
		{"40000 .git...", "would be .git"},
		{"40000 .git::$INDEX_ALLOCATION", "would be .git"},
		{"40000 .g\u200cit", "would be .git"},
		{"40000 \ufeff.git", "would be .git"},
		{"100644 a\\b", "it has a backslash"},
		{"100644 ..\\x", "it has a backslash"},
		{"100644 C:x", "it is absolute"},
		{"100644 a\nb", "characters that are not text"},
		{"100644 a\x1b[31m", "characters that are not text"},
		{"100644 \xff\xfe", "characters that are not text"},
		{"100644 " + strings.Repeat("n", 300), "longer than 255 bytes"},
		{"120000 link", ""},
		{"160000 module", ""},
		{"100644 .git", ""},
		{"100600 odd-mode", ""},
	} {
		t.Run(tc.entry, func(t *testing.T) {
			b := shared.in(t)
			hash := blob
			if strings.HasPrefix(tc.entry, "40000 ") {
				hash = b.tree(blob, "100644 inside")
			}
			b.serveTree(b.tree(hash, tc.entry))
			u := b.upstream(flux.GitReference{Branch: "main"})
			err := b.try(u)
			b.confined()
			if tc.want == "" {
				if err != nil {
					t.Errorf("error %v", err)
				}
				return
			}
			if source.KindOf(err) != source.KindContent || !strings.Contains(fmt.Sprint(err), tc.want) || strings.Contains(fmt.Sprint(err), "\x1b") {
				t.Errorf("%s error %v; want one of its content with %q", source.KindOf(err), err, tc.want)
			}
		})
	}
}

func TestFilesThatAreThereTwiceAreRefused(t *testing.T) {
	t.Parallel()
	for name, entries := range map[string][]string{
		"a file twice":         {"100644 a", "100644 a"},
		"a file and not alone": {"100644 a", "100644 b", "100644 a"},
	} {
		b := newBundle(t)
		b.push(map[string]string{"a.yaml": "1"})
		b.serveTree(b.tree(b.output("rev-parse", "HEAD:a.yaml"), entries...))
		if err := b.try(b.upstream(flux.GitReference{Branch: "main"})); source.KindOf(err) != source.KindContent || !strings.Contains(err.Error(), "is there twice") {
			t.Errorf("%s: %s error %v; want that it is there twice", name, source.KindOf(err), err)
		}
	}
}

func TestServersThatAnswerOddlyAreBoundedAndNamed(t *testing.T) {
	t.Parallel()
	commit := strings.Repeat("1", 40)
	pkt := func(band byte, text string) string { return fmt.Sprintf("%04x%c%s", len(text)+5, band, text) }
	shared := newBundle(t)
	pack := func(text string) string { return "0008NAK\n" + pkt(1, text) + "0000" }
	for name, tc := range map[string]struct {
		answer string // to the request for objects
		kind   source.Kind
	}{
		"nothing":                   {"", source.KindServer},
		"half a length":             {"00", source.KindServer},
		"a length of nonsense":      {"zzzz", source.KindServer},
		"no acknowledgement":        {"0009what\n", source.KindServer},
		"an error of words":         {"001eERR \x1b[31mhunter2\nwhatever", source.KindServer},
		"no pack":                   {pack("hello"), source.KindServer},
		"a pack of another version": {pack("PACK\x00\x00\x00\x09\x00\x00\x00\x01"), source.KindServer},
		"a pack cut off":            {pack("PACK\x00\x00\x00\x02\x00\x00\x00\x05"), source.KindServer},
		"a flood of objects":        {pack("PACK\x00\x00\x00\x02\xff\xff\xff\xff"), source.KindLimit},
		"an object too large":       {pack("PACK\x00\x00\x00\x02\x00\x00\x00\x01\xbf\xff\xff\xff\xff\x7f"), source.KindLimit},
		"a type that there is not":  {pack("PACK\x00\x00\x00\x02\x00\x00\x00\x01\x50"), source.KindServer},
		"a delta of nothing":        {pack("PACK\x00\x00\x00\x02\x00\x00\x00\x01\x60\x01x"), source.KindServer},
		"an empty pack":             {pack("PACK\x00\x00\x00\x02\x00\x00\x00\x00"), source.KindRef},
		"a fatal band":              {"0008NAK\n" + pkt(3, "hunter2"), source.KindServer},
		"an unknown band":           {"0008NAK\n" + pkt(9, "x"), source.KindServer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := shared.in(t)
			u := b.upstream(flux.GitReference{Branch: "main"})
			u.URL = serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					_, _ = io.WriteString(w, advertised(commit, "refs/heads/main"))
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(w, tc.answer)
			})
			err := b.try(u)
			if err == nil || source.KindOf(err) != tc.kind || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%s error %v; want %s without its words", source.KindOf(err), err, tc.kind)
			}
			b.confined()
			left, _ := filepath.Glob(filepath.Join(b.dir, "*", "received-*"))
			if len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// confined sees that nothing is in the directory of mirrors but mirrors.
func (b *bundle) confined() {
	b.t.Helper()
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, entry := range entries {
		if len(entry.Name()) < 64 || strings.Trim(entry.Name()[:64], "0123456789abcdef") != "" {
			b.t.Errorf("%s is among the mirrors", entry.Name())
		}
	}
}
